"""litellm's provider for OpenAI's API, and those of Cohere and Jina for reranking."""

from __future__ import annotations

import json
from typing import Any

import litellm
import pytest
from pydantic import BaseModel, Field

# Its own code warns.
pytestmark = pytest.mark.filterwarnings("default")

CLIENTS = ("litellm",)
QUESTION = [{"role": "user", "content": "How is the weather in Rome?"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Look up the weather.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


class Person(BaseModel):
    name: str = Field(max_length=20)
    age: int = Field(ge=0, le=150)


@pytest.fixture
def chat(url: str) -> dict[str, Any]:
    options = {"temperature": 0, "max_tokens": 12, "seed": 1}
    return {"model": "openai/chat", "api_base": url, "api_key": "none", "messages": QUESTION, **options}


def test_chat_and_stream(chat: dict[str, Any]) -> None:
    answer = litellm.completion(**chat)
    assert answer.choices[0].message.content
    assert answer.usage.completion_tokens == 12
    chunks = list(litellm.completion(**chat, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == answer.choices[0].message.content
    assert chunks[-1].usage.completion_tokens == 12


async def test_async_chat_and_stream(chat: dict[str, Any]) -> None:
    answer = await litellm.acompletion(**chat)
    stream = await litellm.acompletion(**chat, stream=True)
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text == answer.choices[0].message.content


@pytest.mark.parametrize("streams", [False, True])
def test_tools(chat: dict[str, Any], streams: bool) -> None:
    wanted = {**chat, "tools": [TOOL], "tool_choice": "required", "max_tokens": 100}
    if streams:
        answer = litellm.stream_chunk_builder(list(litellm.completion(**wanted, stream=True)), messages=QUESTION)
    else:
        answer = litellm.completion(**wanted)
    message = answer.choices[0].message
    (call,) = message.tool_calls
    assert call.function.name == "get_weather"
    assert isinstance(json.loads(call.function.arguments)["city"], str)
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    followed = litellm.completion(
        **{**chat, "messages": [*QUESTION, message, result]}, tools=[TOOL], tool_choice="none"
    )
    assert followed.choices[0].message.content


def test_answer_of_a_type(chat: dict[str, Any]) -> None:
    answer = litellm.completion(**{**chat, "max_tokens": 100}, response_format=Person)
    assert Person.model_validate_json(answer.choices[0].message.content)


def test_responses(chat: dict[str, Any]) -> None:
    options = {name: chat[name] for name in ("model", "api_base", "api_key", "temperature")}
    answer = litellm.responses(**options, input="Say hello.", max_output_tokens=16)
    assert answer.output[0].content[0].text
    events = list(litellm.responses(**options, input="Say hello.", max_output_tokens=16, stream=True))
    assert events[-1].response.usage.output_tokens == 16


def test_text_completion(chat: dict[str, Any]) -> None:
    options = {name: chat[name] for name in ("api_base", "api_key", "temperature")}
    answer = litellm.text_completion(model="text-completion-openai/chat", prompt="1, 2, 3,", max_tokens=6, **options)
    assert answer.choices[0].text


@pytest.mark.parametrize("encoding_format", ["float", "base64"])
def test_embeddings(url: str, encoding_format: str) -> None:
    answer = litellm.embedding(
        "openai/embed", ["a cat", "a house"], api_base=url, api_key="none", encoding_format=encoding_format
    )
    assert [item["index"] for item in answer.data] == [0, 1]
    if encoding_format == "float":
        assert len(answer.data[0]["embedding"]) == 384


@pytest.mark.parametrize("provider", ["cohere", "jina_ai", "hosted_vllm"])
def test_rerank(root: str, provider: str) -> None:
    documents = ["Bread is baked.", "Paris is the capital of France.", "Cats sleep."]
    query = "What is the capital of France?"
    answer = litellm.rerank(f"{provider}/rank", query, documents, top_n=2, api_base=root, api_key="none")
    assert [len(answer.results), answer.results[0]["index"]] == [2, 1]


def test_anthropic(root: str, chat: dict[str, Any]) -> None:
    options = {**chat, "model": "anthropic/chat", "api_base": root}
    del options["seed"]
    answer = litellm.completion(**options)
    assert answer.choices[0].message.content
    text = "".join(chunk.choices[0].delta.content or "" for chunk in litellm.completion(**options, stream=True))
    assert text


def test_errors(chat: dict[str, Any]) -> None:
    with pytest.raises(litellm.NotFoundError):
        litellm.completion(**{**chat, "model": "openai/missing"}, num_retries=0, max_retries=0)
    with pytest.raises(litellm.BadRequestError):
        litellm.completion(**{**chat, "temperature": -1}, max_retries=0)
    with pytest.raises(litellm.ContextWindowExceededError):
        litellm.completion(**{**chat, "messages": [{"role": "user", "content": "word " * 3000}]}, max_retries=0)
