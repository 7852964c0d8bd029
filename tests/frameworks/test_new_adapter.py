"""The adapter in docs/frameworks.md works, and so do the parts that it can be built from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

import xlc_core as xlc
from xlc_core.frameworks import (
    ChatFields,
    GeneratorAdapter,
    close_schema,
    describe_schema,
    read_response_format,
    require_single_answer,
)
from xlc_core.testing import ScriptedEngine

PAGE = Path(__file__).parents[2] / "docs" / "frameworks.md"
SIZED: dict[str, Any] = {"type": "object", "properties": {"size": {"type": "string", "format": "path"}}}


def test_documented_adapter_answers() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (source,) = [block for block in blocks if "class Summarizer" in block]
    definitions, _, _ = source.partition("\nwith ")
    names: dict[str, Any] = {"__name__": "documented"}
    exec(compile(definitions, str(PAGE), "exec"), names)
    engine = ScriptedEngine(["Short."])
    assert names["Summarizer"](engine=engine)("A long text.") == "Short."
    assert engine.requests[-1].messages[0].content.endswith("A long text.")


class Chatty(ChatFields, GeneratorAdapter):
    """An adapter of a third framework."""

    further: dict[str, Any] = Field(default_factory=dict)

    def _further_options(self) -> dict[str, Any]:
        return self.further


def test_fields_and_further_options_become_one_request() -> None:
    chatty = Chatty(model="a.gguf", temperature=0.5, thinking=False, further={"dry_base": 2.0, "temperature": 1.0})
    assert chatty._own_options() == {"temperature": 0.5, "max_tokens": 1024, "thinking": False, "dry_base": 2.0}


def test_completion_options_leave_settings_of_chats_out() -> None:
    chatty = Chatty(model="a.gguf", thinking=False)
    assert chatty._completion_options(chatty._own_options(), {}) == {"max_tokens": 1024}
    asked = {**chatty._own_options(), "tools": []}
    assert "tools" in chatty._completion_options(asked, {"tools": []})  # the call's own, which the engine refuses


def test_closed_schema_has_no_hints_and_no_further_properties() -> None:
    assert close_schema(SIZED) == {
        "type": "object",
        "properties": {"size": {"type": "string"}},
        "additionalProperties": False,
    }
    assert SIZED["properties"]["size"]["format"] == "path"


@pytest.mark.parametrize(
    ("response_format", "expected"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, xlc.JsonObject()),
        ({"type": "json_schema", "json_schema": {"schema": SIZED}}, xlc.JsonSchema(close_schema(SIZED))),
        ({"type": "json_schema", "schema": SIZED}, xlc.JsonSchema(close_schema(SIZED))),
        ({"type": "json_object", "schema": SIZED}, xlc.JsonSchema(close_schema(SIZED))),
        ({"type": "object"}, xlc.JsonSchema({"type": "object"})),
        (["yes", "no"], xlc.Choice("yes", "no")),
    ],
)
def test_response_formats_become_constraints(response_format: Any, expected: Any) -> None:
    assert read_response_format(response_format) == expected


@pytest.mark.parametrize("broken", [{}, {"json_schema": None}, {"json_schema": {"name": "a"}}])
def test_incomplete_response_format_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(xlc.InvalidRequestError, match="must have"):
        read_response_format({"type": "json_schema", **broken})


def test_schemas_are_described_and_other_constraints_are_not() -> None:
    text = describe_schema(xlc.JsonSchema({**SIZED, "x-guidance": {}}))
    assert text is not None
    assert text.startswith("Answer with a JSON object that matches this JSON schema:\n{")
    assert "x-guidance" not in text
    assert describe_schema(xlc.Choice("a")) is None


def test_several_answers_are_refused_where_one_is_possible() -> None:
    assert require_single_answer({"n": 1}) == {"n": 1}
    with pytest.raises(xlc.InvalidRequestError, match="n must be 1, got 2"):
        require_single_answer({"n": 2})
