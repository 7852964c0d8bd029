"""Hostile requests: each number names one, made at random from sound requests and hostile values.

A request names a method of an engine and its arguments. Some are sound, most have a value or two that no program that
its author has read would send: of another type, far too large, too deep, not finite, not a text.
"""

from __future__ import annotations

import copy
import functools
import json
import math
import os
import random
import reprlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import xlc_core as xlc
from attacks.hostile_bytes import hostile_medium, hostile_session
from helpers.generated_schemas import make_schema
from xlc_core.options.kwargs import ChatKwargs, EmbedKwargs, RerankKwargs

__all__ = ["KINDS", "Request", "request_of"]

LIMITS = {"max_tokens": 8, "timeout": 20.0}
"""Given with every request that generates, unless the attack is on them."""

TEXTS = [
    *("", "\x00", "\ud800", "\udfff tail", "é" * 300, "𝄞", "\u202e", "<|im_start|>system\n", "</s><s>", "{{ 1 / 0 }}"),
    *("{% for a in range(10**9) %}x{% endfor %}", "[" * 700, "{" * 700, "(" * 3000, "(a+)+" * 50, "\\" * 999),
    *("<tool_call>" * 20, '{"name": "look", "arguments": ' + "[" * 600, "<__media__>", "../../etc/passwd", "%s%n" * 9),
]
NUMBERS = [
    *(0, 1, -1, 2, 7, 255, 2**15, 2**31 - 1, 2**31, -(2**31) - 1, 2**32, 2**63 - 1, 2**63, 2**64, 10**30),
    *(0.5, -0.0, 1e-320, 1e38, 1e308, math.inf, -math.inf, math.nan, True),
]
SMALL: list[Any] = [0, 1, 2, 0.5, 1.0, True, False, None, "", "a", [], ["a"], {}, {"a": 1}, {5: 0.5}, "auto", "end"]
"""Values that are right for many options."""

GRAMMAR_PIECES = [
    *("root ::= ", "start: ", "a ::= ", '"x"', "[a-z]", "(", ")", "|", "*", "+", "?", "{2,3}", "{999999999}", " root "),
    *(" a ", "\n", "\\", "[^", "]", "/", "%json ", "{", "}", "<s>", "%ignore /x/", "%regex ", "~", "&", ".", '"', "\0"),
]
SCHEMA_KEYS: dict[str, list[Any]] = {
    "type": ["object", "array", "string", "strange", ["integer", "null"], [], 3],
    "pattern": ["(", "a{99999}", "(?=a)b", "^.*$", "[", "(a|b)*" * 40],
    "$ref": ["#", "#/$defs/none", "#/properties/name", "http://example.com/x.json", "#/%zz", 3],
    "enum": [[], [1, "a", None], [math.nan], "a"],
    "const": [None, {"a": [1]}, 10**40],
    "minimum": [-(10**20), 10**20, "1"],
    "multipleOf": [0, -1, 1e-300, 0.1],
    "maxLength": [-1, 0, 10**12],
    "minItems": [-1, 10**9],
    "items": [True, False, {}, []],
    "additionalProperties": [True, False, 3],
    "allOf": [[], [{}], [{"type": "string"}, {"type": "integer"}]],
    "anyOf": [[], [{"type": "string"}]],
    "not": [{}, {"type": "string"}],
    "required": [["missing"], "name", [1]],
    "format": ["date", "strange", 3],
}
TOOL = {"type": "function", "function": {"name": "look", "description": "Looks", "parameters": make_schema(1)}}
CHAT: list[Any] = [
    {"role": "system", "content": "You are a robot."},
    {"role": "user", "content": [{"type": "text", "text": "Look at this."}]},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "look", "arguments": '{"at": "it"}'}}],
    },
    {"role": "tool", "tool_call_id": "1", "content": "It is blue."},
    {"role": "user", "content": "So?"},
]


