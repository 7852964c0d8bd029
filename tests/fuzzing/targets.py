"""Parsers of ours, each as a function of bytes. A target passes if it returns: it may refuse its input with an error of
ours, and never raises another one. README.md says how they are run.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

import xlc_core as xlc
from fuzzing.drawing import Source
from xlc_core import _native
from xlc_core.constraints import lark_text, property_order, reading
from xlc_core.engine.session_file import SessionHeader, read_session_file, write_session_file
from xlc_core.events import TextDelta
from xlc_core.generation import media, partial_objects
from xlc_core.generation.conversion import to_chat_request, to_sampling, to_tools
from xlc_core.generation.message_reading import to_messages
from xlc_core.generation.tool_choice import to_tool_use
from xlc_core.nesting import MAX_JSON_DEPTH, check_json_depth, from_json
from xlc_core.options.engine import EngineOptions
from xlc_core.options.kwargs import ChatKwargs, EmbedStreamKwargs, EngineKwargs, RerankKwargs
from xlc_core.options.media_hosts import to_hosts
from xlc_core.options.retrieval import EmbedStreamOptions, RerankOptions
from xlc_core.options.sampling import ChatOptions
from xlc_core.waiting import Deadline

__all__ = ["SEEDS", "TARGETS"]

Target = Callable[[bytes], None]

ENGINE = SessionHeader("sha256:1", "tiny", "1", 3, {"n_ctx": "64"})
CHAT: list[Any] = [
    {"role": "system", "content": "You are a robot."},
    {
        "role": "user",
        "content": [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": "data:,a"}}],
    },
    {
        "role": "assistant",
        "content": None,
        "reasoning_content": "Hm",
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "look", "arguments": '{"at": "it"}'}}],
    },
    {"role": "tool", "tool_call_id": "1", "content": "blue"},
]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 9}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name"],
    "oneOf": [{"$ref": "#/$defs/a"}, {"required": ["age"], "not": {"const": 1}}],
    "$defs": {"a": {"enum": [1, "b", None]}},
}
TOOLS: list[Any] = [{"type": "function", "function": {"name": "look", "description": "d", "parameters": SCHEMA}}]
WORDS = (
    *(
        "role",
        "user",
        "assistant",
        "system",
        "tool",
        "developer",
        "content",
        "type",
        "text",
        "image_url",
        "input_audio",
    ),
    *("url", "data", "path", "name", "arguments", "tool_calls", "function", "parameters", "reasoning_content", "auto"),
    *("video_url", "strict", "tool_call_id", "id", "description", "any", "required", "none", "data:;base64,AA=="),
)
SCHEMA_WORDS = (
    *("type", "object", "array", "string", "number", "integer", "boolean", "null", "properties", "required", "items"),
    *("prefixItems", "enum", "const", "oneOf", "anyOf", "allOf", "not", "if", "then", "else", "$ref", "$defs", "#"),
    *("#/$defs/a", "#/properties/name", "dependentRequired", "dependentSchemas", "dependencies", "format", "pattern"),
    *("minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties", "minimum"),
    *("additionalProperties", "patternProperties", "propertyNames", "contains", "multipleOf", "x-guidance", "$schema"),
)


def session_header(data: bytes) -> None:
    """Read a session file whose header is this JSON, with the right sums."""
    head = b"xllama-session\r\n" + struct.pack("<II", 1, len(data)) + data
    _read_session(head + hashlib.sha256(head).digest())


def session_file(data: bytes) -> None:
    """Read these bytes as a session file."""
    _read_session(data)


def _read_session(content: bytes) -> None:
    with _file(content) as path, contextlib.suppress(xlc.InvalidRequestError):
        header, state, _ = read_session_file(path, ENGINE)
        assert header.model == ENGINE.model
        assert state.size <= len(content)


@contextlib.contextmanager
def _file(content: bytes) -> Iterator[Path]:
    number, name = tempfile.mkstemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    try:
        with open(number, "wb") as file:
            file.write(content)
        yield Path(name)
    finally:
        os.unlink(name)


def messages(data: bytes) -> None:
    """Convert a chat with some strange places."""
    source = Source(data, WORDS)
    with contextlib.suppress(xlc.XllamaError):
        read = to_messages(source.changed(CHAT))
        use = to_tool_use(to_tools(source.changed(TOOLS)), source.changed("look"))
        to_chat_request(read, use, ChatOptions())
        media.load(
            media.placed_parts(read, frozenset({"image", "audio", "video"})),
            rules=media.MediaRules(),
            deadline=Deadline(None),
        )


def options(data: bytes) -> None:
    """Check options of all kinds with any values."""
    source = Source(data, WORDS)
    kinds = (
        (ChatOptions, ChatKwargs),
        (EmbedStreamOptions, EmbedStreamKwargs),
        (RerankOptions, RerankKwargs),
        (EngineOptions, EngineKwargs),
    )
    checked, names = kinds[source.byte() % len(kinds)]
    known = sorted(get_type_hints(names))
    given = {known[source.byte() % len(known)]: source.value() for _ in range(1 + source.byte() % 3)}
    if source.byte() % 4 == 1:
        given[source.text()] = source.value()
    with contextlib.suppress(xlc.XllamaError):
        read = checked.checked(**given)
        if isinstance(read, ChatOptions):
            to_sampling(read)


def hosts(data: bytes) -> None:
    """Read names of hosts."""
    source = Source(data, ("10.0.0.0/8", "::1", "[::1]", "example.org", "0x7f.1"))
    with contextlib.suppress(ValueError):
        to_hosts(source.value())


def schema(data: bytes) -> None:
    """Rewrite a schema with some strange places, and compile it."""
    source = Source(data, SCHEMA_WORDS)
    _compile(lambda: xlc.JsonSchema(source.changed(SCHEMA)), '{"name": "a"}')


def schema_text(data: bytes) -> None:
    """Rewrite a schema that is given as a text, and compile it."""
    _compile(lambda: xlc.JsonSchema(data.decode(errors="surrogateescape")), "{}")


def _compile(make: Callable[[], xlc.Constraint], text: str) -> None:
    with contextlib.suppress(xlc.ConstraintError):
        constraint = make()
        constraint.grammar()
        constraint.check()
        constraint.accepts(text)


def grammar(data: bytes) -> None:
    """Compile a grammar or expression, and check a text against it."""
    kind, *_ = data[:1] or b"\0"
    whole = data[1:].decode(errors="surrogateescape")
    written, _, text = whole.partition("\0")
    with contextlib.suppress(xlc.ConstraintError):
        lark_text.depth(written)
        constraint = (xlc.Lark, xlc.Gbnf, xlc.Regex)[kind % 3](written)
        constraint.check()
        with contextlib.suppress(UnicodeEncodeError):
            text.encode()
            constraint.explain(text)


def json_text(data: bytes) -> None:
    """Read JSON that a model or a user wrote, and write it with plain escapes."""
    text = data.decode(errors="surrogateescape")
    try:
        value = from_json(text)
    except ValueError:
        value = None
    else:
        assert json.dumps(json.loads(reading.plain_json(text))) == json.dumps(value)
        assert (_depth_of(value) > MAX_JSON_DEPTH) == _is_refused(text)
    _is_refused(text)
    shown = data.decode(errors="replace")  # as the engine writes it
    list(partial_objects.partial_objects(TextDelta(shown[at : at + 3]) for at in range(0, min(len(shown), 60), 3)))
    explained = _native.explain("gbnf", 'root ::= "{" [^}]* "}"', shown)
    property_order.accepted_in_some_order(lambda _: explained, text)


def _is_refused(text: str) -> bool:
    try:
        check_json_depth(text, "it")
    except xlc.InvalidRequestError:
        return True
    return False


def _depth_of(value: Any) -> int:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if parts is None else 1 + max(map(_depth_of, parts), default=0)


def model_file(data: bytes) -> None:
    """Read the metadata of a GGUF file, and its vocabulary."""
    with _file(data) as path:
        for read in (_native.read_model_file, _native.VocabFile.open):
            with contextlib.suppress(xlc.ModelLoadError):
                read(str(path))


TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (
        *(session_header, session_file, messages, options, hosts, schema, schema_text, grammar, json_text, model_file),
    )
}


def _session_seed() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.session"
        write_session_file(path, ENGINE, np.arange(9, dtype=np.uint8))
        return path.read_bytes()


def _seeds() -> dict[str, list[bytes]]:
    session = _session_seed()
    models = Path(__file__).parents[1] / "model_files"
    grammars = [
        b'\0start: A "b"\nA: /[a-z]+/\n\0ab',
        b'\0start: %json {"type": "object"}\0{}',
        b'\1root ::= "a" b{1,3} # c\nb ::= [^x-z] | (root)?\0ab',
        rb"\2\d{4}-(a|b)+\/",
    ]
    return {
        "session_header": [session[24 : 24 + struct.unpack_from("<I", session, 20)[0]]],
        "session_file": [session, session[:60]],
        "messages": [bytes(200), bytes(range(256)), b"\x01\x06" * 60],
        "options": [bytes(20), bytes(range(256)), b"\x02" * 90],
        "hosts": [b"\x07\x02\x05\x80\x05\x81", b"\x05\x82"],
        "schema": [bytes(200), bytes(range(256)), b"\x02\x00\x80\x05" * 50],
        "schema_text": [json.dumps(SCHEMA).encode(), b'{"type": ["string", "null"], "format": "date"}'],
        "grammar": grammars,
        "json_text": [json.dumps(CHAT).encode(), rb'{"a": "\u00e9\"", "b": [1.5e3, null]}', b'[[["'],
        "model_file": [(models / f"{name}.gguf").read_bytes() for name in ("bert-embedder", "llama-lora")],
    }


SEEDS = _seeds()
"""Inputs from which the search for others begins, by target."""

assert SEEDS.keys() == TARGETS.keys()
