"""Any conversation can be continued: whatever another provider, a broken stream or a store has left in it."""

from __future__ import annotations

import base64
import json
import warnings
from pathlib import Path
from typing import Any

import pytest

import xlc_core as xlc
from helpers.tiny_models import write_byte_llama
from xlc_core.generation.call_arguments import as_object
from xlc_core.generation.message_reading import to_messages

TEMPLATES = Path(__file__).parents[2] / "vendor" / "llama.cpp" / "models" / "templates"
SHIPPED = sorted(path.stem for path in TEMPLATES.glob("*.jinja"))
USER = {"role": "user", "content": "Hello"}
LAST = {"role": "user", "content": "And now?"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}
PNG = b"\x89PNG picture"
BASE64 = base64.b64encode(PNG).decode()
_NUMBER = {"type": "integer", "description": "A number"}
TOOLS = [
    {
        "name": "add",
        "description": "Adds",
        "parameters": {"type": "object", "properties": {"a": _NUMBER, "b": _NUMBER}, "required": ["a", "b"]},
    }
]


def read(*messages: Any) -> tuple[xlc.Message, ...]:
    """Read messages that are not the last of their chat."""
    return to_messages([*messages, LAST])[:-1]


def assistant(*blocks: Any) -> xlc.Message:
    (message,) = read({"role": "assistant", "content": list(blocks)})
    return message


# Arguments of calls


@pytest.mark.parametrize(
    ("written", "meaning"),
    [
        ("", {}),
        ("  ", {}),
        ("null", {}),
        ('{"city": "Oslo"}', {"city": "Oslo"}),
        ('{"city": "Os', {"city": "Os"}),
        ('{"a": [1, {"b": "c', {"a": [1, {"b": "c"}]}),
        ('{"a": 1, "b', {"a": 1}),
        ('{"a": "x\\ud83d', {"a": "x"}),
        ('{"a": "two\nlines"}', {"a": "two\nlines"}),
        ('"{\\"a\\": 1}"', {"a": 1}),
        ('{"a": 1}}', {"a": 1}),
        ("[1, 2]", {"arguments": [1, 2]}),
        ('"Oslo"', {"arguments": "Oslo"}),
        ("cats and dogs", {"arguments": "cats and dogs"}),
        ('{"a": NaN}', {"arguments": '{"a": NaN}'}),
        ('{"a": 1e999}', {"arguments": '{"a": 1e999}'}),
    ],
)
def test_arguments_become_an_object(written: str, meaning: dict[str, Any]) -> None:
    assert json.loads(as_object(written, "they")) == meaning


def test_whole_arguments_stay_as_they_are() -> None:
    for text in ('{"a":1.50,  "b":"\\u00fc"}', '{"a": "\\ud83d\\ude00"}', "{}"):
        assert as_object(text, "they") == text


@pytest.mark.parametrize("arguments", ['{"a": "\\ud83d"}', {"a": "\ud83d"}, '{"a": "\ud83d"}'])
def test_lone_surrogate_in_arguments_is_named(engine: xlc.Engine, arguments: Any) -> None:
    chat = [USER, {"role": "assistant", "tool_calls": [{"name": "f", "arguments": arguments}]}, LAST]
    with pytest.raises(xlc.InvalidRequestError, match=r"message 1.*lone surrogate"):
        engine.chat(chat, max_tokens=1)


@pytest.mark.parametrize("arguments", ['{"query": "cats', "", "cats", '["cats"]', '{"query": NaN}'])
def test_broken_call_does_not_block_the_chat(engine: xlc.Engine, arguments: str) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": arguments}}
    chat = [USER, {"role": "assistant", "content": None, "tool_calls": [call]}]
    result = {"role": "tool", "tool_call_id": "1", "content": "error: bad JSON"}
    for history in ([*chat, result, LAST], [*chat, LAST], [*chat, result]):
        for options in ({}, {"tools": TOOLS}):
            assert engine.chat(history, max_tokens=2, **options).usage.completion_tokens > 0


# Blocks of providers


