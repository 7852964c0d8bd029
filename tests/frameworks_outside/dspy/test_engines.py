"""The engines of ``dspy.LM`` on SmolLM2."""

from __future__ import annotations

import asyncio
import copy
import pickle
from typing import Any

import dspy
import pytest
from dspy import lm15
from dspy.utils import exceptions

import xlc_core as xlc
import xlc_dspy
from helpers.waiting import await_until, is_idle, wait_until
from xlc_core.testing import ScriptedEngine

LONG = "Count from one to a thousand."


def request(lm: dspy.LM, text: str = "Say hello.", tools: Any = (), **config: Any) -> lm15.Request:
    return lm15.Request(lm.model, lm15.Message.user(text), tools=tools, config=lm15.Config(**config))


def test_exact_usage(lm: dspy.LM, engine: xlc.Engine) -> None:
    [answer] = lm("Say hello.", logprobs=True)
    usage = lm.history[-1]["usage"]
    assert usage["prompt_tokens"] == engine.chat("Say hello.", max_tokens=1).usage.prompt_tokens
    assert usage["completion_tokens"] - len(answer["logprobs"]["content"]) in {0, 1}  # the end of the turn has no text
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens_details"]["cached_tokens"] <= usage["prompt_tokens"]


async def test_async_and_streams_give_the_same_answer(lm: dspy.LM) -> None:
    only = {"type": "json_schema", "schema": {"const": ["only", "this", "answer"]}}
    asked = request(lm, response_format=only, temperature=0.0, logprobs=1)
    sync, asynchronous = lm.engine, lm._async_engine_spec
    whole = await asyncio.to_thread(sync.complete, asked)
    assert whole.data == ["only", "this", "answer"]
    assert (await asynchronous.complete(asked)).message == whole.message
    for events in (list(sync.stream(asked)), [event async for event in asynchronous.stream(asked)]):
        start, *deltas, end = events
        assert (start.type, start.model, end.type) == ("start", lm.model, "end")
        assert end.finish_reason == whole.finish_reason == "stop"
        assert (end.usage.input_tokens, end.usage.output_tokens) == (
            whole.usage.input_tokens,
            whole.usage.output_tokens,
        )
        assert "".join(event.delta.text for event in deltas) == whole.text
        assert "".join(token.token for event in deltas for token in event.delta.logprobs) == whole.text


def test_settings_reach_the_engine(lm: dspy.LM) -> None:
    [first] = lm("Hello you", logprobs=True, top_logprobs=2, max_tokens=3)
    tokens = first["logprobs"]["content"]
    assert [len(token["top_logprobs"]) for token in tokens] == [2, 2, 2]
    assert "".join(token["token"] for token in tokens) == first["text"]
    [stopped] = lm("Hello you", stop=[tokens[1]["token"]])
    assert stopped == tokens[0]["token"]
    sampled = {"temperature": 1.5, "seed": 7, "top_p": 0.99, "max_tokens": 12}
    assert lm("Hello you", **sampled) == lm("Hello you", **sampled)
    assert len(lm("Hello you", n=3, max_tokens=2, temperature=1.0)) == 3
    banned = lm("Hello you", logit_bias={tokens[0]["token"]: -1e9}, max_tokens=1)
    assert banned != [tokens[0]["token"]]


def test_schema_and_choice(lm: dspy.LM) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3, "maximum": 5}}, "required": ["n"]}
    answer = lm(request(lm, response_format={"type": "json_schema", "schema": schema}))
    assert answer.data["n"] in {3, 4, 5}
    assert answer.finish_reason == "stop"


@pytest.mark.parametrize("streamed", [False, True])
def test_tool_calls(lm: dspy.LM, streamed: bool) -> None:
    city = {"type": "object", "properties": {"city": {"enum": ["Rome", "Oslo"]}}, "required": ["city"]}
    tool = lm15.FunctionTool("weather", "Tells the weather.", city)
    asked = request(
        lm, "Rome?", (tool,), tool_choice=lm15.ToolChoice("required", parallel=False), temperature=0.0, max_tokens=60
    )
    answer = lm15.materialize_response(lm.engine.stream(asked), asked) if streamed else lm(asked)
    [call] = answer.tool_calls
    assert call.name == "weather"
    assert call.input["city"] in {"Rome", "Oslo"}
    assert call.id
    assert answer.finish_reason == "tool_call"


