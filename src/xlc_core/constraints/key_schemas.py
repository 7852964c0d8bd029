"""Schemas of the keys of JSON objects, which are texts, whatever a dict's keys are."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from xlc_core.constraints.pattern_parts import integers

__all__ = ["key_schema"]

_ANY_TEXT = {"title", "description", "type", "default", "examples", "deprecated"}
"""Keywords that leave any text."""
_NUMBER = r"^-?(?:0|[1-9][0-9]{0,14})(?:[.][0-9]{1,15})?$"


def key_schema(schema: dict[str, Any], takes: Callable[[str], bool]) -> dict[str, Any] | None:
    """Return the schema of a dict's keys as texts.

    Args:
        schema: the schema of the keys' type.
        takes: whether the type takes a JSON text.

    Returns:
        a schema for ``propertyNames``, empty if any text is a key; None if no text is.
    """
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if values is not None:
        texts = [value if isinstance(value, str) else json.dumps(value) for value in values]
        kept = [text for text in texts if takes(json.dumps(text))]
        return {"enum": kept} if kept else None
    if "anyOf" in schema:
        parts = [key_schema(part, takes) for part in schema["anyOf"]]
        known = [part for part in parts if part is not None]
        return None if not known else {} if {} in known else {"anyOf": known} if len(known) > 1 else known[0]
    if "$ref" in schema:
        return {"$ref": schema["$ref"]}
    kind = schema.get("type")
    if kind == "string":
        return {name: value for name, value in schema.items() if name not in _ANY_TEXT}
    if kind == "integer":
        return {"pattern": f"^{integers(*_bounds(schema))}$"}
    if kind == "number":
        return {"pattern": _NUMBER}
    if kind == "boolean":
        return {"enum": ["true", "false"]}
    return None if kind in {"null", "array", "object"} else {}


def _bounds(schema: dict[str, Any]) -> tuple[int | None, int | None]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if (above := schema.get("exclusiveMinimum")) is not None:
        low = max(int(above) + 1, int(above) + 1 if low is None else low)
    if (below := schema.get("exclusiveMaximum")) is not None:
        high = min(int(below) - 1, int(below) - 1 if high is None else high)
    return (None if low is None else int(low)), (None if high is None else int(high))