@pytest.mark.parametrize(
    "block",
    [
        {"type": "text", "text": "Hi", "citations": None},
        {"type": "text", "text": "Hi", "annotations": [], "index": 0, "cache_control": {"type": "ephemeral"}},
        {"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []},
        {"type": "input_text", "text": "Hi"},
        {"type": "refusal", "refusal": "Hi"},
        {"text": "Hi"},
        {"text": "Hi", "thoughtSignature": "c2ln"},
        {"type": "non_standard", "value": {"type": "output_text", "text": "Hi"}},
        {"guardContent": {"text": {"text": "Hi", "qualifiers": ["query"]}}},
        {"citationsContent": {"content": [{"text": "Hi"}]}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Hi"}, "title": "t"},
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "Hi"}]}},
        {"document": {"format": "txt", "name": "t", "source": {"bytes": b"Hi"}}},
        {"document": {"format": "md", "name": "t", "source": {"text": "Hi"}}},
        {"type": "file", "file": {"file_data": "data:text/plain;base64,SGk=", "filename": "a.txt"}},
        {"type": "input_file", "file_data": "data:text/plain;base64,SGk=", "filename": "a.txt"},
        {"type": "file", "base64": "SGk=", "mime_type": "text/markdown"},
        {"type": "file", "source_type": "text", "text": "Hi"},
        {"type": "text-plain", "text": "Hi", "mime_type": "text/plain"},
        {"inline_data": {"mime_type": "text/csv", "data": "SGk="}},
        "Hi",
    ],
)
def test_texts_of_all_providers(block: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for role in ("user", "assistant", "system", "tool"):
            (message,) = read({"role": role, "content": [block]})
            assert message == xlc.Message(role=role, content="Hi")


@pytest.mark.parametrize(
    "block",
    [
        {"type": "thinking", "thinking": "Hm", "signature": "c2ln"},
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]},
        {"type": "reasoning", "reasoning": "Hm"},
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "Hm"}],
            "encrypted_content": "x",
        },
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "Hm"}], "summary": []},
        {"type": "reasoning_content", "reasoning_content": {"text": "Hm", "signature": "c2ln"}},
        {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "c2ln"}}},
        {"type": "reasoning.text", "text": "Hm", "format": "x"},
        {"text": "Hm", "thought": True},
    ],
)
def test_thinking_of_all_providers(block: Any) -> None:
    assert assistant(block, {"type": "text", "text": "Hi"}) == xlc.Message(
        role="assistant", content="Hi", reasoning="Hm"
    )


@pytest.mark.parametrize(
    "block",
    [
        {"type": "redacted_thinking", "data": "x"},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"reasoningContent": {"redactedContent": b"x"}},
        {"type": "input_json_delta", "partial_json": '{"a'},
        {"type": "tool_call_chunk", "id": "1", "name": "f", "args": '{"a', "index": 0},
        {"thoughtSignature": "c2ln"},
        {"type": "text", "text": None},
        {"type": "text", "text": ""},
        {},
        None,
    ],
)
def test_blocks_without_words_are_left_out(block: Any) -> None:
    assert assistant(block, {"type": "text", "text": "Hi"}) == xlc.Message(role="assistant", content="Hi")


