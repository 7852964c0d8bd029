"""Options and answers by OpenAI's names, and the models that other frameworks' classes hold."""

from __future__ import annotations

from typing import Any

import pytest

import xlc_core as xlc
from xlc_core.frameworks import (
    HeldChat,
    HeldEmbedder,
    HeldReranker,
    chat_logprobs,
    find_counterpart,
    openai_call,
    openai_finish_reason,
    openai_usage,
    raise_as,
    read_arguments,
    read_chat,
    read_openai_options,
    read_schema,
    read_token_bias,
    thinking_options,
)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"max_completion_tokens": 5, "temperature": None, "user": "ann"}, {"max_tokens": 5}),
        ({"stop_sequences": ["x"], "min_p": 0.1}, {"stop": ["x"], "min_p": 0.1}),
        ({"logprobs": True}, {"logprobs": 1}),
        ({"logprobs": True, "top_logprobs": 3}, {"logprobs": 3}),
        ({"logprobs": 2}, {"logprobs": 2}),
        ({"logit_bias": {"11": 5, "word": -1}}, {"logit_bias": {11: 5, "word": -1}}),
        ({"reasoning_effort": "none"}, {"thinking": False}),
        (
            {"reasoning_effort": "high", "chat_template_kwargs": {"a": 1}},
            {"thinking": True, "template_kwargs": {"a": 1, "reasoning_effort": "high"}},
        ),
        ({"response_format": {"type": "json_object"}}, {"constraint": xlc.JsonObject()}),
        ({"timeout": 2.5, "seed": 1}, {"timeout": 2.5, "seed": 1}),
        ({"timeout": object(), "seed": 1}, {"seed": 1}),
        (
            {"reasoning_effort": "low", "thinking": False},
            {"thinking": False, "template_kwargs": {"reasoning_effort": "low"}},
        ),
    ],
)
def test_names_of_openai_are_read(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert read_openai_options(given) == expected
    xlc.ChatOptions.checked(**read_openai_options(given))


def test_logprobs_that_are_off_stay_off() -> None:
    assert xlc.ChatOptions.checked(**read_openai_options({"logprobs": False})).logprobs is None


def test_schema_of_json_object_is_enforced(engine: xlc.Engine) -> None:
    schema = {"type": "object", "properties": {"a": {"enum": [1]}}, "required": ["a"], "additionalProperties": False}
    constraint = read_openai_options({"response_format": {"type": "json_object", "schema": schema}})["constraint"]
    assert engine.accepts(constraint, '{"a": 1}')
    assert not engine.accepts(constraint, '{"b": 1}')


def test_broken_format_is_refused() -> None:
    with pytest.raises(xlc.InvalidRequestError, match="json_schema"):
        read_openai_options({"response_format": {"type": "json_schema"}})


def test_effort_of_thinking() -> None:
    assert thinking_options(None) == {}
    assert thinking_options(True) == {"thinking": True}
    assert thinking_options(False) == thinking_options("none") == {"thinking": False}


def test_biases_name_tokens_by_number_or_text() -> None:
    assert read_token_bias({"5": 1.0, 6: 2.0, "six": 3.0}) == {5: 1.0, 6: 2.0, "six": 3.0}


def test_answers_in_openai_form() -> None:
    usage = openai_usage(xlc.Usage(prompt_tokens=5, completion_tokens=3, cached_tokens=2, reasoning_tokens=1))
    assert usage["total_tokens"] == 8
    assert usage["prompt_tokens_details"] == {"cached_tokens": 2}
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 1}
    known = openai_call(xlc.ToolCall(id="7", name="add", arguments="{}"))
    assert known == {"id": "7", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    assert openai_call(xlc.ToolCall(name="add"))["id"].startswith("call_")


def test_answers_that_were_cut_off() -> None:
    assert read_arguments(xlc.ToolCall(name="add", arguments='{"left": 1}')) == {"left": 1}
    assert read_arguments(xlc.ToolCall(name="now")) == {}
    assert [read_arguments(xlc.ToolCall(name="add", arguments=text)) for text in ('{"left', "[1]")] == [None, None]
    reasons = [xlc.CompletionChoice(text="", finish_reason=reason) for reason in ("cancelled", "length")]
    assert [openai_finish_reason(choice) for choice in reasons] == ["stop", "length"]


def test_all_alternatives_are_written() -> None:
    token = xlc.TokenLogprob("a", 0, -1.0, (xlc.TokenLogprob("a", 0, -1.0), xlc.TokenLogprob("b", 1, -2.0)))
    found = [chat_logprobs([token], *n_top) for n_top in ((), (1,))]
    assert [len(one["content"][0]["top_logprobs"]) for one in found if one] == [2, 1]


def test_chat_is_read_by_places() -> None:
    messages = read_chat(iter([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]))
    assert [message.role for message in messages] == ["user", "assistant"]
    with pytest.raises(xlc.InvalidRequestError, match="message 1: "):
        read_chat([{"role": "user", "content": "Hi"}, {"role": "nobody", "content": "?"}])


def test_formats_in_schemas_are_hints(engine: xlc.Engine) -> None:
    """The type checks them that the schema was made of."""
    schema = {"type": "object", "properties": {"file": {"type": "string", "format": "path"}}, "required": ["file"]}
    assert engine.accepts(read_schema(schema), '{"file": "a/b"}')
    assert not engine.accepts(read_schema(schema), '{"file": 1}')


def test_counterpart_is_that_of_nearest_class() -> None:
    table: dict[type[xlc.XllamaError], str] = {xlc.XllamaError: "any", xlc.InvalidRequestError: "invalid"}
    assert find_counterpart(xlc.ConstraintError("why"), table) == "invalid"
    assert find_counterpart(xlc.RequestTimeoutError("why"), table) == "any"


def test_model_of_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLLAMA_MODEL", "smollm2-135m-instruct")
    assert HeldChat(model=None).model == HeldChat().model == "smollm2-135m-instruct"
    monkeypatch.delenv("XLLAMA_MODEL")
    with pytest.raises(ValueError, match="model="):
        HeldChat(model=None)


def test_errors_become_those_of_framework() -> None:
    with pytest.raises(KeyError) as caught, raise_as(lambda error: KeyError(str(error))):
        raise xlc.InvalidRequestError("why")
    assert isinstance(caught.value.__cause__, xlc.InvalidRequestError)
    with pytest.raises(OSError, match="other"), raise_as(lambda error: KeyError(str(error))):
        raise OSError("other")


def test_options_of_call_override_those_of_model(engine: xlc.Engine) -> None:
    held = HeldChat(engine=engine, temperature=0, options={"dry_multiplier": 0.5})
    joined = held.join_options({"temperature": 1.0, "seed": None})
    assert joined == {"temperature": 1.0, "max_tokens": 1024, "dry_multiplier": 0.5}
    assert held.get_engine() is engine
    with pytest.raises(ValueError, match="no_such"):
        HeldChat(engine=engine, options={"no_such": 1})


def test_facts_are_read_without_loading(engine: xlc.Engine) -> None:
    facts = HeldChat(model="smollm2-135m-instruct", n_ctx=512).facts()
    assert facts is not None
    assert (facts.n_ctx, facts.supports_thinking) == (512, False)
    assert HeldChat(engine=engine).facts() is not None
    assert HeldChat(model="hf:owner/no-such-repo").facts() is None


async def test_held_models_embed_and_rank(embedder: xlc.Engine, reranker: xlc.Engine) -> None:
    held = HeldEmbedder(engine=embedder)
    expected = embedder.embed(["A llama."])
    assert held.embed(["A llama."], "document") == pytest.approx(expected, abs=1e-5)
    assert (await held.aembed(["A llama."], "query", dimensions=8)).shape == (1, 8)
    ranker = HeldReranker(engine=reranker, top_n=1)
    (best,) = ranker.rank("llamas", ["A car.", "A llama."])
    assert best.index == 1
    assert (await ranker.arank("llamas", ["A car.", "A llama."]))[0].index == 1


def test_models_on_this_disk_are_named(smollm2_path: Any, embedder: xlc.Engine) -> None:
    assert "smollm2-135m-instruct" in xlc.local_models("chat")
    assert "all-minilm-l6-v2" not in xlc.local_models("chat")
    assert {"smollm2-135m-instruct", "all-minilm-l6-v2"} <= set(xlc.local_models())
