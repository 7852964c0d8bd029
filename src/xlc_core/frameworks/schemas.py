"""Schemas as frameworks pass them: response formats, and schemas that the model is shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from xlc_core.constraints.constraint import Constraint
from xlc_core.constraints.conversion import to_constraint
from xlc_core.constraints.json_constraints import JsonObject, JsonSchema
from xlc_core.constraints.reading import close_schema
from xlc_core.errors import InvalidRequestError

__all__ = ["describe_schema", "read_response_format", "read_schema"]


def read_response_format(response_format: Any) -> Constraint | None:
    """Return the constraint that a response format means.

    Args:
        response_format: OpenAI's form, ``{"type": "json_schema", "json_schema": {"schema": …}}``, or with the type
            ``json_object`` or ``text``; llama-server's, with ``schema`` beside the type; or what the engine takes as
            a constraint, such as a type or a JSON schema. Formats in a schema of OpenAI's form are hints where no
            grammar enforces them, as frameworks make it of a type that checks them.

    Returns:
        the constraint; None for ``text``.

    Raises:
        InvalidRequestError: it is of OpenAI's form and incomplete.
        ConstraintError: it is not a constraint.
    """
    if not isinstance(response_format, Mapping) or response_format.get("type") not in _OPENAI_TYPES:
        return to_constraint(response_format)
    kind = response_format["type"]
    if kind == "text":
        return None
    described = response_format.get("json_schema", response_format)
    schema = described.get("schema") if isinstance(described, Mapping) else None
    if kind == "json_object" and schema is None:
        return JsonObject()
    if not isinstance(schema, Mapping):
        raise InvalidRequestError(
            "response_format of the type 'json_schema' must have {'json_schema': {'schema': {…}}}, "
            f"got {response_format!r:.200}"
        )
    return read_schema(schema)


def read_schema(schema: Mapping[str, Any]) -> JsonSchema:
    """Return the constraint for a JSON schema that a framework has made of a type, which checks its formats.

    Args:
        schema: the schema; it is not changed.

    Raises:
        ConstraintError: it is not JSON, or too large. ``check``, and the first request, find what cannot be enforced.
    """
    return JsonSchema(close_schema(dict(schema)))


_OPENAI_TYPES = ("json_schema", "json_object", "text")


def describe_schema(constraint: Any) -> str | None:
    """Return a text for the system message that shows the model a schema; None for other constraints.

    Args:
        constraint: what the answer must match.
    """
    if not isinstance(constraint, JsonSchema):
        return None
    schema = {name: value for name, value in constraint.schema.items() if name != "x-guidance"}
    kind = "a JSON object" if schema.get("type") == "object" else "JSON"
    return f"Answer with {kind} that matches this JSON schema:\n{json.dumps(schema, ensure_ascii=False)}"