@pytest.mark.parametrize(
    ("block", "kind"),
    [
        ({"type": "server_tool_use", "id": "1", "name": "web_search", "input": {"query": "x"}}, "calls of tools"),
        (
            {"type": "web_search_tool_result", "tool_use_id": "1", "content": [{"encrypted_content": "x"}]},
            "calls of tools",
        ),
        ({"type": "code_execution_tool_result", "content": {"stdout": "1"}}, "calls of tools"),
        ({"type": "mcp_tool_use", "id": "1", "name": "f", "server_name": "s", "input": {}}, "calls of tools"),
        ({"type": "web_search_call", "id": "ws_1", "status": "completed"}, "calls of tools"),
        ({"type": "image_generation_call", "id": "ig_1", "result": BASE64}, "calls of tools"),
        ({"type": "server_tool_call", "id": "1", "name": "f", "args": {}}, "calls of tools"),
        ({"type": "server_tool_result", "tool_call_id": "1", "status": "success"}, "calls of tools"),
        ({"type": "executable_code", "executable_code": "print(1)", "language": "PYTHON"}, "calls of tools"),
        ({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}}, "calls of tools"),
        ({"type": "container_upload", "file_id": "file_1"}, "references to files"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "references to files"),
        ({"type": "input_image", "file_id": "file-1"}, "references to files"),
        ({"type": "image", "source": {"type": "file", "file_id": "file_1"}}, "references to files"),
        ({"type": "document", "source": {"type": "file", "file_id": "file_1"}}, "references to files"),
        ({"type": "document", "source": {"type": "url", "url": "https://a/b.pdf"}}, "references to files"),
        ({"fileData": {"fileUri": "gs://a/b", "mimeType": "image/png"}}, "references to files"),
        ({"type": "media", "mime_type": "video/mp4", "file_uri": "https://a/b"}, "references to files"),
        ({"image": {"format": "png", "source": {"s3Location": {"uri": "s3://a/b"}}}}, "references to files"),
        ({"type": "text", "text": "", "citations": [{"type": "char_location", "cited_text": "x"}]}, "citations"),
        ({"type": "output_text", "text": "", "annotations": [{"type": "url_citation", "url": "x"}]}, "citations"),
        ({"cachePoint": {"type": "default"}}, "cache points"),
    ],
)
def test_what_says_nothing_is_left_out_with_one_warning(block: Any, kind: str) -> None:
    with pytest.warns(UserWarning, match=rf"^message 1: {kind}") as caught:
        chat = to_messages([USER, {"role": "assistant", "content": ["Hi", block, block]}, LAST])
    assert chat[1] == xlc.Message(role="assistant", content="Hi")
    assert len(caught) == 1


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{BASE64}", "detail": "high"}},
        {"type": "image_url", "image_url": f"data:image/png;base64,{BASE64}"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{BASE64}", "file_id": None},
        {"type": "image", "base64": BASE64, "mime_type": "image/png"},
        {"type": "image", "source_type": "base64", "data": BASE64, "mime_type": "image/png"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": BASE64}},
        {"type": "image", "image": f"data:image/png;base64,{BASE64}"},
        {"image": {"format": "png", "source": {"bytes": PNG}}},
        {"inlineData": {"mimeType": "image/png", "data": BASE64}},
        {"type": "media", "mime_type": "image/png", "data": BASE64},
        {"type": "image", "data": PNG},
        xlc.ImagePart(data=PNG),
    ],
)
def test_images_of_all_providers(block: Any) -> None:
    (message,) = read({"role": "user", "content": ["See", block]})
    text, image = message.content
    assert text == xlc.TextPart(text="See")
    assert isinstance(image, xlc.ImagePart)
    assert image.data == PNG or image.url == f"data:image/png;base64,{BASE64}"


@pytest.mark.parametrize(
    "block",
    [
        {"type": "tool_use", "id": "1", "name": "add", "input": {"a": 1}},
        {"type": "tool_call", "id": "1", "name": "add", "args": {"a": 1}},
        {"type": "function_call", "call_id": "1", "name": "add", "arguments": '{"a": 1}', "id": "fc_1"},
        {"type": "function", "id": "1", "function": {"name": "add", "arguments": '{"a": 1}'}},
        {"toolUse": {"toolUseId": "1", "name": "add", "input": {"a": 1}}},
        {"functionCall": {"id": "1", "name": "add", "args": {"a": 1}}},
        {"type": "invalid_tool_call", "id": "1", "name": "add", "args": '{"a": 1}', "error": None},
    ],
)
def test_calls_of_all_providers(block: Any) -> None:
    (call,) = assistant("Hi", block).tool_calls
    assert (call.name, json.loads(call.arguments)) == ("add", {"a": 1})
    assert call.id == "1"


@pytest.mark.parametrize(
    "block",
    [
        {"type": "tool_result", "tool_use_id": "1", "content": "3", "is_error": False},
        {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "3"}]},
        {"type": "function_call_output", "call_id": "1", "output": "3"},
        {"type": "function_call_output", "call_id": "1", "output": [{"type": "input_text", "text": "3"}]},
        {"toolResult": {"toolUseId": "1", "content": [{"text": "3"}], "status": "success"}},
        {"toolResult": {"toolUseId": "1", "content": [{"json": 3}]}},
    ],
)
def test_results_of_all_providers(block: Any) -> None:
    assert read({"role": "user", "content": [block]}) == (xlc.Message(role="tool", content="3", tool_call_id="1"),)
    assert read({"role": "user", "content": [block, "So?"]})[1] == xlc.Message(role="user", content="So?")