def test_thinking_and_calls_stay_apart() -> None:
    call = xlc.ToolCall(id="", name="f", arguments='{"a": 1')
    choice = xlc.CompletionChoice(text="Yes.", reasoning="Hm.", tool_calls=(call,), finish_reason="length")
    scripted = ScriptedEngine([xlc.Completion((choice,), xlc.Usage(5, 4, 2, 1))] * 2)
    engine = xlc_dspy.XLlamaEngine(engine=scripted)
    asked = lm15.Request("m", lm15.Message.user("?"))
    whole = engine.complete(asked)
    assert [part.type for part in whole.message.parts] == ["thinking", "text", "tool_call"]
    assert whole.usage == lm15.Usage(5, 4, 9, 2, reasoning_tokens=1)
    assert whole.tool_calls[0].id == "call_0"
    assert whole.tool_calls[0].input == {}
    streamed = lm15.materialize_response(engine.stream(asked), asked)
    assert [part.type for part in streamed.message.parts] == ["thinking", "text", "tool_call"]
    assert (streamed.text, streamed.usage) == (whole.text, whole.usage)


def test_empty_answer() -> None:
    engine = xlc_dspy.XLlamaEngine(engine=ScriptedEngine([""]))
    assert engine.complete(lm15.Request("m", lm15.Message.user("?"))).text == ""


def test_second_identical_call_runs_nothing(engine: xlc.Engine) -> None:
    lm = xlc_dspy.lm(engine=engine, temperature=0, max_tokens=4)
    first = lm("Cached?")
    before = engine.metrics().generation_tokens
    assert lm("Cached?") == first
    assert engine.metrics().generation_tokens == before
    assert lm.history[-1]["usage"] == {}
    lm("Cached?", rollout_id=1, temperature=0.1)
    assert engine.metrics().generation_tokens > before


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (xlc.RequestTimeoutError("slow"), exceptions.LMTimeoutError),
        (xlc.EngineFailedError("broken"), exceptions.LMServerError),
        (xlc.EngineClosedError("closed"), exceptions.LMConfigurationError),
        (xlc.UnsupportedFeatureError("no"), exceptions.LMUnsupportedFeatureError),
        (xlc.ConstraintError("bad"), exceptions.LMInvalidRequestError),
        (xlc.ContextOverflowError("long", 9, 8), exceptions.ContextWindowExceededError),
        (xlc.RequestCancelledError("cancelled"), exceptions.LMProviderError),
    ],
)
async def test_errors_are_those_of_dspy(error: xlc.XllamaError, expected: type[Exception]) -> None:
    lm = xlc_dspy.lm(engine=ScriptedEngine([error, error]), num_retries=0, cache=False)
    with pytest.raises(expected):
        await asyncio.to_thread(lm, "?")
    with pytest.raises(expected):
        await lm.acall("?")


def test_dspy_retries_what_may_pass() -> None:
    lm = xlc_dspy.lm(engine=ScriptedEngine([xlc.EngineFailedError("broken"), "Hi."]), num_retries=1, cache=False)
    assert lm("?") == ["Hi."]


def test_errors_of_real_requests(lm: dspy.LM) -> None:
    with pytest.raises(exceptions.ContextWindowExceededError, match="the context holds 2048"):
        lm("word " * 3000)
    with pytest.raises(exceptions.LMUnsupportedModelError, match="no-such-model"):
        xlc_dspy.lm("no-such-model", num_retries=0)("?")
    with pytest.raises(exceptions.LMUnsupportedFeatureError, match="min_p"):
        lm("?", min_p=0.1)
    with pytest.raises(ValueError, match="custom engine owns its own"):
        lm("?", api_key="k")
    with pytest.raises(exceptions.LMInvalidRequestError, match="frequency"):
        lm(request(lm, extensions={"frequency": 1}))


async def test_cancelled_task_frees_its_slot(lm: dspy.LM, engine: xlc.Engine) -> None:
    task = asyncio.create_task(lm.acall(LONG, max_tokens=None, stop=None))
    assert await await_until(lambda: not is_idle(engine))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await await_until(lambda: is_idle(engine))


def test_closed_stream_frees_its_slot(lm: dspy.LM, engine: xlc.Engine) -> None:
    events = lm.engine.stream(request(lm, LONG))
    assert [next(events).type for _ in range(2)] == ["start", "delta"]
    assert engine.metrics().requests_running == 1
    events.close()
    assert wait_until(lambda: is_idle(engine))


