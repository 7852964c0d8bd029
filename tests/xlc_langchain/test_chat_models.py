"""ChatXLlama over a scripted engine: answers, streams, parameters."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.load import dumpd, load
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage

from helpers.langchain_scripts import WEATHER_CALL, completion, thinking_then_calling
from xlc_core import InvalidRequestError, TokenLogprob
from xlc_core.events import Finished, TextDelta
from xlc_core.results import Completion, CompletionChoice, Usage
from xlc_core.testing import ScriptedEngine
from xlc_langchain import ChatXLlama

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xlc_core.testing import Reply


def chat(*replies: Reply, **fields: Any) -> tuple[ChatXLlama, ScriptedEngine]:
    engine = ScriptedEngine(replies)
    return ChatXLlama(engine=engine, **fields), engine


def joined(chunks: Sequence[AIMessageChunk]) -> AIMessageChunk:
    return chunks[0] + list(chunks[1:])


async def test_invoke_and_ainvoke_give_same() -> None:
    llm, engine = chat(completion("Hello.", reasoning="Greet.", calls=[WEATHER_CALL]))
    answers = [llm.invoke("Hi"), await llm.ainvoke("Hi")]
    for answer in answers:
        assert answer.content == "Hello."
        assert answer.additional_kwargs == {"reasoning_content": "Greet."}
        assert answer.tool_calls == [
            {"name": "get_weather", "args": {"city": "Oslo"}, "id": "call_1", "type": "tool_call"}
        ]
        assert answer.usage_metadata == {
            "input_tokens": 30,
            "output_tokens": 12,
            "total_tokens": 42,
            "input_token_details": {"cache_read": 20},
            "output_token_details": {"reasoning": 0},
        }
        assert answer.response_metadata == {
            "model_provider": "xllama",
            "model_name": "scripted",
            "finish_reason": "stop",
            "timings": {
                "prompt_seconds": 0.5,
                "prompt_tokens_per_second": 20.0,
                "generation_seconds": 1.0,
                "generation_tokens_per_second": 10.0,
            },
        }
        assert [block["type"] for block in answer.content_blocks] == [
            "reasoning",
            "text",
            "tool_call",
        ]
    assert engine.requests[0] == engine.requests[1]


async def test_stream_and_astream_give_same() -> None:
    llm, _ = chat(thinking_then_calling())
    streams = [list(llm.stream("Hi")), [chunk async for chunk in llm.astream("Hi")]]
    for chunks in streams:
        assert [chunk.content for chunk in chunks if chunk.content] == ["Let me ", "look."]
        assert [chunk.chunk_position for chunk in chunks] == [None] * 9 + ["last"]
        assert [chunk.usage_metadata is not None for chunk in chunks] == [False] * 9 + [True]
        whole = joined(chunks)
        assert whole.response_metadata["model_name"] == "scripted"
        assert whole.response_metadata["finish_reason"] == "tool_calls"
        assert whole.additional_kwargs == {"reasoning_content": "Rain?"}
        assert whole.tool_calls == [
            {"name": "get_weather", "args": {"city": "Oslo"}, "id": "call_1", "type": "tool_call"},
            {"name": "get_time", "args": {}, "id": "call_2", "type": "tool_call"},
        ]
        assert [block["type"] for block in whole.content_blocks] == [
            "reasoning",
            "text",
            "tool_call",
            "tool_call",
        ]


def test_standard_content_keeps_calls_that_follow_text() -> None:
    llm, _ = chat(thinking_then_calling(), output_version="v1")
    whole = joined(list(llm.stream("Hi")))
    kinds = [block["type"] for block in whole.content]
    assert kinds == ["reasoning", "text", "tool_call", "tool_call"]
    assert whole.content[2]["args"] == {"city": "Oslo"}
    assert whole.content[1]["text"] == "Let me look."


@pytest.mark.filterwarnings("ignore:.*is in beta")
def test_event_streams_tell_text_thinking_and_calls_apart() -> None:
    llm, _ = chat(thinking_then_calling())
    stream = llm.stream_events("Hi", version="v3")
    kinds = [event["content"]["type"] for event in stream if event["event"] == "content-block-finish"]
    assert kinds == ["reasoning", "text", "tool_call", "tool_call"]


def test_several_answers() -> None:
    both = Completion((CompletionChoice(text="Yes."), CompletionChoice(text="No.")), Usage(5, 4), "scripted")
    llm, engine = chat(both, model_kwargs={"n": 2})
    first, second = llm.generate([[HumanMessage("Well?")]]).generations[0]
    assert (first.text, second.text) == ("Yes.", "No.")
    assert [first.message.usage_metadata is None, second.message.usage_metadata is None] == [
        False,
        True,
    ]
    assert engine.requests[0].options.n == 2
    with pytest.raises(InvalidRequestError, match="only one answer is possible"):
        next(llm.stream("Well?"))


def test_logprobs_have_openai_form() -> None:
    token = TokenLogprob("Yes", 7, -0.1, (TokenLogprob("No", 8, -2.3, bytes=b"No"),), bytes=b"Yes")
    expected = {
        "content": [
            {
                "token": "Yes",
                "logprob": -0.1,
                "bytes": list(b"Yes"),
                "top_logprobs": [{"token": "No", "logprob": -2.3, "bytes": list(b"No")}],
            }
        ]
    }
    done = Completion((CompletionChoice(text="Yes", logprobs=(token,)),), Usage(1, 1), "scripted")
    llm, _ = chat([TextDelta("Yes", logprobs=(token,)), Finished(done)], logprobs=1)
    assert llm.invoke("Well?").response_metadata["logprobs"] == expected
    assert joined(list(llm.stream("Well?"))).response_metadata["logprobs"] == expected


def test_parameters_reach_engine_and_call_overrides_them() -> None:
    llm, engine = chat(
        "ok",
        temperature=0.2,
        stop=["A"],
        timeout=9,
        thinking=False,
        model_kwargs={"dry_multiplier": 0.8},
    )
    llm.invoke("Hi")
    llm.bind(temperature=0.9, max_tokens=None).invoke("Hi", stop=["B"])
    own, overridden = (request.options for request in engine.requests)
    assert (own.temperature, own.max_tokens, own.stop) == (0.2, 1024, ("A",))
    assert (own.timeout, own.thinking, own.dry_multiplier) == (9, False, 0.8)
    assert (overridden.temperature, overridden.max_tokens, overridden.stop) == (0.9, None, ("B",))


@pytest.mark.parametrize("fields", [{"temperature": -1}, {"model_kwargs": {"top_kk": 3}}])
def test_bad_parameters_are_refused_before_anything_is_loaded(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"temperature|did you mean 'top_k'"):
        ChatXLlama(model="some.gguf", **fields)


def test_unknown_option_of_call_is_refused() -> None:
    llm, _ = chat("ok")
    with pytest.raises(InvalidRequestError, match="did you mean 'temperature'"):
        llm.invoke("Hi", temprature=1)


def test_cache_tells_models_and_parameters_apart() -> None:
    cache = InMemoryCache()
    engine = ScriptedEngine(["one", "two", "three"])
    calm = ChatXLlama(engine=engine, temperature=0, cache=cache)
    wild = ChatXLlama(engine=engine, temperature=1, cache=cache)
    assert [calm.invoke("Hi").text, calm.invoke("Hi").text, wild.invoke("Hi").text] == [
        "one",
        "one",
        "two",
    ]
    assert calm.asdict() != wild.asdict()
    assert len(engine.requests) == 2


@pytest.mark.filterwarnings("ignore:.*is in beta")
def test_configuration_travels() -> None:
    llm, _ = chat("ok", temperature=0.5)
    loaded = load(dumpd(llm), allowed_objects=[ChatXLlama], valid_namespaces=["xlc_langchain"])
    for twin in (loaded, pickle.loads(pickle.dumps(llm)), copy.deepcopy(llm), llm.model_copy()):
        assert twin.asdict() == llm.asdict()
    assert copy.deepcopy(llm).engine is llm.engine


def test_tokens_come_from_model() -> None:
    llm, engine = chat("ok")
    messages = [HumanMessage("Hi"), AIMessage("Ho")]
    assert llm.get_token_ids("Hi") == [72, 105]
    assert llm.get_num_tokens("Hi") == 2
    assert llm.get_num_tokens_from_messages(messages) == engine.count_tokens(
        [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    )


def test_traces_name_model() -> None:
    llm = ChatXLlama(model="some.gguf", temperature=0.1)
    assert llm._get_ls_params() == {
        "ls_provider": "xllama",
        "ls_model_type": "chat",
        "ls_model_name": "some.gguf",
        "ls_temperature": 0.1,
        "ls_max_tokens": 1024,
    }


def test_broken_call_is_kept_as_invalid() -> None:
    cut = WEATHER_CALL.model_copy(update={"arguments": '{"city": "Os'})
    llm, _ = chat(completion(calls=[cut], finish="length"))
    answer = llm.invoke("Hi")
    assert answer.tool_calls == []
    assert answer.invalid_tool_calls[0]["args"] == '{"city": "Os'