def test_result_of_google() -> None:
    (message,) = read({"role": "function", "parts": [{"functionResponse": {"name": "add", "response": {"sum": 3}}}]})
    assert message == xlc.Message(role="tool", content='{"sum": 3}', name="add")


def test_calls_in_content_and_beside_it_are_the_same() -> None:
    (message,) = read(
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "call_1", "name": "add", "input": {"a": 1, "b": 2}}],
            "tool_calls": [CALL],
        }
    )
    assert [call.id for call in message.tool_calls] == ["call_1"]


def test_items_of_the_responses_api_become_messages() -> None:
    chat = to_messages(
        [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "1 + 2?"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Add."}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me see."}]},
            {"type": "function_call", "call_id": "1", "name": "add", "arguments": '{"a": '},
            {"type": "function_call", "call_id": "2", "name": "add", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "1", "output": "bad arguments"},
            {"type": "function_call_output", "call_id": "2", "output": "3"},
            {"role": "user", "content": "Continue."},
        ]
    )
    assert [message.role for message in chat] == ["user", "assistant", "tool", "tool", "user"]
    assert (chat[1].content, chat[1].reasoning) == ("Let me see.", "Add.")
    assert [call.id for call in chat[1].tool_calls] == ["1", "2"]


# Keys of messages

DUMPED = {"refusal": None, "annotations": [], "audio": None, "function_call": None, "tool_calls": None, "foo": None}


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"content": "Hi", **DUMPED}, {"content": "Hi"}),
        ({"content": "Hi", "bar": [], "baz": {}, "partial": False, "x": ""}, {"content": "Hi"}),
        ({"content": None, "refusal": "I will not."}, {"content": "I will not."}),
        ({"content": None, "audio": {"id": "a", "data": "AA==", "transcript": "Hi"}}, {"content": "Hi"}),
        ({"content": "Hi", "reasoning": None, "reasoning_content": "Hm"}, {"content": "Hi", "reasoning": "Hm"}),
        (
            {"content": "Hi", "reasoning": {"summary": [{"type": "summary_text", "text": "Hm"}]}},
            {"content": "Hi", "reasoning": "Hm"},
        ),
        ({"content": "Hi", "thinking": "Hm"}, {"content": "Hi", "reasoning": "Hm"}),
        (
            {"content": "Hi", "reasoning": "Hm", "reasoning_details": [{"type": "reasoning.text", "text": "Hm"}]},
            {"content": "Hi", "reasoning": "Hm"},
        ),
        ({"content": "Hi", "id": "msg_1", "type": "message", "status": "completed", "model": "m"}, {"content": "Hi"}),
        ({"content": ["a", "b"]}, {"content": "ab"}),
        ({"content": []}, {}),
        ({}, {}),
    ],
)
def test_message_that_a_client_dumped(keys: dict[str, Any], expected: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read({"role": "assistant", **keys}) == (xlc.Message(role="assistant", **expected),)


def test_function_call_of_old_kind_and_role_of_its_result() -> None:
    call = {"name": "add", "arguments": '{"a": 1}'}
    chat = read(
        {"role": "assistant", "content": None, "function_call": call},
        {"role": "function", "name": "add", "content": "3"},
    )
    assert chat[0].tool_calls == (xlc.ToolCall(name="add", arguments='{"a": 1}'),)
    assert chat[1] == xlc.Message(role="tool", name="add", content="3")


def test_metadata_is_left_out_with_one_warning() -> None:
    message = {"role": "assistant", "content": "Hi", "usage": {"n": 1}, "metadata": {"x": 1}}
    with pytest.warns(UserWarning, match=r"message 0: metadata are left out") as caught:
        assert read(message, message) == (xlc.Message(role="assistant", content="Hi"),) * 2
    assert len(caught) == 1


def test_message_of_ollama() -> None:
    chat = read(
        {"role": "user", "content": "See", "images": [BASE64]},
        {
            "role": "assistant",
            "content": "",
            "thinking": "Hm",
            "tool_calls": [{"function": {"name": "add", "arguments": {"a": 1}}}],
        },
        {"role": "tool", "tool_name": "add", "content": "3"},
    )
    assert chat[0].content == (xlc.TextPart(text="See"), xlc.ImagePart(data=PNG))
    assert chat[1].tool_calls == (xlc.ToolCall(name="add", arguments='{"a": 1}'),)
    assert chat[2] == xlc.Message(role="tool", name="add", content="3")


def test_message_objects_of_a_providers_package() -> None:
    class Dumped:
        def model_dump(self) -> dict[str, Any]:
            return {"role": "assistant", "content": "Hi", **DUMPED}

    assert to_messages([USER, Dumped(), LAST])[1] == xlc.Message(role="assistant", content="Hi")  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}, "which only its provider has"),
        ({"role": "user", "content": [{"type": "thinking", "thinking": "Hm"}]}, "only an assistant's message"),
        (
            {"role": "user", "content": [{"type": "file", "base64": BASE64, "mime_type": "application/pdf"}]},
            "not a text",
        ),
        ({"role": "user", "content": [{"type": "marvel"}]}, "cannot hold a block 'marvel'"),
        ({"role": "user", "content": [{"marvel": 1}]}, "its 'type' must name one"),
        ({"role": "user", "content": "Hi", "nmae": "Ann"}, "unknown option 'nmae'"),
        ({"role": "user", "content": ["a\ud800"]}, "lone surrogate"),
        (
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": [{"type": "marvel"}]}]},
            "'marvel'",
        ),
    ],
)
def test_what_cannot_be_expressed_names_the_message(message: Any, reason: str) -> None:
    with pytest.raises(xlc.InvalidRequestError, match=rf"message 1: .*{reason}") as caught:
        to_messages([USER, message])
    assert caught.value.message_index == 1


