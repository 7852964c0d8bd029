"""LlamaIndex's messages and tools into the engine's."""

from __future__ import annotations

import base64
import copy
from typing import TYPE_CHECKING

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index.core.tools import FunctionTool

from xlc_core import AudioPart, ImagePart, InvalidRequestError, Message, TextPart, ToolCall, VideoPart
from xlc_llamaindex.messages import to_engine_messages
from xlc_llamaindex.tools import chat_with_tools_request

if TYPE_CHECKING:
    from pathlib import Path

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        (MessageRole.SYSTEM, "system"),
        (MessageRole.DEVELOPER, "developer"),
        (MessageRole.USER, "user"),
        (MessageRole.ASSISTANT, "assistant"),
        (MessageRole.CHATBOT, "assistant"),
        (MessageRole.MODEL, "assistant"),
        (MessageRole.TOOL, "tool"),
        (MessageRole.FUNCTION, "tool"),
    ],
)
def test_every_role_has_its_counterpart(role: MessageRole, expected: str) -> None:
    assert to_engine_messages([ChatMessage(role=role, content="Hi")]) == [Message(role=expected, content="Hi")]
    assert len(MessageRole) == 8, "a new role wants a counterpart"


def test_assistant_blocks_go_where_they_belong() -> None:
    message = ChatMessage(
        role="assistant",
        blocks=[
            ThinkingBlock(content="Oslo? "),
            ThinkingBlock(content="Rain."),
            TextBlock(text="I look."),
            ToolCallBlock(tool_call_id="1", tool_name="weather", tool_kwargs={"city": "Ålesund"}),
            ToolCallBlock(tool_call_id="2", tool_name="time", tool_kwargs='{"zone": "CET"}'),
            ToolCallBlock(tool_call_id="3", tool_name="cut", tool_kwargs='{"zone": "CE'),
        ],
        additional_kwargs={"tool_calls": [{"id": "1", "function": {"name": "weather", "arguments": "{}"}}]},
    )
    before = copy.deepcopy(message)
    assert to_engine_messages([message]) == [
        Message(
            role="assistant",
            content="I look.",
            reasoning="Oslo? Rain.",
            tool_calls=(
                ToolCall(id="1", name="weather", arguments='{"city": "Ålesund"}'),
                ToolCall(id="2", name="time", arguments='{"zone": "CET"}'),
                ToolCall(id="3", name="cut", arguments='{"zone": "CE'),
            ),
        )
    ]
    assert message == before


def test_calls_of_other_providers_are_read() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    (message,) = to_engine_messages(
        [ChatMessage(role="assistant", content=None, additional_kwargs={"tool_calls": [call]})]
    )
    assert message.tool_calls == (ToolCall(id="1", name="weather", arguments='{"city": "Oslo"}'),)


def test_tool_result_names_its_call() -> None:
    result = ChatMessage(role="tool", content="rain", additional_kwargs={"tool_call_id": "1", "name": "weather"})
    assert to_engine_messages([result]) == [Message(role="tool", content="rain", tool_call_id="1", name="weather")]


def test_media_documents_and_citations(tmp_path: Path) -> None:
    path = tmp_path / "dot.png"
    path.write_bytes(PNG)
    (message,) = to_engine_messages(
        [
            ChatMessage(
                blocks=[
                    TextBlock(text="See:"),
                    ImageBlock(image=PNG),
                    ImageBlock(path=path),
                    ImageBlock(url=f"data:image/png;base64,{base64.b64encode(PNG).decode()}"),
                    AudioBlock(audio=b"RIFFsound"),
                    VideoBlock(video=b"moving"),
                    ImageBlock(url="https://example.org/dot.png"),
                    AudioBlock(url="http://example.org/a.wav"),
                    DocumentBlock(data=b"A text.", title="notes"),
                    CitableBlock(title="t", source="s", content=[TextBlock(text="cited")]),
                    CitationBlock(title="t", source="s", cited_content="quoted", additional_location_info={}),
                ]
            )
        ]
    )
    assert message.content == (
        TextPart(text="See:"),
        ImagePart(data=PNG),
        ImagePart(path=path),
        ImagePart(data=PNG),
        AudioPart(data=b"RIFFsound"),
        VideoPart(data=b"moving"),
        ImagePart(url="https://example.org/dot.png"),
        AudioPart(url="http://example.org/a.wav"),
        TextPart(text="A text."),
        TextPart(text="cited"),
        TextPart(text="quoted"),
    )


def test_cache_point_is_ignored_with_warning() -> None:
    blocks = [TextBlock(text="Hi"), CachePoint(cache_control=CacheControl(type="ephemeral"))]
    with pytest.warns(UserWarning, match="CachePoint is ignored"):
        assert to_engine_messages([ChatMessage(blocks=blocks)]) == [Message(role="user", content="Hi")]


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (ImageBlock(url="file:///etc/passwd"), "cannot be fetched"),
        (DocumentBlock(url="https://example.org/a.txt"), "cannot be fetched"),
        (DocumentBlock(data=b"%PDF-\xff\xfe", title="scan"), "'scan' .* is not a text"),
        (ThinkingBlock(content="hm"), "only an assistant's message"),
        (ToolCallBlock(tool_name="weather"), "only an assistant's message"),
    ],
)
def test_unsupported_input_is_named(block: object, reason: str) -> None:
    messages = [ChatMessage(role="system", content="Hi"), ChatMessage(blocks=[block])]
    with pytest.raises(InvalidRequestError, match=rf"messages\[1\], user: .*{reason}"):
        to_engine_messages(messages)


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


ADD = FunctionTool.from_defaults(add)


def test_request_with_tools() -> None:
    history = [ChatMessage(content="Hello")]
    request = chat_with_tools_request([ADD], "1 + 1?", history, parallel=False, required=True, choice=None)
    assert [message.content for message in request["messages"]] == ["Hello", "1 + 1?"]
    assert len(history) == 1
    assert request["tool_choice"] == "required"
    assert request["parallel_tool_calls"] is False
    (tool,) = request["tools"]
    assert tool.name == "add"
    assert tool.parameters["required"] == ["a", "b"]


@pytest.mark.parametrize(
    ("choice", "required", "expected"),
    [
        (None, False, "auto"),
        (None, True, "required"),
        ("any", False, "required"),
        ("add", False, "add"),
        ("none", True, "none"),
        ({"type": "function", "function": {"name": "add"}}, False, "add"),
    ],
)
def test_tool_choice(choice: object, required: bool, expected: str) -> None:
    request = chat_with_tools_request([ADD], "?", None, parallel=True, required=required, choice=choice)
    assert request["tool_choice"] == expected


def test_tool_that_is_not_there_cannot_be_chosen() -> None:
    with pytest.raises(InvalidRequestError, match=r"tool_choice='subtract' is not .* the tools given are: 'add'"):
        chat_with_tools_request([ADD], "?", None, parallel=True, required=False, choice="subtract")
