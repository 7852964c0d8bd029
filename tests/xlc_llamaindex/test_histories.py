"""A chat goes on in LlamaIndex after other providers' classes, broken calls and memories that were cut."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    CacheControl,
    CachePoint,
    ChatMessage,
    CitationBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.llms.llm import LLM
from llama_index.core.memory import ChatMemoryBuffer

from xlc_core import Message, ToolCall
from xlc_llamaindex.messages import to_engine_messages

USER = ChatMessage(role="user", content="Search for cats.")
LAST = ChatMessage(role="user", content="Never mind. Hello?")


def middle(*messages: ChatMessage) -> list[Message]:
    """Convert messages that are not the last of their chat."""
    return to_engine_messages([*messages, LAST])[:-1]


class OpenAICall:
    """As the openai package's objects are kept in ``additional_kwargs``."""

    def __init__(self, arguments: str) -> None:
        self.arguments = arguments

    def model_dump(self) -> dict[str, Any]:
        return {"index": 0, "id": "1", "type": "function", "function": {"name": "search", "arguments": self.arguments}}


@pytest.mark.parametrize(
    "call",
    [
        OpenAICall('{"query": "cats"}'),
        {"id": "1", "type": "function", "function": {"name": "search", "arguments": '{"query": "cats"}'}},
        {"id": "1", "name": "search", "input": {"query": "cats"}, "type": "tool_use"},
        {"toolUseId": "1", "name": "search", "input": {"query": "cats"}},
        {"id": "1", "name": "search", "args": {"query": "cats"}},
        {"id": "1", "function": {"name": "search", "arguments": {"query": "cats"}}},
    ],
)
def test_calls_of_other_providers_classes(call: Any) -> None:
    (message,) = middle(ChatMessage(role="assistant", content=None, additional_kwargs={"tool_calls": [call]}))
    assert message.tool_calls == (ToolCall(id="1", name="search", arguments='{"query": "cats"}'),)


@pytest.mark.parametrize("arguments", ['{"query": "cats', "", "cats", {"query": "cats"}, {}])
@pytest.mark.parametrize("answered", [True, False])
def test_call_that_was_cut_off_goes_back(llm: LLM, arguments: Any, answered: bool) -> None:
    call = ToolCallBlock(tool_call_id="1", tool_name="search", tool_kwargs=arguments)
    result = ChatMessage(role="tool", content="error", additional_kwargs={"tool_call_id": "1"})
    chat = [USER, ChatMessage(role="assistant", blocks=[call]), *([result] if answered else []), LAST]
    assert [call.name for message in to_engine_messages(chat) for call in message.tool_calls] == ["search"]
    assert llm.chat(chat, max_tokens=2)


def test_blocks_that_say_nothing(llm: LLM) -> None:
    blocks = [
        ThinkingBlock(content="Hm", additional_information={"signature": "c2ln"}),
        ThinkingBlock(content=None, additional_information={"encrypted_content": "x"}),
        TextBlock(text="Cats sleep."),
        CitationBlock(cited_content="quoted", title="t", source="s", additional_location_info={}),
        CachePoint(cache_control=CacheControl(type="ephemeral")),
    ]
    message = ChatMessage(
        role="assistant", blocks=blocks, additional_kwargs={"annotations": [1], "built_in_tool_calls": [1]}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert middle(message) == [Message(role="assistant", content="Cats sleep.quoted", reasoning="Hm")]
        assert llm.chat([USER, message, LAST], max_tokens=1)


@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        ({"refusal": "I will not."}, Message(role="assistant", content="I will not.")),
        ({"reasoning_content": "Hm"}, Message(role="assistant", reasoning="Hm")),
        ({"tool_calls": None, "audio": None}, Message(role="assistant")),
    ],
)
def test_what_classes_keep_beside_the_blocks(kwargs: dict[str, Any], expected: Message) -> None:
    assert middle(ChatMessage(role="assistant", content=None, additional_kwargs=kwargs)) == [expected]


def test_answer_passed_on_as_a_users_message() -> None:
    blocks = [ThinkingBlock(content="Hm"), TextBlock(text="Cats."), ToolCallBlock(tool_name="search", tool_kwargs={})]
    with pytest.warns(UserWarning, match="that are not the assistant's are left out"):
        assert middle(ChatMessage(role="user", blocks=blocks)) == [Message(role="user", content="Cats.")]


CHAT = [
    ChatMessage(role="system", content="Be brief."),
    USER,
    ChatMessage(
        role="assistant", blocks=[ToolCallBlock(tool_call_id="1", tool_name="search", tool_kwargs={"query": "cats"})]
    ),
    ChatMessage(role="tool", content="cats sleep", additional_kwargs={"tool_call_id": "1"}),
    ChatMessage(role="assistant", content="They sleep."),
    ChatMessage(role=MessageRole.SYSTEM, content="Summary: we talked of cats."),
    LAST,
]


def test_chat_that_a_memory_cut_anywhere(llm: LLM) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for begin in range(len(CHAT)):
            assert llm.chat(CHAT[begin:], max_tokens=1)
            assert llm.chat([*CHAT[:begin], LAST], max_tokens=1)


def test_memory_of_llama_index(llm: LLM) -> None:
    for limit in (10, 25, 40):
        buffer = ChatMemoryBuffer.from_defaults(chat_history=list(CHAT[:-1]), token_limit=limit)
        assert llm.chat([*buffer.get(), LAST], max_tokens=1)