def test_timeout_of_the_engine(engine: xlc.Engine) -> None:
    lm = xlc_dspy.lm(engine=engine, timeout=0.05, max_tokens=None, num_retries=0, cache=False)
    with pytest.raises(exceptions.LMTimeoutError):
        lm(LONG, logit_bias={"<|im_end|>": -1e9})


async def test_gather_of_32(lm: dspy.LM, engine: xlc.Engine) -> None:
    answers = await asyncio.gather(*(lm.acall(f"Say {n}.", max_tokens=2) for n in range(32)))
    assert len(answers) == 32
    assert all(isinstance(text, str) and text for [text] in answers)
    assert engine.metrics().requests_running == 0


def test_two_models_at_once(lm: dspy.LM, smollm2_path: Any) -> None:
    other = xlc_dspy.lm(smollm2_path, n_ctx=256, n_threads=1, temperature=0, max_tokens=3, cache=False)
    with other.engine:
        with dspy.context(lm=lm):
            predict = dspy.Predict("question -> answer")
            predict.set_lm(other)
            predict_both = dspy.Parallel(num_threads=2, disable_progress_bar=True)
            answers = predict_both([(lambda: lm("Hello"), {}), (lambda: other("Hello"), {})])
        assert [len(texts) for texts in answers] == [1, 1]
        assert other.engine.get_engine() is not lm.engine.get_engine()
        assert other.engine.get_engine() is other._async_engine_spec.get_engine()


def test_names_tell_answers_apart(smollm2_path: Any) -> None:
    plain = xlc_dspy.lm(smollm2_path, n_ctx=512)
    assert plain.model == f"xllama/{smollm2_path}"
    first, second, again = (xlc_dspy.lm(smollm2_path, min_p=value) for value in (0.1, 0.2, 0.1))
    assert len({plain.model, first.model, second.model}) == 3
    assert first.model == again.model
    assert xlc_dspy.lm(smollm2_path, reasoning_format="none").model != plain.model
    assert first.engine.options == {"min_p": 0.1}


def test_options_of_requests(engine: xlc.Engine) -> None:
    scripted = ScriptedEngine(["a"])
    lm = xlc_dspy.lm(engine=scripted, min_p=0.1, timeout=9, temperature=0.5, cache=False)
    lm("?", top_k=3)
    options = scripted.requests[0].options
    assert (options.min_p, options.timeout, options.temperature, options.top_k) == (0.1, 9, 0.5, 3)
    assert options.max_tokens == 1024
    with pytest.raises(ValueError, match="min_p"):
        xlc_dspy.lm(engine=engine, min_p=7)


def test_model_of_the_environment(monkeypatch: pytest.MonkeyPatch, smollm2_path: Any) -> None:
    monkeypatch.setenv("XLLAMA_MODEL", str(smollm2_path))
    assert xlc_dspy.lm().model == f"xllama/{smollm2_path}"
    monkeypatch.delenv("XLLAMA_MODEL")
    with pytest.raises(ValueError, match="needs engine= or model="):
        xlc_dspy.lm()


def test_copies_share_the_model(lm: dspy.LM, engine: xlc.Engine) -> None:
    for other in (lm.copy(temperature=0.5), copy.deepcopy(lm)):
        assert other.engine.get_engine() is engine
    assert lm.copy(temperature=0.5).kwargs["temperature"] == 0.5


def test_pickle_and_saved_programs(tmp_path: Any, smollm2_path: Any) -> None:
    lm = xlc_dspy.lm(smollm2_path, n_ctx=256, n_threads=1, min_p=0.1, temperature=0, max_tokens=2, timeout=60)
    assert pickle.loads(pickle.dumps(lm)).engine.dump_state() == lm.engine.dump_state()
    program = dspy.ChainOfThought("question -> answer")
    program.set_lm(lm)
    program.save(tmp_path / "program.json")
    loaded = dspy.ChainOfThought("question -> answer")
    with pytest.raises(ValueError, match="allow_unsafe_lm_state"):
        loaded.load(tmp_path / "program.json")
    loaded.load(tmp_path / "program.json", allow_unsafe_lm_state=True)
    [again] = {predict.lm for predict in loaded.predictors()}
    assert (again.model, again.kwargs) == (lm.model, lm.kwargs)
    assert again.engine.dump_state() == lm.engine.dump_state() == again._async_engine_spec.dump_state()
    with again.engine:
        assert again("Hello", cache=False)
