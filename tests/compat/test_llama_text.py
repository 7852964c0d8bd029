"""Completions and chats have llama-cpp-python's keys, and the engine's guarantees."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from xlc_core.compat.llama_cpp import Llama, LlamaGrammar
from xlc_core.errors import ConstraintError, ContextOverflowError, UnsupportedFeatureError

PROMPT = "The capital of France is"
CHAT = [{"role": "user", "content": "Say hi."}]
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Return the weather.",
        "parameters": {"type": "object", "properties": {"city": {"enum": ["Rome", "Bern"]}}, "required": ["city"]},
    },
}
SCHEMA = {"type": "object", "properties": {"sunny": {"type": "boolean"}}, "required": ["sunny"]}


def test_completion_has_the_keys(tiny: Llama) -> None:
    n = len(tiny.tokenize(PROMPT.encode()))
    response = tiny(PROMPT, max_tokens=3, temperature=0)
    assert set(response) == {"id", "object", "created", "model", "choices", "usage"}
    assert response["object"] == "text_completion"
    assert response["id"].startswith("cmpl-")
    assert response["model"] == tiny.model_path
    (choice,) = response["choices"]
    assert set(choice) == {"text", "index", "logprobs", "finish_reason"}
    assert (choice["index"], choice["logprobs"], choice["finish_reason"]) == (0, None, "length")
    assert response["usage"] == {"prompt_tokens": n, "completion_tokens": 3, "total_tokens": n + 3}


def test_chunks_make_the_same_text(tiny: Llama) -> None:
    whole = tiny(PROMPT, max_tokens=8, temperature=0, seed=1)["choices"][0]
    chunks = list(tiny(PROMPT, max_tokens=8, temperature=0, seed=1, stream=True))
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == whole["text"]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["length"]
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert all("usage" not in chunk for chunk in chunks)


def test_logprobs_include_the_token(tiny: Llama) -> None:
    response = tiny(PROMPT, max_tokens=4, temperature=0, logprobs=2, model="mine")
    found = response["choices"][0]["logprobs"]
    assert set(found) == {"tokens", "text_offset", "token_logprobs", "top_logprobs"}
    assert found["text_offset"][0] == len(PROMPT)
    assert all(token in top for token, top in zip(found["tokens"], found["top_logprobs"], strict=True))
    assert response["model"] == "mine"


def test_echo_puts_the_prompt_first(tiny: Llama) -> None:
    assert tiny(PROMPT, max_tokens=1, echo=True)["choices"][0]["text"].startswith(PROMPT)
    with pytest.raises(NotImplementedError, match="echo"):
        tiny(PROMPT, echo=True, logprobs=1)


def test_stop_is_a_text_or_a_list(tiny: Llama) -> None:
    grammar = LlamaGrammar.from_string('root ::= "ab,cd,ef"')
    for stop in (",c", ["zz", ",c", ""]):
        choice = tiny("x", max_tokens=20, grammar=grammar, stop=stop)["choices"][0]
        assert (choice["text"], choice["finish_reason"]) == ("ab", "stop")


def test_no_limit_is_zero_or_none(tiny: Llama) -> None:
    grammar = LlamaGrammar.from_string('root ::= "' + "word " * 20 + '"')
    for max_tokens in (None, 0, -1):
        assert tiny("x", max_tokens=max_tokens, grammar=grammar)["choices"][0]["finish_reason"] == "stop"


def test_prompt_may_be_tokens(tiny: Llama) -> None:
    tokens = tiny.tokenize(PROMPT.encode())
    by_tokens = tiny(tokens, max_tokens=4, temperature=0, seed=1)
    assert by_tokens["choices"][0]["text"] == tiny(PROMPT, max_tokens=4, temperature=0, seed=1)["choices"][0]["text"]
    with pytest.raises(UnsupportedFeatureError, match="pass the prompt as text"):
        tiny(tokens[1:])  # without the start token, which the model needs


def test_empty_prompt_is_the_start_token(tiny: Llama) -> None:
    assert tiny("", max_tokens=1)["usage"]["prompt_tokens"] == 1


def test_overflow_has_the_original_words(tiny: Llama) -> None:
    with pytest.raises(ValueError, match=r"Requested tokens \(\d+\) exceed context window of 1024") as caught:
        tiny("a " * 1200)
    assert isinstance(caught.value, ContextOverflowError)
    with pytest.raises(ValueError, match="exceed context window"):
        tiny.create_chat_completion([{"role": "user", "content": "a " * 1200}], stream=True)


def test_suffix_needs_infill_tokens(tiny: Llama) -> None:
    with pytest.raises(UnsupportedFeatureError):
        tiny("def f(", suffix=")")


def test_seed_repeats_a_text(tiny: Llama) -> None:
    texts = {tiny(PROMPT, max_tokens=6, temperature=1.5, seed=7)["choices"][0]["text"] for _ in range(2)}
    assert len(texts) == 1


def test_state_brings_back_the_seeds(tiny: Llama) -> None:
    tiny.set_seed(5)
    state = tiny.save_state()
    drawn = [tiny.seed_options(None, is_random=True) for _ in range(3)]
    tiny.load_state(state)
    assert [tiny.seed_options(None, is_random=True) for _ in range(3)] == drawn
    assert len({options["seed"] for options in drawn}) == 3


def test_state_holds_the_conversation(tiny: Llama) -> None:
    tiny("One two three", max_tokens=1)
    state = tiny.save_state()
    assert state.n_tokens >= len(tiny.tokenize(b"One two three"))
    assert state.llama_state_size == len(state.llama_state) > 0
    tiny.load_state(state)
    with pytest.raises(ValueError, match="save_state"):
        tiny.load_state(b"state")  # type: ignore[arg-type]


def test_chat_has_the_keys(tiny: Llama) -> None:
    response = tiny.create_chat_completion(CHAT, max_tokens=3, temperature=0, logprobs=True, top_logprobs=2)
    assert set(response) == {"id", "object", "created", "model", "choices", "usage"}
    (choice,) = response["choices"]
    assert set(choice) == {"index", "message", "logprobs", "finish_reason"}
    assert set(choice["message"]) == {"role", "content"}
    assert [len(entry["top_logprobs"]) for entry in choice["logprobs"]["content"]] == [2, 2, 2]


def test_streamed_chat_begins_with_the_role(tiny: Llama) -> None:
    chunks = [chunk["choices"][0] for chunk in tiny.create_chat_completion(CHAT, max_tokens=3, stream=True)]
    assert chunks[0]["delta"] == {"role": "assistant"}
    assert all(set(chunk["delta"]) == {"content"} for chunk in chunks[1:-1])
    assert (chunks[-1]["delta"], chunks[-1]["finish_reason"]) == ({}, "length")


@pytest.mark.parametrize(
    "response_format",
    [
        {"type": "json_object", "schema": SCHEMA},
        {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}},
    ],
    ids=["short", "openai"],
)
def test_response_format_is_enforced(tiny: Llama, response_format: Any) -> None:
    response = tiny.create_chat_completion(CHAT, max_tokens=60, response_format=response_format)
    assert isinstance(json.loads(response["choices"][0]["message"]["content"])["sunny"], bool)


def test_tool_is_called(tiny: Llama) -> None:
    choice = {"type": "function", "function": {"name": "get_weather"}}
    response = tiny.create_chat_completion(CHAT, max_tokens=80, tools=[TOOL], tool_choice=choice)["choices"][0]
    (call,) = response["message"]["tool_calls"]
    assert response["finish_reason"] == "tool_calls"
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"])["city"] in ("Rome", "Bern")
    assert response["message"]["function_call"] == call["function"]


def test_streamed_call_has_pieces(tiny: Llama) -> None:
    chunks = [
        chunk["choices"][0]
        for chunk in tiny.create_chat_completion(CHAT, max_tokens=80, tools=[TOOL], tool_choice="required", stream=True)
    ]
    pieces = [chunk["delta"]["tool_calls"][0] for chunk in chunks if "tool_calls" in chunk["delta"]]
    assert pieces[0]["function"]["name"] == "get_weather"
    assert json.loads("".join(piece["function"]["arguments"] for piece in pieces))["city"] in ("Rome", "Bern")
    assert chunks[-1]["finish_reason"] == "tool_calls"


def test_functions_are_the_earlier_form(tiny: Llama) -> None:
    response = tiny.create_chat_completion(
        CHAT, max_tokens=80, functions=[TOOL["function"]], function_call={"name": "get_weather"}
    )["choices"][0]
    assert response["finish_reason"] == "function_call"
    assert response["message"]["function_call"]["name"] == "get_weather"


def test_grammars(tiny: Llama) -> None:
    schema = LlamaGrammar.from_json_schema(json.dumps(SCHEMA))
    assert "sunny" in json.loads(tiny("x", max_tokens=60, grammar=schema)["choices"][0]["text"])
    with pytest.raises(ConstraintError):
        LlamaGrammar.from_string("root ::= missing")
    with pytest.raises(TypeError, match="LlamaGrammar"):
        tiny("x", grammar="root ::= missing")  # type: ignore[arg-type]


def test_threads_share_one_model(tiny: Llama) -> None:
    alone = tiny(PROMPT, max_tokens=8, temperature=0)["choices"][0]["text"]
    texts: list[str] = []
    threads = [
        threading.Thread(target=lambda: texts.append(tiny(PROMPT, max_tokens=8, temperature=0)["choices"][0]["text"]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(text) > 0 for text in texts] == [True] * 4
    assert texts[0].split()[0] == alone.split()[0]
