"""Tools, tool choice and response formats, from LangChain's forms into the engine's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from pydantic import BaseModel

from xlc_core import InvalidRequestError, JsonObject, JsonSchema, Tool
from xlc_core.frameworks import to_tool_choice

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["response_format", "to_constraint", "to_engine_tools", "to_tool_choice"]


def to_engine_tools(tools: Iterable[dict[str, Any]]) -> list[Tool]:
    """Convert tools from OpenAI's form, which is the one that ``bind_tools`` binds.

    Raises:
        InvalidRequestError: a tool is one that only a provider's servers run, such as a web search.
    """
    return [_engine_tool(tool) for tool in tools]


def _engine_tool(tool: dict[str, Any]) -> Tool:
    function = convert_to_openai_tool(tool).get("function")
    if function is None:
        raise InvalidRequestError(f"a tool must be a function that your program runs, got {tool!r}")
    return Tool(
        name=function["name"],
        description=function.get("description", ""),
        parameters=function.get("parameters") or {"type": "object", "properties": {}},
    )


def response_format(schema: Any, *, strict: bool | None = None) -> dict[str, Any]:
    """Describe an answer that must match a schema, in OpenAI's form.

    Args:
        schema: a pydantic class, a TypedDict, or a JSON schema, bare or in OpenAI's form.
        strict: True makes every property required and allows no others; the answer matches the
            schema either way.

    Returns:
        ``{"type": "json_schema", "json_schema": {"name": …, "schema": …}}``.
    """
    if isinstance(schema, dict) and schema.get("type") in {"json_schema", "json_object", "text"}:
        return schema
    if strict:
        json_schema = convert_to_json_schema(schema, strict=True)
    elif isinstance(schema, dict) and not schema.keys() & {"name", "function"}:
        json_schema = schema
    elif isinstance(schema, type) and issubclass(schema, BaseModel):
        # LangChain's own conversion replaces references, which a recursive model does not survive.
        json_schema = _without_extras(schema.model_json_schema())
    elif isinstance(schema, dict):
        json_schema = convert_to_json_schema(schema)
    else:
        json_schema = _without_extras(convert_to_json_schema(schema))
    name = json_schema.get("title", "answer")
    return {"type": "json_schema", "json_schema": {"name": name, "schema": json_schema}}


def _without_extras(schema: Any) -> Any:
    """Let objects have no properties but those of their class, unless it says so: a weak model goes on inventing some.

    What it invented would be dropped anyway when the answer becomes an instance.
    """
    if not isinstance(schema, dict):
        return schema
    closed = dict(schema)
    for name in ("properties", "$defs", "definitions"):
        if isinstance(parts := schema.get(name), dict):
            closed[name] = {key: _without_extras(part) for key, part in parts.items()}
    for name in ("items", "additionalProperties"):
        if name in schema:
            closed[name] = _without_extras(schema[name])
    for name in ("anyOf", "oneOf", "prefixItems"):
        if isinstance(parts := schema.get(name), list):
            closed[name] = [_without_extras(part) for part in parts]
    if "properties" in schema:
        closed.setdefault("additionalProperties", False)
    return closed


def to_constraint(response_format: dict[str, Any]) -> JsonObject | JsonSchema | None:
    """Turn a response format of OpenAI's form into what the engine enforces.

    Raises:
        InvalidRequestError: its type is none of ``json_schema``, ``json_object`` and ``text``.
    """
    kind = response_format.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return JsonObject()
    if kind == "json_schema":
        return JsonSchema(response_format["json_schema"]["schema"])
    raise InvalidRequestError(
        f"response_format must be of type json_schema, json_object or text, got {response_format!r}"
    )
