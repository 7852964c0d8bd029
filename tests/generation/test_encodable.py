"""A lone surrogate anywhere in a request is an error of ours that names its place; NUL is a character like others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import xlc_core as xlc

BAD = "cut \ud83d"
NUL = "a\0b"
HI = [{"role": "user", "content": "Hi"}]


def tool(**fields: Any) -> dict[str, Any]:
    return {"tools": [{"name": "f", "description": "d", "parameters": {"type": "object"}, **fields}]}


def properties(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields}


def called(**fields: Any) -> list[dict[str, Any]]:
    call = {"id": "1", "name": "f", "arguments": "{}", **fields}
    return [
        *HI,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "done"},
        *HI,
    ]


Use = Callable[[xlc.Engine, str], Any]

CHATS: dict[str, Use] = {
    "the content": lambda engine, text: engine.chat([{"role": "user", "content": text}], max_tokens=1),
    "a text": lambda engine, text: engine.chat(text, max_tokens=1),
    "a part": lambda engine, text: engine.chat(
        [{"role": "user", "content": ["a", {"type": "text", "text": text}]}], max_tokens=1
    ),
    "a Message": lambda engine, text: engine.chat([xlc.Message(role="user", content=text)], max_tokens=1),
    "the system": lambda engine, text: engine.chat([{"role": "system", "content": text}, *HI], max_tokens=1),
    "a result": lambda engine, text: engine.chat(
        [*called()[:2], {"role": "tool", "tool_call_id": "1", "content": text}], max_tokens=1
    ),
    "thinking": lambda engine, text: engine.chat(
        [*HI, {"role": "assistant", "content": "a", "reasoning": text}, *HI], max_tokens=1
    ),
    "a name": lambda engine, text: engine.chat([{"role": "tool", "content": "a", "name": text}, *HI], max_tokens=1),
    "a call's name": lambda engine, text: engine.chat(called(name=text), max_tokens=1),
    "a call's id": lambda engine, text: engine.chat(called(id=text), max_tokens=1),
    "an argument": lambda engine, text: engine.chat(called(arguments={"x": text}), max_tokens=1),
    "an argument's key": lambda engine, text: engine.chat(called(arguments={text: 1}), max_tokens=1),
    "arguments as text": lambda engine, text: engine.chat(called(arguments=text), max_tokens=1),
    "a tool's name": lambda engine, text: engine.chat(HI, max_tokens=1, **tool(name=text)),
    "a tool's description": lambda engine, text: engine.chat(HI, max_tokens=1, **tool(description=text)),
    "a parameter's description": lambda engine, text: engine.chat(
        HI, max_tokens=1, **tool(parameters=properties(x={"type": "string", "description": text}))
    ),
    "a parameter's name": lambda engine, text: engine.chat(
        HI, max_tokens=1, **tool(parameters=properties(**{text: {"type": "string"}}))
    ),
    "a variable": lambda engine, text: engine.chat(HI, max_tokens=1, template_kwargs={"x": text}),
    "a variable's key": lambda engine, text: engine.chat(HI, max_tokens=1, template_kwargs={"x": {text: 1}}),
    "a stop": lambda engine, text: engine.chat(HI, max_tokens=1, stop=[text]),
    "a prompt": lambda engine, text: engine.complete(text, max_tokens=1),
    "a message to count": lambda engine, text: engine.count_tokens([{"role": "user", "content": text}]),
    "a message to render": lambda engine, text: engine.render_chat([{"role": "user", "content": text}]),
    "text to tokenise": lambda engine, text: engine.tokenize(text),
}


@pytest.mark.parametrize("place", CHATS)
def test_lone_surrogate_is_named(engine: xlc.Engine, place: str) -> None:
    with pytest.raises(xlc.InvalidRequestError, match="surrogate"):
        CHATS[place](engine, BAD)


@pytest.mark.parametrize("place", sorted(CHATS.keys() - {"a tool's name"}))
def test_nul_is_a_character(engine: xlc.Engine, place: str) -> None:
    assert CHATS[place](engine, NUL)


def test_nul_in_a_tools_name_is_refused(engine: xlc.Engine) -> None:
    with pytest.raises(xlc.InvalidRequestError, match="a tool's name has a NUL character"):
        CHATS["a tool's name"](engine, NUL)


def test_nul_reaches_the_prompt(engine: xlc.Engine) -> None:
    assert NUL in engine.render_chat([{"role": "user", "content": NUL}])
    assert engine.count_tokens([{"role": "user", "content": NUL}]) > engine.count_tokens(
        [{"role": "user", "content": "a"}]
    )


def test_key_of_a_variable_is_checked(engine: xlc.Engine) -> None:
    with pytest.raises(xlc.InvalidRequestError, match="surrogate"):
        engine.chat(HI, max_tokens=1, template_kwargs={BAD: 1})
