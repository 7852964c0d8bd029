"""Checks of constraints that users write, and JSON schemas from dicts, texts and types."""

from __future__ import annotations

import functools
import json
import re
from typing import TYPE_CHECKING, Any

from pydantic import PydanticUserError, TypeAdapter

from xlc_core.constraints import lark_text
from xlc_core.constraints.schema_formats import ENFORCED
from xlc_core.constraints.tags import require_tags
from xlc_core.constraints.type_schema import TypeSchema
from xlc_core.errors import ConstraintError
from xlc_core.texts import check_text, plain_value, show_value

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "adapter_of",
    "check_depth",
    "check_source",
    "close_schema",
    "dump_json",
    "load_json",
    "plain_json",
    "require_all",
    "schema_of",
]

MAX_DEPTH = 64
MAX_SIZE = 1 << 20  # characters

_DATA_KEYWORDS = frozenset({"const", "default", "enum", "examples"})  # they hold values, not schemas
_NAMED_SCHEMAS = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})


def check_source(text: str, what: str) -> None:
    """Refuse a constraint's text that is empty or too large, or that UTF-8 or a C string cannot hold."""
    if not text:
        raise ConstraintError(f"the {what} is empty")
    if len(text) > MAX_SIZE:
        raise ConstraintError(f"the {what} has {len(text)} characters; at most {MAX_SIZE} are allowed")
    check_text(text, f"the {what}", ConstraintError)
    if what == "grammar" and "\0" in text:
        raise ConstraintError(f"the {what} has a NUL character at character {text.index(chr(0))}")


def check_depth(depth: int, what: str) -> None:
    """Refuse nesting that is too deep for parsers that recurse."""
    if depth > MAX_DEPTH:
        raise ConstraintError(f"the {what} is nested more than {MAX_DEPTH} deep; give its inner parts names")


def load_json(text: str) -> Any:
    """Parse a schema's JSON text."""
    check_source(text, "JSON schema")
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConstraintError(f"the JSON schema is not JSON: {error}") from None
    except RecursionError:
        raise ConstraintError(f"the JSON schema is nested more than {MAX_DEPTH} deep") from None


def dump_json(schema: Mapping[str, Any]) -> str:
    """Return a schema as JSON text, after checking its size and depth."""
    try:
        text = json.dumps(dict(schema), ensure_ascii=False, allow_nan=False, default=plain_value)
    except (TypeError, ValueError) as error:
        raise ConstraintError(f"the JSON schema is not JSON: {error}") from None
    except RecursionError:
        raise ConstraintError(f"the JSON schema is nested more than {MAX_DEPTH} deep") from None
    _check_schema_text(text)
    return text


@functools.lru_cache(maxsize=128)
def _check_schema_text(text: str) -> None:
    check_source(text, "JSON schema")
    check_depth(lark_text.depth(text), "JSON schema")


# A string without an end is one too: the search would look for its end again from each quote within it.
_JSON_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)


def plain_json(text: str) -> str:
    """Return JSON text with only the necessary escapes: grammars know only this way to write a character."""
    return _JSON_STRING.sub(lambda match: _plain_string(match[0]), text) if "\\" in text or "\x7f" in text else text


def _plain_string(literal: str) -> str:
    try:
        plain = json.dumps(json.loads(literal), ensure_ascii=False)
        plain.encode()
    except ValueError:  # not JSON, or half a surrogate pair
        return literal
    return plain.replace("\x7f", "\\u007f")


def adapter_of(schema: Any) -> TypeAdapter[Any]:
    """Return pydantic's adapter for a type."""
    if isinstance(schema, TypeAdapter):
        return schema
    try:
        return TypeAdapter(schema)
    except (PydanticUserError, ValueError) as error:
        shown = show_value(schema)
        raise ConstraintError(f"JsonSchema takes a dict, a JSON text or a type, got {shown}: {error}") from None


def schema_of(adapter: TypeAdapter[Any]) -> Any:
    """Return a type's JSON schema, adapted to generation."""
    try:
        return close_schema(adapter.json_schema(schema_generator=TypeSchema))
    except PydanticUserError as error:
        raise ConstraintError(f"the type does not have a JSON schema: {error}") from None


def close_schema(schema: Any) -> Any:
    """Return a type's JSON schema as generation needs it. Nothing is lost, since the type checks the rest.

    Objects get no properties beyond their own: the type would ignore more, and a weak model would go on inventing them.
    The tags of unions are required. Formats that no grammar enforces are dropped as hints.

    Args:
        schema: the schema that pydantic or a framework makes of a type; it is not changed.
    """
    closed = _close(schema)
    if isinstance(closed, dict):
        require_tags(closed)
    return closed


def _close(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_close(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed_keyword(name, value) for name, value in schema.items()}
    if isinstance(name := closed.get("format"), str) and name not in ENFORCED:
        del closed["format"]
    if closed.get("type") == "object" and "properties" in closed:
        closed.setdefault("additionalProperties", False)
    return closed


def _closed_keyword(name: str, value: Any) -> Any:
    if name in _DATA_KEYWORDS:
        return value
    if name in _NAMED_SCHEMAS and isinstance(value, dict):
        return {key: _close(part) for key, part in value.items()}
    return _close(value)


def require_all(schema: Any) -> Any:
    """Return a schema whose objects have all properties that they name, and no others.

    Args:
        schema: a JSON schema; it is not changed.
    """
    if isinstance(schema, list):
        return [require_all(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: value if name in _DATA_KEYWORDS else require_all(value) for name, value in schema.items()}
    if isinstance(properties := schema.get("properties"), dict) and schema.get("type", "object") == "object":
        made["required"] = list(properties)
        made["additionalProperties"] = False
    return made
