"""OpenAI's Responses API through its own client."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field

import xlc_core as xlc
import xlc_server
from helpers.thinking_template import THINKING_TEMPLATE
from helpers.waiting import is_idle, wait_until

TOOL: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "Look up the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": True,
}

SEED = {"seed": 1}  # the same request has the same answer, whatever was cached before


class Person(BaseModel):
    name: str = Field(max_length=10)  # so that an answer ends before its tokens run out
    age: int = Field(ge=0, le=150)


def test_answer_is_the_engines(client: openai.OpenAI, chat_engine: xlc.Engine) -> None:
    answer = client.responses.create(
        model="chat", instructions="Be brief.", input="Say hello.", max_output_tokens=8, temperature=0, extra_body=SEED
    )
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say hello."}]
    expected = chat_engine.chat(chat, max_tokens=8, temperature=0, seed=1)
    assert answer.output_text == expected.text
    assert answer.status == "incomplete"
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "max_output_tokens"
    assert answer.usage is not None
    assert answer.usage.input_tokens == expected.usage.prompt_tokens
    assert answer.usage.output_tokens == 8


def test_stream_has_the_same_text(client: openai.OpenAI) -> None:
    options: Any = {"model": "chat", "input": "Say hello.", "max_output_tokens": 8, "temperature": 0}
    options |= {"include": ["message.output_text.logprobs"], "top_logprobs": 2, "extra_body": SEED}
    whole = client.responses.create(**options)
    events = list(client.responses.create(**options, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    names = [event.type for event in events]
    assert names[:4] == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added"
    ]  # fmt: skip
    assert names[-4:] == [
        "response.output_text.done", "response.content_part.done", "response.output_item.done", "response.incomplete"
    ]  # fmt: skip
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole.output_text
    last: Any = events[-1]
    assert last.response.output_text == whole.output_text
    part: Any = last.response.output[0].content[0]
    assert "".join(token.token for token in part.logprobs) == whole.output_text
    assert len(part.logprobs) == 8


@pytest.mark.parametrize("streams", [False, True])
def test_tools_are_called_and_answered(client: openai.OpenAI, streams: bool) -> None:
    options: Any = {"model": "chat", "tools": [TOOL], "tool_choice": {"type": "function", "name": "get_weather"}}
    options |= {"temperature": 0, "extra_body": SEED}
    question: Any = {"role": "user", "content": [{"type": "input_text", "text": "Weather in Rome?"}]}
    if streams:
        with client.responses.stream(**options, input=[question]) as stream:
            answer: Any = stream.get_final_response()
    else:
        answer = client.responses.create(**options, input=[question])
    assert answer.status == "completed"
    (call,) = answer.output
    assert (call.type, call.name) == ("function_call", "get_weather")
    assert isinstance(json.loads(call.arguments)["city"], str)
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    followed = client.responses.create(
        model="chat", input=[question, call.model_dump(exclude_none=True), result], max_output_tokens=4
    )
    assert followed.output_text


def test_answer_of_a_type(client: openai.OpenAI) -> None:
    answer = client.responses.parse(model="chat", input="Bob is 5.", text_format=Person, max_output_tokens=80)
    assert isinstance(answer.output_parsed, Person)


def test_thinking_is_an_item() -> None:
    options: Any = {"n_ctx": 1024, "n_parallel": 2, "chat_template": THINKING_TEMPLATE}
    with xlc_server.openai_client({"thinks": "smollm2-135m-instruct"}, **options) as client:
        wanted: Any = {"model": "thinks", "input": "Say hello.", "max_output_tokens": 24, "temperature": 0}
        wanted["extra_body"] = {"thinking_budget": 6, **SEED}
        answer = client.responses.create(**wanted)
        assert [item.type for item in answer.output] == ["reasoning", "message"]
        *_, last = client.responses.create(**wanted, stream=True)
        streamed: Any = last
        assert [item.type for item in streamed.response.output] == ["reasoning", "message"]
        thoughts: Any = answer.output[0]
        assert streamed.response.output[0].content[0].text == thoughts.content[0].text
        history: Any = [{"role": "user", "content": "Say hello."}, *(item.model_dump() for item in answer.output)]
        history.append({"role": "user", "content": "Again."})
        assert client.responses.create(model="thinks", input=history, max_output_tokens=4, reasoning={"effort": "none"})


def test_leaving_a_stream_frees_its_slot(client: openai.OpenAI, chat_engine: xlc.Engine) -> None:
    with client.responses.create(
        model="chat", input="Tell me a story.", max_output_tokens=1500, stream=True, extra_body={"ignore_eos": True}
    ) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                break
    assert wait_until(lambda: is_idle(chat_engine))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"previous_response_id": "resp_1"}, "stores nothing"),
        ({"tools": [{"type": "web_search"}]}, "functions only"),
        ({"temperature": -1}, "temperature"),
        ({"input": []}, "input"),
    ],
)
def test_requests_that_are_refused(client: openai.OpenAI, options: dict[str, Any], message: str) -> None:
    with pytest.raises(openai.BadRequestError, match=message):
        client.responses.create(**{"model": "chat", "input": "x", **options})


def test_langchain_through_responses(url: str) -> None:
    options: Any = {"api_key": "none", "temperature": 0, "extra_body": SEED}
    llm = ChatOpenAI(base_url=f"{url}/v1", model="chat", use_responses_api=True, **options)
    answer = llm.invoke("Say hello.", max_output_tokens=6)
    assert answer.text
    assert "".join(chunk.text for chunk in llm.stream("Say hello.", max_output_tokens=6)) == answer.text
