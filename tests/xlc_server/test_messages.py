"""Anthropic's Messages API through its own client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

import xlc_core as xlc
from helpers.servers import running_server
from helpers.thinking_template import THINKING_TEMPLATE
from helpers.waiting import is_idle, wait_until

SEED: Any = {"extra_body": {"temperature": 0, "seed": 1}}
HELLO: Any = [{"role": "user", "content": "Say hello."}]
TOOLS: Any = [
    {
        "name": "get_weather",
        "description": "Look up the weather.",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }
]


@pytest.fixture
def claude(url: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=url, api_key="none", max_retries=0) as client:
        yield client


def test_answer_is_the_engines(claude: anthropic.Anthropic, chat_engine: xlc.Engine) -> None:
    answer = claude.messages.create(model="chat", system="Be brief.", messages=HELLO, max_tokens=8, **SEED)
    expected = chat_engine.chat(
        [{"role": "system", "content": "Be brief."}, *HELLO], max_tokens=8, temperature=0, seed=1
    )
    assert [block.text for block in answer.content if block.type == "text"] == [expected.text]
    assert answer.stop_reason == "max_tokens"
    assert answer.usage.input_tokens == expected.usage.prompt_tokens
    assert answer.usage.output_tokens == 8
    counted = claude.messages.count_tokens(model="chat", system="Be brief.", messages=HELLO)
    assert counted.input_tokens == expected.usage.prompt_tokens


def test_stream_has_the_same_text(claude: anthropic.Anthropic) -> None:
    options: Any = {"model": "chat", "messages": HELLO, "max_tokens": 8, **SEED}
    whole = claude.messages.create(**options)
    with claude.messages.stream(**options) as stream:
        texts = list(stream.text_stream)
        streamed = stream.get_final_message()
    assert len(texts) > 1
    assert [block.model_dump() for block in streamed.content] == [block.model_dump() for block in whole.content]
    assert streamed.stop_reason == whole.stop_reason
    assert streamed.usage.output_tokens == whole.usage.output_tokens
    assert streamed.usage.input_tokens == whole.usage.input_tokens
    text = "".join(texts)
    stopped = claude.messages.create(**options, stop_sequences=[text[2:5]])
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", text[2:5])


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "get_weather"}])
def test_tools_are_called_and_answered(claude: anthropic.Anthropic, choice: Any, streams: bool) -> None:
    question: Any = {"role": "user", "content": "Weather in Rome?"}
    options: Any = {"model": "chat", "messages": [question], "tools": TOOLS, "tool_choice": choice, "max_tokens": 60}
    if streams:
        with claude.messages.stream(**options, **SEED) as stream:
            answer: Any = stream.get_final_message()
    else:
        answer = claude.messages.create(**options, **SEED)
    (call,) = answer.content
    assert (answer.stop_reason, call.type, call.name) == ("tool_use", "tool_use", "get_weather")
    assert isinstance(call.input["city"], str)
    result: Any = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    history: Any = [
        question,
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in answer.content]},
        {"role": "user", "content": [result]},
    ]
    assert claude.messages.create(model="chat", messages=history, tools=TOOLS, max_tokens=4).content


def test_answer_that_matches_a_schema(claude: anthropic.Anthropic) -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    form: Any = {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
    answer: Any = claude.messages.create(model="chat", messages=HELLO, max_tokens=60, extra_body=form)
    assert isinstance(json.loads(answer.content[0].text)["age"], int)


def test_thinking_is_a_block() -> None:
    options: Any = {"n_ctx": 1024, "n_parallel": 2, "chat_template": THINKING_TEMPLATE}
    with (
        xlc.EnginePool({"thinks": "smollm2-135m-instruct"}, **options) as pool,
        running_server(pool) as url,
        anthropic.Anthropic(base_url=url, api_key="none", max_retries=0) as claude,
    ):
        wanted: Any = {"model": "thinks", "messages": HELLO, "max_tokens": 24, **SEED}
        thinking: Any = {"thinking": {"type": "enabled", "budget_tokens": 6}}
        answer = claude.messages.create(**wanted, **thinking)
        assert [block.type for block in answer.content] == ["thinking", "text"]
        with claude.messages.stream(**wanted, **thinking) as stream:
            streamed = stream.get_final_message()
        assert [block.type for block in streamed.content] == ["thinking", "text"]
        off = claude.messages.create(**wanted, thinking={"type": "disabled"})
        assert [block.type for block in off.content] == ["text"]


def test_leaving_a_stream_frees_its_slot(claude: anthropic.Anthropic, chat_engine: xlc.Engine) -> None:
    with claude.messages.create(
        model="chat", messages=HELLO, max_tokens=1500, stream=True, extra_body={"ignore_eos": True}
    ) as stream:
        for event in stream:
            if event.type == "content_block_delta":
                break
    assert wait_until(lambda: is_idle(chat_engine))


def test_errors_have_anthropics_form(claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as missing:
        claude.messages.create(model="other", messages=HELLO, max_tokens=2)
    body: Any = missing.value.body
    assert body["type"] == "error"
    assert body["error"]["type"] == "not_found_error"
    with pytest.raises(anthropic.BadRequestError, match="temperature"):
        claude.messages.create(model="chat", messages=HELLO, max_tokens=2, extra_body={"temperature": -1})
    theirs: Any = [{"type": "web_search_20250305", "name": "web_search"}]
    with pytest.raises(anthropic.BadRequestError, match="input_schema"):
        claude.messages.create(model="chat", messages=HELLO, max_tokens=2, tools=theirs)
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        claude.post("/v1/messages", body={"model": "chat", "messages": HELLO}, cast_to=object)