def test_file_of_an_untrusted_block_is_not_read(engine: xlc.Engine) -> None:
    for block in (
        {"type": "image", "path": "/etc/passwd"},
        {"type": "non_standard", "value": {"type": "image", "path": "x"}},
    ):
        (message,) = read({"role": "user", "content": [block]})
        (part,) = message.content
        assert part._from_mapping  # type: ignore[union-attr]


# Templates

SYSTEM = [{"role": "system", "content": f"Rule {n}."} for n in range(3)]
PARTS: dict[str, list[dict[str, Any]]] = {
    "two system messages": [SYSTEM[0], SYSTEM[1], USER],
    "a system message within": [SYSTEM[0], USER, {"role": "assistant", "content": "Hi."}, SYSTEM[1], LAST],
    "a system message at the end": [USER, {"role": "assistant", "content": "Hi."}, LAST, SYSTEM[2]],
    "two user messages": [USER, LAST],
    "two answers": [USER, {"role": "assistant", "content": "Hi."}, {"role": "assistant", "content": "There."}, LAST],
    "an answer first": [{"role": "assistant", "content": "How can I help?"}, USER],
    "an empty answer": [USER, {"role": "assistant", "content": ""}, LAST],
    "a result without its call": [{"role": "tool", "tool_call_id": "call_0", "content": "the sum is 3"}, LAST],
    "a result long after its call": [
        USER,
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "user", "content": "Wait."},
        {"role": "tool", "tool_call_id": "call_1", "content": "the sum is 3"},
        LAST,
    ],
    "a call without its result": [USER, {"role": "assistant", "content": "", "tool_calls": [CALL]}, LAST],
    "a call with two results": [
        USER,
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "the sum is 3"},
        {"role": "tool", "tool_call_id": "call_1", "content": "and still 3"},
        LAST,
    ],
    "two calls with one result": [
        USER,
        {"role": "assistant", "content": "", "tool_calls": [CALL, {**CALL, "id": "call_2"}]},
        {"role": "tool", "tool_call_id": "call_2", "content": "the sum is 3"},
        LAST,
    ],
    "names": [{**USER, "name": "Ann"}, {"role": "assistant", "content": "Hi.", "name": "bot"}, {**LAST, "name": "Bo"}],
}


def texts_of(chat: list[dict[str, Any]]) -> list[str]:
    return [message["content"] for message in chat if message["content"]]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_byte_llama(tmp_path_factory.mktemp("histories") / "bytes.gguf")


