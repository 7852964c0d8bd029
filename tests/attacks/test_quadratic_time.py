"""Long texts and schemas on which a parser of ours took a time that grows with the square of their length: hours for a
megabyte, with the GIL held. Each test takes a moment; without the limit of time it would not end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import xlc_core as xlc
from xlc_core.constraints import lark_text, reading
from xlc_core.constraints.schema_rewriting import rewritten
from xlc_core.generation.conversion import to_tools
from xlc_core.nesting import check_json_depth

pytestmark = pytest.mark.timeout(120)

N = 400_000
QUOTES = '"' + '\\"' * N  # a string that does not end, with a quote at every second place


@pytest.mark.parametrize(
    "read",
    [
        lambda: check_json_depth("[]" * 200 + QUOTES, "it"),
        lambda: reading.plain_json(QUOTES),
        lambda: lark_text.depth(QUOTES),
        lambda: lark_text.depth("/" + "\\/" * N),
        lambda: xlc.Regex("\\" * N + "a"),
        lambda: xlc.Choice(*map(str, range(N // 4))),
        lambda: to_tools([{"name": f"t{i}"} for i in range(N // 10)]),
    ],
    ids=["json depth", "plain json", "lark string", "lark expression", "backslashes", "choices", "tools"],
)
def test_texts_are_read_once(read: Callable[[], Any]) -> None:
    assert read() is not None


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [{"not": {"$ref": f"#/allOf/{i}/x"}} for i in range(N // 20)]},
        {"oneOf": [{"const": i} for i in range(N // 20)]},
        {"oneOf": [{"required": ["a"], "properties": {"a": {"const": i}}} for i in range(N // 40)]},
    ],
    ids=["references", "constants", "objects"],
)
def test_schemas_are_rewritten(schema: dict[str, Any]) -> None:
    assert rewritten(schema).keys() <= {"allOf", "anyOf", "oneOf"}


@pytest.mark.parametrize(
    "schema",
    [
        {"oneOf": [{"$ref": "#/allOf/" + "9" * 5000}, {"type": "string"}], "allOf": [{}]},  # int() refused the index
        {  # a chain of references, which Python's stack did not hold
            "oneOf": [{"$ref": "#/$defs/a0"}, {"type": "string"}],
            "$defs": {**{f"a{i}": {"$ref": f"#/$defs/a{i + 1}"} for i in range(3000)}, "a3000": {"type": "null"}},
        },
    ],
    ids=["index", "chain"],
)
def test_strange_references_are_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(xlc.ConstraintError):
        xlc.JsonSchema(schema).check()


def test_large_unions_are_still_compared() -> None:
    branches = [{"type": "object", "required": ["kind"], "properties": {"kind": {"const": i}}} for i in range(200)]
    assert "anyOf" in rewritten({"oneOf": branches})
    assert "anyOf" in rewritten({"oneOf": [{"const": i} for i in range(5000)]})
