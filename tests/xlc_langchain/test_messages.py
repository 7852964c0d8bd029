"""LangChain's messages become the engine's, or an error that names the message."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from helpers.langchain_scripts import thinking_then_calling
from xlc_core import AudioPart, ImagePart, InvalidRequestError, Message, TextPart, ToolCall, VideoPart
from xlc_core.testing import ScriptedEngine
from xlc_langchain import ChatXLlama, errors
from xlc_langchain.errors import UnsupportedFeatureError
from xlc_langchain.messages import to_engine_messages

if TYPE_CHECKING:
    from pathlib import Path

    from xlc_core import Engine

PIXEL = base64.b64encode(b"a picture").decode()


def test_roles_and_text() -> None:
    chat: list[BaseMessage] = [
        SystemMessage("Be brief."),
        HumanMessage("Hi", name="Ann"),
        AIMessage("Hello"),
        ChatMessage("And now?", role="user"),
        ChatMessage("Be kind.", role="developer"),
    ]
    assert to_engine_messages(chat) == [
        Message(role="system", content="Be brief."),
        Message(role="user", content="Hi", name="Ann"),
        Message(role="assistant", content="Hello"),
        Message(role="user", content="And now?"),
        Message(role="developer", content="Be kind."),
    ]


def test_call_and_its_answer() -> None:
    call = {"name": "get_weather", "args": {"city": "Tromsø"}, "id": "c1"}
    chat = [
        AIMessage("", tool_calls=[call]),
        ToolMessage("rain", tool_call_id="c1", name="get_weather"),
    ]
    assert to_engine_messages(chat) == [
        Message(
            role="assistant",
            tool_calls=(ToolCall(id="c1", name="get_weather", arguments='{"city": "Tromsø"}'),),
        ),
        Message(role="tool", content="rain", tool_call_id="c1", name="get_weather"),
    ]


def test_calls_of_old_kind() -> None:
    function = {"name": "get_weather", "arguments": '{"city": "Oslo"}'}
    chat = [AIMessage("", additional_kwargs={"function_call": function}), FunctionMessage("rain", name="get_weather")]
    assert to_engine_messages(chat) == [
        Message(role="assistant", tool_calls=(ToolCall(name="get_weather", arguments='{"city": "Oslo"}'),)),
        Message(role="tool", content="rain", name="get_weather"),
    ]


def test_call_that_could_not_be_parsed_goes_back_as_written() -> None:
    broken = {"name": "f", "args": '{"city": "Os', "id": "c1", "error": "cut off"}
    (message,) = to_engine_messages([AIMessage("", invalid_tool_calls=[broken])])
    assert message.tool_calls == (ToolCall(id="c1", name="f", arguments='{"city": "Os'),)


@pytest.mark.parametrize(
    "message",
    [
        AIMessage("42", additional_kwargs={"reasoning_content": "6 × 7"}),
        AIMessage([{"type": "reasoning", "reasoning": "6 × 7"}, {"type": "text", "text": "42"}]),
        AIMessage([{"type": "thinking", "thinking": "6 × 7"}, {"type": "text", "text": "42"}]),
        AIMessage(
            "42",
            additional_kwargs={"reasoning_content": "6 × 7"},
            response_metadata={"model_provider": "xllama"},
        ),
    ],
)
def test_thinking_is_kept_apart(message: AIMessage) -> None:
    assert to_engine_messages([message]) == [Message(role="assistant", content="42", reasoning="6 × 7")]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "base64": PIXEL, "mime_type": "image/png"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
        {"type": "image", "source_type": "base64", "data": PIXEL, "mime_type": "image/png"},
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": PIXEL},
        },
    ],
    ids=["standard", "openai", "older standard", "anthropic"],
)
def test_images_in_every_form(block: dict[str, object]) -> None:
    (message,) = to_engine_messages([HumanMessage([{"type": "text", "text": "What?"}, block])])
    assert message.content == (TextPart(text="What?"), ImagePart(data=b"a picture"))


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "url": "https://example.org/x.png"},
        {"type": "image_url", "image_url": {"url": "https://example.org/x.png"}},
        {"type": "image", "source_type": "url", "url": "https://example.org/x.png"},
        {"type": "image", "source": {"type": "url", "url": "https://example.org/x.png"}},
    ],
    ids=["standard", "openai", "older standard", "anthropic"],
)
def test_engine_decides_about_links(block: dict[str, object]) -> None:
    (message,) = to_engine_messages([HumanMessage([block])])
    assert message.content == (ImagePart(url="https://example.org/x.png"),)


@pytest.mark.parametrize(
    "block",
    [
        {"type": "audio", "base64": PIXEL, "mime_type": "audio/wav"},
        {"type": "input_audio", "input_audio": {"data": PIXEL, "format": "wav"}},
        {"type": "audio", "source_type": "base64", "data": PIXEL, "mime_type": "audio/wav"},
    ],
    ids=["standard", "openai", "older standard"],
)
def test_sound_in_every_form(block: dict[str, object]) -> None:
    (message,) = to_engine_messages([HumanMessage([block])])
    assert message.content == (AudioPart(data=b"a picture"),)


def test_video() -> None:
    block = {"type": "video", "base64": PIXEL, "mime_type": "video/mp4"}
    (message,) = to_engine_messages([HumanMessage([block])])
    assert message.content == (VideoPart(data=b"a picture"),)


def test_anthropic_calls_and_results() -> None:
    chat = [
        AIMessage(
            [
                {"type": "text", "text": "Hm."},
                {"type": "tool_use", "id": "c1", "name": "pick", "input": {"color": "green"}},
            ],
            tool_calls=[{"name": "pick", "args": {"color": "green"}, "id": "c1"}],
        ),
        HumanMessage(
            [
                {
                    "type": "tool_result",
                    "tool_use_id": "c1",
                    "content": [{"type": "text", "text": "a great pick"}],
                },
                {"type": "text", "text": "And hers?"},
            ]
        ),
    ]
    assert to_engine_messages(chat) == [
        Message(
            role="assistant",
            content="Hm.",
            tool_calls=(ToolCall(id="c1", name="pick", arguments='{"color": "green"}'),),
        ),
        Message(role="tool", content="a great pick", tool_call_id="c1"),
        Message(role="user", content="And hers?"),
    ]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (ChatMessage("x", role="narrator"), "role must be one of"),
        (RemoveMessage(id="7"), "ToolMessage"),
        (HumanMessage([{"type": "image", "file_id": "7"}]), "'image' must carry its bytes as base64, or a URL"),
        (HumanMessage([{"type": "image", "base64": "?", "mime_type": "image/png"}]), "base64"),
        (HumanMessage([{"type": "marvel"}]), "'marvel'"),
    ],
)
def test_inexpressible_options_are_refused(message: BaseMessage, reason: str) -> None:
    with pytest.raises(InvalidRequestError, match=reason) as caught:
        to_engine_messages([HumanMessage("fine"), message])
    assert f"messages[1], {type(message).__name__}: " in str(caught.value)


def test_tool_error_becomes_its_result() -> None:
    message = ToolMessage("Error: no such city", tool_call_id="c1", status="error")
    assert to_engine_messages([message]) == [Message(role="tool", content="Error: no such city", tool_call_id="c1")]


def test_several_calls_and_their_results_stay_in_order() -> None:
    calls = [{"name": name, "args": {"n": n}, "id": f"c{n}"} for n, name in enumerate(["f", "g"])]
    chat = [AIMessage("Both.", tool_calls=calls), *(ToolMessage(f"r{n}", tool_call_id=f"c{n}") for n in (0, 1))]
    assistant, *results = to_engine_messages(chat)
    assert [(call.id, call.name) for call in assistant.tool_calls] == [("c0", "f"), ("c1", "g")]
    assert [(message.tool_call_id, message.content) for message in results] == [("c0", "r0"), ("c1", "r1")]


def test_answer_goes_back_as_it_came() -> None:
    """Both directions: what the model thought, said and called is what it reads on the next turn."""
    for version in ("v0", "v1"):
        llm = ChatXLlama(engine=ScriptedEngine([thinking_then_calling()]), output_version=version)
        first, *rest = llm.stream("Hi")
        for answer in (llm.invoke("Hi"), first + rest):
            (message,) = to_engine_messages([answer])
            assert (message.reasoning, message.content) == ("Rain?", "Let me look.")
            assert [call.name for call in message.tool_calls] == ["get_weather", "get_time"]


@pytest.mark.parametrize("kind", ["image", "audio"])
async def test_model_without_eyes_names_message(llm: ChatXLlama, kind: str) -> None:
    block = {"type": kind, "base64": PIXEL, "mime_type": f"{kind}/x"}
    chat = [HumanMessage("Look:"), AIMessage("Yes?"), HumanMessage([{"type": "text", "text": "this"}, block])]
    with pytest.raises(UnsupportedFeatureError, match="message 2 holds"):
        llm.invoke(chat)
    with pytest.raises(UnsupportedFeatureError, match="message 2 holds"):
        await llm.ainvoke(chat)
    with pytest.raises(UnsupportedFeatureError, match="message 2 holds"):
        next(llm.stream(chat))


def test_system_message_within_chat_stays_where_it_is(llm: ChatXLlama, engine: Engine) -> None:
    chat = [HumanMessage("Hi"), AIMessage("Hello"), SystemMessage("Rhyme from now on."), HumanMessage("Why?")]
    assert llm.invoke(chat).text
    prompt = engine.render_chat(to_engine_messages(chat))
    assert prompt.index("Hello") < prompt.index("Rhyme from now on.") < prompt.index("Why?")


def test_template_refusal_names_message(smollm2_path: Path) -> None:
    template = (
        "{% for m in messages %}{% if 'Rhyme' in m.content %}{{ raise_exception('no') }}{% endif %}"
        "{{ m.content }}{% endfor %}"
    )
    options = {"chat_template": template, "n_parallel": 1, "warmup": False}
    with (
        ChatXLlama(model=smollm2_path, n_ctx=512, engine_options=options) as llm,
        pytest.raises(errors.InvalidRequestError, match=r"message 1 \(system\) is refused"),
    ):
        llm.invoke([HumanMessage("Hi"), SystemMessage("Rhyme."), HumanMessage("Why?")])
