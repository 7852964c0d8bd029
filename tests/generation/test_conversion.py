"""Messages, tools and options of users are converted correctly, or refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest

import xlc_core as xlc
from xlc_core import _native
from xlc_core.generation.conversion import to_chat_request, to_sampling, to_tools
from xlc_core.generation.message_reading import to_messages
from xlc_core.generation.tool_choice import to_tool_use
from xlc_core.options.sampling import ChatOptions, CompletionOptions
from xlc_core.texts import check_text


def chat_of(messages: Any, **options: Any) -> Any:
    checked = ChatOptions.checked(**options)
    use = to_tool_use(to_tools(checked.tools), checked.tool_choice)
    return to_chat_request(to_messages(messages), use, checked)


def sampling_of(**options: Any) -> Any:
    return to_sampling(CompletionOptions.checked(**options))


def test_one_text_is_a_users_message() -> None:
    assert to_messages("Hi") == (xlc.Message(role="user", content="Hi"),)


def test_dicts_and_messages_mix() -> None:
    mixed = [{"role": "system", "content": "Be kind."}, xlc.Message(role="user", content="Hi")]
    assert [message.role for message in to_messages(mixed)] == ["system", "user"]


def test_parts_are_joined_by_lines() -> None:
    parts = [{"type": "text", "text": "one"}, "two", xlc.TextPart(text="three")]
    assert chat_of([{"role": "user", "content": parts}]).messages[0].content == "one\ntwo\nthree"


def test_reasoning_is_read_under_both_names() -> None:
    for name in ("reasoning", "reasoning_content"):
        (message,) = to_messages([{"role": "assistant", "content": "a", name: "b"}])
        assert message.reasoning == "b"


def test_none_is_as_good_as_leaving_out() -> None:
    (message,) = to_messages([{"role": "assistant", "content": None, "tool_calls": None, "name": None}])
    assert message == xlc.Message(role="assistant")


@pytest.mark.parametrize("arguments", ['{"a": "ü"}', {"a": "ü"}])
@pytest.mark.parametrize("wrapped", [True, False])
def test_tool_calls_are_read_in_openais_form_and_plain(arguments: Any, wrapped: bool) -> None:
    function = {"name": "f", "arguments": arguments}
    call = {"id": "1", "type": "function", "function": function} if wrapped else {"id": "1", **function}
    (message,) = to_messages([{"role": "assistant", "tool_calls": [call]}])
    assert message.tool_calls == (xlc.ToolCall(id="1", name="f", arguments='{"a": "ü"}'),)


def test_tools_are_read_in_openais_form_and_plain() -> None:
    plain = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}
    wrapped = {"type": "function", "function": {**plain, "strict": True}}
    assert to_tools([plain]) == to_tools([wrapped]) == to_tools([xlc.Tool(**plain)])


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([{"role": "user", "content": "a"}, {"role": "wizard"}], "message 1: role"),
        ([{"role": "user", "text": "a"}], "message 0: unknown option 'text'"),
        ([{"content": "a"}], "message 0: role"),
        (["a"], "message 0: it is a str; give a dict"),
        ([{"role": "user", "content": 3}], "message 0: the content is a int"),
        ([{"role": "user", "content": [{"type": "video"}]}], "message 0: content"),
        ([{"role": "assistant", "tool_calls": [{"id": "1"}]}], "message 0: it has the tool call {'id': '1'}"),
        ([{"role": "assistant", "tool_calls": ["f"]}], "message 0: it has the tool call 'f'"),
    ],
)
def test_wrong_message_is_refused_by_its_place(messages: Any, reason: str) -> None:
    with pytest.raises(xlc.InvalidRequestError, match=reason):
        chat_of(messages)


def test_wrong_tool_is_refused() -> None:
    with pytest.raises(xlc.InvalidRequestError, match="a tool is a int; give a Tool, a function"):
        to_tools([7])  # type: ignore[list-item]
    with pytest.raises(xlc.InvalidRequestError, match="unknown option 'title'"):
        to_tools([{"title": "f"}])


def test_media_leave_a_mark_where_they_stand() -> None:
    marker = _native.media_marker()
    parts = ["a", "b", xlc.ImagePart(data=b"x"), "c", xlc.AudioPart(data=b"y"), xlc.VideoPart(data=b"z"), "d", "e"]
    assert chat_of([{"role": "user", "content": parts}]).messages[0].content == (f"a\nb{marker}c{marker}{marker}d\ne")


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"type": "image_url", "image_url": {"url": "data:,x", "detail": "high"}}, xlc.ImagePart(url="data:,x")),
        ({"type": "image_url", "image_url": "https://a/b"}, xlc.ImagePart(url="https://a/b")),
        ({"type": "input_audio", "input_audio": {"data": "AAE=", "format": "wav"}}, xlc.AudioPart(data=b"\0\1")),
        ({"type": "video_url", "video_url": {"url": "https://a/b"}}, xlc.VideoPart(url="https://a/b")),
        ({"type": "input_video", "input_video": {"data": "AAE="}}, xlc.VideoPart(data=b"\0\1")),
        ({"type": "image", "path": "a.png"}, xlc.ImagePart(path="a.png")),
    ],
)
def test_media_in_openais_form(part: Any, expected: Any) -> None:
    (message,) = to_messages([{"role": "user", "content": [part]}])
    assert message.content == (expected,)


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ({"type": "image_url"}, "message 1: a block 'image_url' must carry its bytes"),
        ({"type": "image_url", "image_url": {"href": "x"}}, "message 1: a block 'image_url' must carry its bytes"),
        ({"type": "input_audio", "input_audio": {"data": "?"}}, "message 1: '\\?' is not valid base64"),
        ({"type": "image"}, "give one of data, path and url"),
    ],
)
def test_wrong_media_are_refused_by_their_place(part: Any, reason: str) -> None:
    with pytest.raises(xlc.InvalidRequestError, match=reason):
        chat_of([{"role": "user", "content": "a"}, {"role": "user", "content": ["look", part]}])


def test_lone_surrogate_is_named_with_its_place() -> None:
    assert check_text("fine 🦙", "the text") == "fine 🦙"
    with pytest.raises(xlc.InvalidRequestError, match=r"the text holds the lone surrogate '\\udc80' at position 3"):
        check_text("abc\udc80", "the text")
    for options in ({"stop": "\ud800"}, {"logit_bias": {"\ud800": 1.0}}):
        with pytest.raises(xlc.InvalidRequestError, match="lone surrogate"):
            sampling_of(**options)


def test_named_tool_is_the_only_one_and_called_once() -> None:
    tools = [{"name": "f"}, {"name": "g"}]
    chat = chat_of("Hi", tools=tools, tool_choice="g")
    assert (len(chat.tools), chat.tool_choice, chat.parallel_tool_calls) == (1, "required", False)
    chat = chat_of("Hi", tools=tools, tool_choice="g", parallel_tool_calls=True)
    assert chat.parallel_tool_calls is True
    chat = chat_of("Hi", tools=tools)
    assert (len(chat.tools), chat.tool_choice, chat.parallel_tool_calls) == (2, "auto", None)


def test_template_variables_are_written_as_json() -> None:
    chat = chat_of("Hi", template_kwargs={"flag": True, "word": "ü", "list": [1, None]})
    assert {name: json.loads(value) for name, value in chat.template_kwargs.items()} == {
        "flag": True,
        "word": "ü",
        "list": [1, None],
    }


def test_developer_is_a_system_message() -> None:
    assert chat_of([{"role": "developer", "content": "a"}]).messages[0].role == "system"


def test_fields_left_alone_stay_at_llama_cpps_defaults() -> None:
    native = sampling_of()
    assert native.temperature is native.max_tokens is native.seed is None
    assert (native.n, native.stop, native.logit_bias, native.cache_prompt) == (None, None, None, True)
    assert sampling_of(temperature=None).temperature is None


def test_seed_turns_the_cache_off_unless_it_is_asked_for() -> None:
    assert sampling_of(seed=1).cache_prompt is False
    assert sampling_of(seed=1, cache_prompt=True).cache_prompt is True
    assert sampling_of(cache_prompt=False).cache_prompt is False
    assert sampling_of(seed=0).seed == 0


def test_biases_are_read_by_number_and_by_text() -> None:
    assert len(sampling_of(logit_bias={5: False, "text": 2, 0: -1.5}).logit_bias) == 3


@pytest.mark.parametrize("field", ["content", "reasoning", "tool_call_id", "name"])
def test_lone_surrogate_error_names_message(field: str) -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "tool", field: "\udc80"}]
    with pytest.raises(xlc.InvalidRequestError, match=r"message 1.*lone surrogate"):
        chat_of(messages)


OPENAI = {"type": "function", "function": {"name": "g"}}
ANTHROPIC = {"type": "tool", "name": "g"}


@pytest.mark.parametrize(
    ("choice", "names", "choice_of_llama_cpp"),
    [
        *[(choice, ["f", "g"], "auto") for choice in ("auto", None, False, {"type": "auto"})],
        *[(choice, ["f", "g"], "required") for choice in ("any", "required", True, {"type": "any"})],
        *[(choice, ["g"], "required") for choice in ("g", OPENAI, ANTHROPIC)],
        ("none", ["f", "g"], "none"),
        ({"type": "none"}, ["f", "g"], "none"),
    ],
)
def test_tool_choice_forms(choice: Any, names: list[str], choice_of_llama_cpp: str) -> None:
    tools = [{"name": "f"}, {"name": "g"}]
    use = to_tool_use(to_tools(tools), ChatOptions.checked(tool_choice=choice).tool_choice)
    assert ([tool.name for tool in use.tools], use.choice) == (names, choice_of_llama_cpp)


@pytest.mark.parametrize(
    "choice", ["h", {"type": "function", "function": {"name": "h"}}, {"type": "tool", "name": "h"}]
)
def test_unknown_tool_choice_raises(choice: Any) -> None:
    with pytest.raises(xlc.InvalidRequestError, match=r"tool_choice=.h. is not .* the tools given are: .f."):
        to_tool_use(to_tools([{"name": "f"}]), choice)


def test_required_call_without_tools_raises() -> None:
    with pytest.raises(xlc.InvalidRequestError, match="needs at least one tool"):
        to_tool_use((), "any")


@pytest.mark.parametrize("messages", [5, None, b"hi", {"role": "user", "content": "hi"}])
def test_messages_must_be_a_list(messages: Any) -> None:
    with pytest.raises(xlc.InvalidRequestError, match="the messages must be a list"):
        to_messages(messages)


@pytest.mark.parametrize("part", [{"type": "text", "text": 5}, {"type": ["text"]}, {"type": {}}, 5])
def test_wrong_part_is_refused_by_its_message(part: Any) -> None:
    with pytest.raises(xlc.InvalidRequestError, match="message 0"):
        to_messages([{"role": "user", "content": [part]}])


@pytest.mark.parametrize("calls", [5, "look", {"name": "look"}, [5]])
def test_wrong_tool_calls_are_refused_by_their_message(calls: Any) -> None:
    with pytest.raises(xlc.InvalidRequestError, match="message 0"):
        to_messages([{"role": "assistant", "content": "", "tool_calls": calls}])


@pytest.mark.parametrize("tools", [5, "look", {"name": "look"}, [{"type": "function", "function": "look"}], [{1: 2}]])
def test_wrong_tools_are_refused(tools: Any) -> None:
    with pytest.raises(xlc.InvalidRequestError, match="tool"):
        to_tools(tools)
