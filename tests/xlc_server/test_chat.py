"""Chats through OpenAI's own client: whole, streamed, with tools and schemas."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from pydantic import BaseModel, Field

import xlc_core as xlc
from helpers.waiting import is_idle, wait_until

HELLO: Any = [{"role": "user", "content": "Say hello."}]
WEATHER: Any = [{"role": "user", "content": "What is the weather in Rome?"}]
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": "Look up the weather.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
    for name in ("get_weather", "get_forecast")
]


class Person(BaseModel):
    name: str = Field(max_length=10)  # so that an answer ends before its tokens run out
    age: int = Field(ge=0, le=150)


def test_answer_is_the_engines(client: openai.OpenAI, chat_engine: xlc.Engine) -> None:
    answer = client.chat.completions.create(model="chat", messages=HELLO, max_tokens=8, temperature=0, seed=1)
    expected = chat_engine.chat(HELLO, max_tokens=8, temperature=0, seed=1)
    assert answer.choices[0].message.content == expected.text
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == expected.finish_reason
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == expected.usage.prompt_tokens
    assert answer.usage.completion_tokens == expected.usage.completion_tokens == 8
    assert answer.model == "chat"
    assert answer.id.startswith("chatcmpl-")


def test_stream_has_the_same_text_and_ends_with_usage(client: openai.OpenAI) -> None:
    options: Any = {"model": "chat", "messages": HELLO, "max_tokens": 12, "temperature": 0, "logprobs": True, "seed": 1}
    whole = client.chat.completions.create(**options)
    chunks = list(client.chat.completions.create(**options, stream=True, stream_options={"include_usage": True}))
    deltas = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert deltas[0].delta.role == "assistant"
    assert "".join(choice.delta.content or "" for choice in deltas) == whole.choices[0].message.content
    assert [choice.finish_reason for choice in deltas if choice.finish_reason] == [whole.choices[0].finish_reason]
    n_logprobs = sum(len((choice.logprobs and choice.logprobs.content) or ()) for choice in deltas)
    assert n_logprobs == 12
    assert [chunk.usage is None for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 12
    assert len({chunk.id for chunk in chunks}) == 1


def test_stream_without_usage_says_nothing_of_it(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="chat", messages=HELLO, max_tokens=2, stream=True))
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


def test_several_answers(client: openai.OpenAI) -> None:
    options: Any = {"model": "chat", "messages": HELLO, "max_tokens": 5, "n": 3, "seed": 4}
    answer = client.chat.completions.create(**options)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    texts = ["", "", ""]
    for chunk in client.chat.completions.create(**options, stream=True):
        texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert all(texts)


def test_log_probabilities(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="chat", messages=HELLO, max_tokens=3, temperature=0, logprobs=True, top_logprobs=2
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert len(logprobs.content) == 3
    for token in logprobs.content:
        assert token.bytes is not None
        assert bytes(token.bytes).decode() == token.token
        assert token.top_logprobs[0].logprob == token.logprob
        assert len(token.top_logprobs) == 2


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "get_weather"}}], ids=["required", "named"]
)
def test_tools_are_called(client: openai.OpenAI, choice: Any, streams: bool) -> None:
    options: Any = {"model": "chat", "messages": WEATHER, "tools": TOOLS, "tool_choice": choice, "max_tokens": 60}
    if not streams:
        answer = client.chat.completions.create(**options)
    else:
        with client.chat.completions.stream(**options) as stream:
            answer = stream.get_final_completion()
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.choices[0].message.tool_calls
    call: Any = answer.choices[0].message.tool_calls[0]
    assert call.id
    assert call.function.name in ("get_weather", *(["get_forecast"] if choice == "required" else []))
    assert isinstance(json.loads(call.function.arguments)["city"], str)
    followed = client.chat.completions.create(
        model="chat",
        messages=[
            *WEATHER,
            answer.choices[0].message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
        ],
        max_tokens=3,
    )
    assert followed.choices[0].message.content


def test_tools_that_may_not_be_called(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="chat", messages=WEATHER, tools=TOOLS, tool_choice="none", max_tokens=5
    )
    assert answer.choices[0].message.tool_calls is None
    allowed: Any = {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "get_forecast"}}]},
    }
    answer = client.chat.completions.create(
        model="chat", messages=WEATHER, tools=TOOLS, tool_choice=allowed, max_tokens=60
    )
    assert answer.choices[0].message.tool_calls
    first: Any = answer.choices[0].message.tool_calls[0]
    assert first.function.name == "get_forecast"


def test_answer_of_a_type(client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(
        model="chat", messages=[{"role": "user", "content": "Bob is 5."}], response_format=Person, max_tokens=80
    )
    assert isinstance(answer.choices[0].message.parsed, Person)


def test_answer_that_is_json(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="chat", messages=HELLO, response_format={"type": "json_object"}, max_tokens=80
    )
    assert isinstance(json.loads(answer.choices[0].message.content or ""), dict)


def test_further_options_of_the_engine(client: openai.OpenAI, chat_engine: xlc.Engine) -> None:
    options: Any = {"model": "chat", "messages": HELLO, "max_tokens": 8, "seed": 1}
    greedy = client.chat.completions.create(**options, extra_body={"top_k": 1, "repeat_penalty": 1.3})
    expected = chat_engine.chat(HELLO, max_tokens=8, top_k=1, repeat_penalty=1.3, seed=1)
    assert greedy.choices[0].message.content == expected.text
    token = chat_engine.tokenize(greedy.choices[0].message.content or "")[0]
    other = client.chat.completions.create(**options, temperature=0, logit_bias={str(token): -1e6})
    assert not (other.choices[0].message.content or "").startswith(chat_engine.detokenize([token]))


def test_fields_without_effect_are_accepted(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="chat", messages=HELLO, max_completion_tokens=2, user="me", store=False, metadata={"a": "b"}, seed=-1
    )
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 2


def test_stop_sequence_ends_the_answer(client: openai.OpenAI) -> None:
    options: Any = {"model": "chat", "messages": HELLO, "max_tokens": 12, "temperature": 0, "seed": 1}
    text = client.chat.completions.create(**options).choices[0].message.content or ""
    stop = text[2:5]
    answer = client.chat.completions.create(**options, stop=[stop]).choices[0]
    assert answer.finish_reason == "stop"
    assert answer.message.content == text[: text.index(stop)]


def test_leaving_a_stream_frees_its_slot(client: openai.OpenAI, chat_engine: xlc.Engine) -> None:
    before = chat_engine.metrics().generation_tokens
    with client.chat.completions.create(
        model="chat", messages=HELLO, max_tokens=1500, stream=True, extra_body={"ignore_eos": True}
    ) as stream:
        for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        assert not is_idle(chat_engine)
    assert wait_until(lambda: is_idle(chat_engine))
    assert chat_engine.metrics().generation_tokens - before < 1000


async def test_async_answer_stream_and_leaving(aclient: openai.AsyncOpenAI, chat_engine: xlc.Engine) -> None:
    answer = await aclient.chat.completions.create(model="chat", messages=HELLO, max_tokens=4, temperature=0)
    assert answer.choices[0].message.content
    before = chat_engine.metrics().generation_tokens
    stream = await aclient.chat.completions.create(
        model="chat", messages=HELLO, max_tokens=1500, stream=True, extra_body={"ignore_eos": True}
    )
    async with stream:
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break
    assert wait_until(lambda: is_idle(chat_engine))
    assert chat_engine.metrics().generation_tokens - before < 1000


async def test_cancelled_task_ends_its_request(aclient: openai.AsyncOpenAI, chat_engine: xlc.Engine) -> None:
    import asyncio

    from helpers.waiting import await_until

    before = chat_engine.metrics().generation_tokens
    waiting = asyncio.ensure_future(
        aclient.chat.completions.create(model="chat", messages=HELLO, max_tokens=1500, extra_body={"ignore_eos": True})
    )
    assert await await_until(lambda: not is_idle(chat_engine))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await await_until(lambda: is_idle(chat_engine))
    assert chat_engine.metrics().generation_tokens - before < 1400