@pytest.mark.parametrize("name", SHIPPED)
def test_no_template_blocks_a_chat_or_loses_its_texts(name: str, tiny: Path) -> None:
    template = (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")
    with xlc.Engine(tiny, n_ctx=2048, n_parallel=1, n_threads=1, chat_template=template, warmup=False) as engine:
        try:
            engine.render_chat([USER], tools=TOOLS)
        except xlc.InvalidRequestError:
            pytest.skip("it takes no ordinary chat, or no tools")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for kind, chat in PARTS.items():
                for options in ({}, {"tools": TOOLS}):
                    prompt = engine.render_chat(chat, **options)
                    lost = [text for text in texts_of(chat) if text not in prompt]
                    assert not lost, f"{kind} {options}: {lost} in {prompt!r}"
                assert engine.count_tokens(chat, tools=TOOLS) > 0
            for kind in ("a system message within", "a result long after its call", "two calls with one result"):
                chat = PARTS[kind]
                for n in range(len(chat) + 1):
                    for part in (chat[:n], chat[n:]):
                        assert (engine.count_tokens(part) > 0) == bool(part), (kind, part)


@pytest.mark.parametrize("name", ["google-gemma-2-2b-it", "mistralai-Mistral-Nemo-Instruct-2407", "Qwen3.5-4B"])
def test_strict_templates_answer_such_chats(name: str, tiny: Path) -> None:
    template = (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")
    with xlc.Engine(tiny, n_ctx=2048, n_parallel=1, n_threads=1, chat_template=template, warmup=False) as engine:
        for kind, chat in PARTS.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                assert engine.chat(chat, max_tokens=1).usage.completion_tokens == 1, kind


def test_chat_that_the_template_takes_is_not_changed(engine: xlc.Engine) -> None:
    """ChatML takes any roles in any order."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prompt = engine.render_chat(PARTS["a system message within"])
    assert prompt.index("Rule 0.") < prompt.index("Hello") < prompt.index("Rule 1.") < prompt.index("And now?")
    assert prompt.count("<|im_start|>system") == 2


ONLY_FIRST_SYSTEM = (
    "{%- if messages[0].role == 'system' %}{{ messages[0].content }}\n{% endif -%}"
    "{%- for m in messages %}{% if m.role != 'system' %}{{ m.role }}: {{ m.content }}\n{% endif %}{% endfor -%}"
    "{%- if add_generation_prompt %}assistant:{% endif -%}"
)


def test_system_messages_that_a_template_ignores_are_joined(tiny: Path) -> None:
    with xlc.Engine(tiny, n_ctx=512, n_parallel=1, n_threads=1, chat_template=ONLY_FIRST_SYSTEM) as engine:
        with pytest.warns(UserWarning, match="system messages were joined at the start"):
            prompt = engine.render_chat(
                [SYSTEM[0], SYSTEM[1], USER, {"role": "assistant", "content": "Hi."}, SYSTEM[2], LAST]
            )
        assert prompt == "Rule 0.\n\nRule 1.\n\nRule 2.\nuser: Hello\nassistant: Hi.\nuser: And now?\nassistant:"


def test_names_that_a_template_ignores_are_left_out_with_one_warning(engine: xlc.Engine, tiny: Path) -> None:
    with pytest.warns(UserWarning, match="message 0: names of those who speak are left out") as caught:
        engine.render_chat(PARTS["names"])
    assert len(caught) == 1
    shows = "{% for m in messages %}{{ m.name or m.role }}: {{ m.content }}\n{% endfor %}"
    with (
        xlc.Engine(tiny, n_ctx=512, n_parallel=1, n_threads=1, chat_template=shows) as named,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("error")
        assert "Ann: Hello" in named.render_chat(PARTS["names"])


def test_part_of_a_chat_is_counted(engine: xlc.Engine) -> None:
    chat = [
        SYSTEM[0],
        USER,
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "3"},
        {"role": "assistant", "content": "It is 3."},
        LAST,
    ]
    assert engine.count_tokens([]) == 0
    for begin in range(len(chat)):
        counts = [engine.count_tokens(chat[begin:end]) for end in range(begin + 1, len(chat) + 1)]
        assert all(count > 0 for count in counts)
        assert counts[-1] == max(counts)
    assert engine.count_tokens(chat) == engine.chat(chat, max_tokens=1).usage.prompt_tokens


def test_media_of_an_assistant_that_cannot_be_read_are_left_out(engine: xlc.Engine) -> None:
    chat = [USER, {"role": "assistant", "content": ["A cat:", {"type": "image", "data": PNG}]}, LAST]
    with pytest.warns(UserWarning, match="message 1: images, sounds and videos of the assistant's"):
        assert "A cat:" in engine.render_chat(chat)