_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxdict, _SHORT.maxstring, _SHORT.maxother = 5, 9, 90, 60


@dataclass
class Request:
    """A call of an engine's method."""

    kind: str
    call: Callable[[xlc.Engine], object]
    description: str


class _Attacker:
    """Makes values from one seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def value(self, depth: int = 2) -> Any:
        """Return any value."""
        chance = self.chance
        kind = chance.randrange(9 if depth else 6)
        if kind < 2:
            return chance.choice(TEXTS)
        if kind < 4:
            return chance.choice(NUMBERS)
        if kind == 4:
            return chance.choice([None, b"\xff\x00", object(), {1, 2}, range(3), 2j, Ellipsis])
        if kind == 5:
            return self.deep()
        if kind < 8:
            return {chance.choice(["a", "type", "role", "", "\ud800", "name"]): self.value(depth - 1) for _ in range(3)}
        return [self.value(depth - 1) for _ in range(chance.randrange(4))]

    def deep(self) -> Any:
        """Return a list or a mapping with very many levels."""
        value: Any = 1
        for _ in range(self.chance.choice([60, 900, 5000])):
            value = [value] if self.chance.random() < 0.5 else {"a": value}
        return value

    def changed(self, value: Any, n: int = 1) -> Any:
        """Return a copy in which ``n`` places have other values, are missing, or stand twice."""
        whole = [copy.deepcopy(value)]
        for _ in range(n):
            places = list(_places(whole))
            holder, key = self.chance.choice(places)
            how = self.chance.randrange(5)
            if how == 0 and isinstance(holder, dict):
                del holder[key]
            elif how == 1 and isinstance(holder, list) and holder is not whole:
                holder.insert(self.chance.randrange(len(holder) + 1), copy.copy(holder[key]))
            elif how == 2 and isinstance(holder, dict):
                holder[self.chance.choice(["extra", "path", "url", "$ref", "\x00"])] = self.value()
            else:
                holder[key] = self.value()
        return whole[0]

    def options(self, kwargs: type) -> dict[str, Any]:
        """Return hostile values for one to three options."""
        names = [name for name in get_type_hints(kwargs) if name not in ("progress", "thinking_switch")]
        return {
            name: self.value(1) if self.chance.random() < 0.4 else self.chance.choice(SMALL)
            for name in self.chance.sample(names, self.chance.randint(1, 3))
        }

    def schema(self) -> Any:
        """Return a schema with some strange keywords."""
        schema = make_schema(self.chance.randrange(200))
        for _ in range(self.chance.randint(1, 3)):
            holders = [schema, *(part for part in schema.get("properties", {}).values() if isinstance(part, dict))]
            key = self.chance.choice(list(SCHEMA_KEYS))
            self.chance.choice(holders)[key] = self.chance.choice(SCHEMA_KEYS[key])
        return self.changed(schema) if self.chance.random() < 0.3 else schema

    def soup(self) -> str:
        """Return pieces of grammars in any order."""
        start = self.chance.choice(["root ::= ", "start: ", ""])
        return start + "".join(self.chance.choices(GRAMMAR_PIECES, k=self.chance.randint(1, 25)))


def _places(value: Any, depth: int = 8) -> Iterator[tuple[Any, Any]]:
    """Yield the places in nested lists and mappings, as the holder and the key or index, not of the deepest."""
    if not depth:
        return
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in list(pairs):
        yield value, key
        yield from _places(part, depth - 1)


def _show(value: Any) -> str:
    return _SHORT.repr(value)


def _options(attacker: _Attacker) -> Request:
    options = {**LIMITS, **attacker.options(ChatKwargs)}
    return Request("", lambda engine: engine.chat("Hello", **options), f"chat('Hello', **{_show(options)})")


def _messages(attacker: _Attacker) -> Request:
    messages = attacker.changed(CHAT, attacker.chance.randint(1, 3))
    tools = [TOOL] if attacker.chance.random() < 0.5 else []
    return Request("", lambda engine: engine.chat(messages, tools=tools, **LIMITS), f"chat({_show(messages)})")


def _tools(attacker: _Attacker) -> Request:
    tools = attacker.changed([TOOL, TOOL], 2)
    choice = attacker.chance.choice(["auto", "required", "look", {"type": "tool", "name": "look"}, attacker.value()])
    return Request(
        "",
        lambda engine: engine.chat("Look", tools=tools, tool_choice=choice, **LIMITS),
        f"chat('Look', tools={_show(tools)}, tool_choice={_show(choice)})",
    )


def _tool_schema(attacker: _Attacker) -> Request:
    schema = attacker.schema()
    tools = [{"type": "function", "function": {"name": "look", "parameters": schema}}]
    return Request(
        "",
        lambda engine: engine.chat("Look", tools=tools, tool_choice="look", **LIMITS),
        f"chat('Look', tool_choice='look', parameters={_show(schema)})",
    )


def _schema(attacker: _Attacker) -> Request:
    schema = attacker.schema()
    return Request("", lambda engine: engine.chat("A", constraint=schema, **LIMITS), f"schema {_show(schema)}")


def _grammar(attacker: _Attacker) -> Request:
    kind = attacker.chance.choice([xlc.Gbnf, xlc.Lark, xlc.Regex])
    text = attacker.chance.choice([attacker.soup(), attacker.soup(), attacker.chance.choice(TEXTS)])
    return Request(
        "", lambda engine: engine.complete("A", constraint=kind(text), **LIMITS), f"{kind.__name__}({_show(text)})"
    )


def _answer_start(attacker: _Attacker) -> Request:
    start = attacker.chance.choice(TEXTS) + attacker.chance.choice(TEXTS)
    messages = [{"role": "user", "content": "Look"}, {"role": "assistant", "content": start}]
    return Request("", lambda engine: engine.chat(messages, tools=[TOOL], **LIMITS), f"continued {_show(start)}")


def _template_values(attacker: _Attacker) -> Request:
    values = {attacker.chance.choice(["messages", "tools", "a", "bos_token"]): attacker.value(), "b": attacker.value()}
    return Request(
        "",
        lambda engine: engine.chat("Hello", template_kwargs=values, **LIMITS),
        f"template_kwargs={_show(values)}",
    )


def _completion(attacker: _Attacker) -> Request:
    prompt = attacker.value()
    return Request("", lambda engine: engine.complete(prompt, **LIMITS), f"complete({_show(prompt)})")


def _infill(attacker: _Attacker) -> Request:
    prefix, suffix, extra = attacker.value(), attacker.value(), attacker.value()
    return Request(
        "",
        lambda engine: engine.infill(prefix, suffix, extra=extra, **LIMITS),
        f"infill({_show(prefix)}, {_show(suffix)}, extra={_show(extra)})",
    )


def _counting(attacker: _Attacker) -> Request:
    method = attacker.chance.choice(["count_tokens", "tokenize", "detokenize", "render_chat"])
    value = attacker.chance.choice([attacker.value(), attacker.changed(CHAT), [attacker.chance.choice(NUMBERS)]])
    return Request("", lambda engine: getattr(engine, method)(value), f"{method}({_show(value)})")


def _decision(attacker: _Attacker) -> Request:
    asked = {
        "a": {"type": "noul", "instructions": "?"},
        "b": {"type": "score", "instructions": "?", "criteria": [1, 2]},
    }
    state, questions = attacker.value(), attacker.changed(asked, 2)
    return Request("", lambda engine: engine.decide(state, questions), f"decide({_show(state)}, {_show(questions)})")


def _embedding(attacker: _Attacker) -> Request:
    texts = attacker.changed(["one", "two", "three"]) if attacker.chance.random() < 0.7 else attacker.value()
    options = attacker.options(EmbedKwargs) if attacker.chance.random() < 0.7 else {}
    return Request("", lambda engine: engine.embed(texts, **options), f"embed({_show(texts)}, **{_show(options)})")


def _reranking(attacker: _Attacker) -> Request:
    documents = attacker.changed(["one", "two"])
    query = attacker.chance.choice(["query", attacker.value()])
    options = attacker.options(RerankKwargs) if attacker.chance.random() < 0.7 else {}
    return Request(
        "",
        lambda engine: engine.rerank(query, documents, **options),
        f"rerank({_show(query)}, {_show(documents)}, **{_show(options)})",
    )


def _json(attacker: _Attacker) -> Request:
    """Tool arguments as a text: JSON with one changed place, or cut off."""
    text = json.dumps({"at": [1, {"b": None}], "c": "d"}) * attacker.chance.randint(1, 2)
    cut = attacker.chance.randrange(len(text))
    text = attacker.chance.choice([text[:cut], text[:cut] + attacker.chance.choice(TEXTS) + text[cut:]])
    messages = copy.deepcopy(CHAT)
    messages[2]["tool_calls"][0]["function"]["arguments"] = text
    return Request("", lambda engine: engine.chat(messages, tools=[TOOL], **LIMITS), f"arguments {_show(text)}")


def _session(attacker: _Attacker) -> Request:
    chance = attacker.chance

    def load(engine: xlc.Engine) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "hostile.session"
            path.write_bytes(hostile_session(chance, _sound_session(engine)))
            engine.load_session(path)
        engine.chat(CHAT[:1], max_tokens=2)

    return Request("", load, "a session file")


@functools.cache
def _sound_session(engine: xlc.Engine) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sound.session"
        engine.save_session(path, CHAT[:1])
        return path.read_bytes()


def _medium(attacker: _Attacker) -> Request:
    kind, content = hostile_medium(attacker.chance)
    part = {"image": xlc.ImagePart, "audio": xlc.AudioPart, "video": xlc.VideoPart}[kind](data=content)
    parts = [part] * attacker.chance.choice([1, 1, 1, 2])
    method = attacker.chance.choice(["chat", "count_tokens"])
    limits = LIMITS if method == "chat" else {}
    messages = [xlc.Message(role="user", content=tuple(parts))]
    return Request("", lambda engine: getattr(engine, method)(messages, **limits), f"{kind} {content[:60]!r}")


KINDS: dict[str, tuple[str, Callable[[_Attacker], Request]]] = {
    "options": ("chat", _options),
    "messages": ("chat", _messages),
    "tools": ("chat", _tools),
    "tool schema": ("chat", _tool_schema),
    "schema": ("chat", _schema),
    "grammar": ("chat", _grammar),
    "start of the answer": ("chat", _answer_start),
    "template values": ("chat", _template_values),
    "tool arguments": ("chat", _json),
    "prompt": ("chat", _completion),
    "infill": ("chat", _infill),
    "counting": ("chat", _counting),
    "decision": ("decider", _decision),
    "embedding": ("embedder", _embedding),
    "reranking": ("reranker", _reranking),
    "session file": ("chat", _session),
    "medium": ("viewer", _medium),
}
"""The role of the engine that is attacked, and a function that makes a request, by kind."""


def _abort(_: _Attacker) -> Request:
    return Request("", lambda _: os.abort(), "the end of the process")


def _foreign(_: _Attacker) -> Request:
    return Request("", lambda _: {}["nothing"], "an error that is not ours")


_FOR_TESTS_OF_THE_TESTS = {"abort": ("chat", _abort), "foreign": ("chat", _foreign)}


def request_of(number: int, kind: str | None = None) -> tuple[str, Request]:
    """Return the role of an engine, and the request of this number, of one kind or of its turn."""
    kind = kind or list(KINDS)[number % len(KINDS)]
    role, make = {**KINDS, **_FOR_TESTS_OF_THE_TESTS}[kind]
    request = make(_Attacker(number))
    request.kind = kind
    return role, request
