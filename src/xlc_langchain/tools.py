"""Tools, tool choice and response formats, from LangChain's forms into the engine's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from pydantic import BaseModel

from xlc_core import InvalidRequestError, JsonObject, JsonSchema, Tool

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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


def to_tool_choice(choice: str | bool | dict[str, Any] | None, names: Sequence[str]) -> str | None:
    """Bring a tool choice into the engine's form.

    Args:
        choice: ``"auto"``, ``"none"``, ``"any"``, ``"required"`` or True for some call, a tool's
            name, or a dictionary of OpenAI's or Anthropic's that holds one of these. None and False
            leave it to the model.
        names: the tools that there are.

    Returns:
        ``"auto"``, ``"none"``, ``"required"``, a tool's name, or None where nothing was chosen.

    Raises:
        InvalidRequestError: the tool that was chosen is not among the tools.
    """
    if isinstance(choice, dict):
        choice = choice.get("function", choice).get("name") or choice.get("type")
    if choice is None or choice is False:
        return None
    if choice is True or choice in {"any", "required"}:
        return "required"
    if choice not in {"auto", "none", *names}:
        raise InvalidRequestError(
            f"tool_choice must be auto, none, any, required or one of the tools {list(names)}, got {choice!r}"
        )
    return choice


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
        json_schema = schema.model_json_schema()
    else:
        json_schema = convert_to_json_schema(schema)
    name = json_schema.get("title", "answer")
    return {"type": "json_schema", "json_schema": {"name": name, "schema": json_schema}}


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
