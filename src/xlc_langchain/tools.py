"""Converts tools and the schemas of structured answers from LangChain's forms into the engine's."""

from __future__ import annotations

import contextlib
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from pydantic import BaseModel
from typing_extensions import is_typeddict

from xlc_core import Constraint, InvalidRequestError, JsonSchema, Tool
from xlc_core.frameworks import close_schema, read_response_format

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["convertible", "response_constraint", "schema_constraint", "to_engine_tools", "to_openai_tool"]

_OPENAI_KEYS = {"name", "function"}
"""Keys that OpenAI's description of a function has and a JSON schema does not."""


def to_openai_tool(tool: Any, *, strict: bool | None = None) -> dict[str, Any]:
    """Return a tool in OpenAI's form, which is what ``bind_tools`` binds.

    Args:
        tool: a function, a tool, a class, or a dictionary; one that has the form already is returned as it is.
        strict: True makes every argument required and allows no others.
    """
    if isinstance(tool, dict) and isinstance(tool.get("function"), dict) and strict is None:
        return tool
    return convert_to_openai_tool(convertible(tool), strict=strict)


def to_engine_tools(tools: Iterable[Any]) -> list[Tool]:
    """Convert tools, in OpenAI's form or any other that ``bind_tools`` takes.

    Raises:
        InvalidRequestError: a tool is one that only a provider's servers run, such as a web search.
    """
    return [_engine_tool(to_openai_tool(tool)) for tool in tools]


def _engine_tool(tool: dict[str, Any]) -> Tool:
    function = tool.get("function")
    if function is None:
        raise InvalidRequestError(f"a tool must be a function that your program runs, got {tool!r}")
    return Tool(
        name=function["name"],
        description=function.get("description", ""),
        parameters=close_schema(function.get("parameters") or {"type": "object", "properties": {}}),
    )


def response_constraint(response_format: Any) -> Constraint | None:
    """Return the constraint that a call's ``response_format`` means; None for ``{"type": "text"}``.

    Args:
        response_format: OpenAI's form of one, or what ``with_structured_output`` takes.

    Raises:
        InvalidRequestError: it is of OpenAI's form and incomplete.
    """
    if isinstance(response_format, Constraint):
        return response_format
    if isinstance(response_format, dict) and "type" in response_format:
        return read_response_format(response_format)
    return schema_constraint(response_format)


def schema_constraint(schema: Any, *, strict: bool | None = None) -> Constraint | None:
    """Return the constraint for a structured answer.

    The constraint keeps the class, whose instances are validated anyway, so fewer schemas have to be refused.

    Args:
        schema: a pydantic class, a TypedDict, a dataclass, or a JSON schema, bare or in OpenAI's form.
        strict: True makes every property required and allows no others; the answer matches the schema either way.
    """
    if isinstance(schema, dict) and schema.get("type") in {"json_schema", "json_object", "text"}:
        return read_response_format(schema)
    if strict:
        return JsonSchema(close_schema(convert_to_json_schema(convertible(schema), strict=True)))
    if isinstance(schema, dict):
        return JsonSchema(convert_to_json_schema(schema) if schema.keys() & _OPENAI_KEYS else schema)
    # LangChain's own conversion replaces references, which a recursive model does not survive.
    if is_dataclass(schema) or (isinstance(schema, type) and issubclass(schema, BaseModel)) or _needs_pydantic(schema):
        return JsonSchema(schema)
    return JsonSchema(close_schema(convert_to_json_schema(schema)))


def convertible(schema: Any) -> Any:
    """Return a schema or tool in a form that LangChain's conversions take: nearly always as it is."""
    return JsonSchema(schema).schema if _needs_pydantic(schema) else schema


def _needs_pydantic(schema: Any) -> bool:
    """Return whether a schema is a TypedDict that LangChain's conversion misreads or refuses.

    That conversion knows ``Annotated[type, default, "description"]`` and descriptions in docstrings, and takes other
    annotations, such as those in pydantic's ``UUID4``, for defaults.
    """
    if not is_typeddict(schema):
        return False
    if not _annotated_for_langchain(schema, set()):
        return True
    with contextlib.suppress(Exception):  # it raises errors of many kinds, also those of pydantic 1
        convert_to_json_schema(schema)
        return False
    return True


def _annotated_for_langchain(annotation: Any, seen: set[Any]) -> bool:
    """Return whether all annotations within a type have LangChain's form."""
    if is_typeddict(annotation):
        if annotation in seen:
            return True
        seen.add(annotation)
        return all(
            _annotated_for_langchain(part, seen) for part in get_type_hints(annotation, include_extras=True).values()
        )
    parts = get_args(annotation)
    if get_origin(annotation) is Annotated:
        default, *rest = parts[1:]
        is_langchain_s = default is ... or (rest and isinstance(rest[0], str))
        return bool(is_langchain_s) and _annotated_for_langchain(parts[0], seen)
    return all(_annotated_for_langchain(part, seen) for part in parts)
