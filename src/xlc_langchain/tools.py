"""Converts tools and the schemas of structured answers from LangChain's forms into the engine's."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

from langchain_core.tools import BaseTool, create_schema_from_function
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_pydantic_v1_subclass
from pydantic import BaseModel, PydanticUserError, TypeAdapter
from typing_extensions import is_typeddict

from xlc_core import Constraint, InvalidRequestError, JsonSchema, Tool
from xlc_core.frameworks import close_schema, read_response_format, require_all

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "convertible",
    "is_type",
    "response_constraint",
    "schema_constraint",
    "to_engine_tools",
    "to_openai_tool",
    "to_openai_tools",
]

_OPENAI_KEYS = {"name", "function"}
"""Keys that OpenAI's description of a function has and a JSON schema does not."""


def to_openai_tool(tool: Any, *, strict: bool | None = None) -> dict[str, Any]:
    """Return a tool in OpenAI's form, which is what ``bind_tools`` binds.

    Args:
        tool: a function, a tool, a type, or a dictionary; one that has the form already is returned as it is.
        strict: True makes every argument required and allows no others.
    """
    if isinstance(tool, dict) and isinstance(tool.get("function"), dict) and strict is None:
        return tool
    typed = _typed_tool(tool)
    return convert_to_openai_tool(tool, strict=strict) if typed is None else _in_openai_form(typed, strict)


def to_openai_tools(
    tools: Iterable[Any], *, strict: bool | None = None
) -> tuple[list[dict[str, Any]], dict[str, Callable[[str], Any]]]:
    """Return tools in OpenAI's form, and the functions that read the arguments of those made of types, by name."""
    made = []
    readers: dict[str, Callable[[str], Any]] = {}
    for tool in tools:
        typed = None if isinstance(tool, dict) else _typed_tool(tool)
        if typed is None:
            made.append(to_openai_tool(tool, strict=strict))
        else:
            made.append(_in_openai_form(typed, strict))
            readers[typed.name] = typed.parse
    return made, readers


def _in_openai_form(tool: Tool, strict: bool | None) -> dict[str, Any]:
    parameters = require_all(tool.parameters) if strict else tool.parameters
    function = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return {"type": "function", "function": function if strict is None else {**function, "strict": strict}}


def _typed_tool(tool: Any) -> Tool | None:
    """Return the tool of a type or function, with a schema that its type takes; None for what only LangChain reads."""
    if isinstance(tool, Tool):
        return tool
    arguments: Any
    if isinstance(tool, BaseTool):
        arguments, name, description = tool.tool_call_schema, tool.name, tool.description
    elif inspect.isfunction(tool) or inspect.ismethod(tool):
        name = tool.__name__
        arguments = create_schema_from_function(
            name, tool, filter_args=(), parse_docstring=True, include_injected=False
        )
        description = inspect.cleandoc(arguments.__doc__ or "")
    else:
        return Tool.of(tool) if is_type(tool) else None
    return Tool.of(arguments, name=name, description=description) if _is_model(arguments) else None


def to_engine_tools(tools: Iterable[Any], readers: Mapping[str, Callable[[str], Any]] | None = None) -> list[Tool]:
    """Convert tools, in OpenAI's form or any other that ``bind_tools`` takes.

    Args:
        tools: the tools.
        readers: functions that read the arguments of calls, by the tools' names.

    Raises:
        InvalidRequestError: a tool is one that only a provider's servers run, such as a web search.
    """
    made = [_engine_tool(tool) for tool in tools]
    known = readers or {}
    return [tool.read_by(known[tool.name]) if tool.name in known else tool for tool in made]


def _engine_tool(tool: Any) -> Tool:
    if not isinstance(tool, dict) and (typed := _typed_tool(tool)) is not None:
        return typed
    described = to_openai_tool(tool)
    function = described.get("function")
    if function is None:
        raise InvalidRequestError(f"a tool must be a function that your program runs, got {described!r}")
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

    The constraint keeps the type, whose instances are validated anyway, so fewer schemas have to be refused.

    Args:
        schema: a type, or a JSON schema, bare or in OpenAI's form.
        strict: True makes every property required and allows no others; the answer matches the schema either way.
    """
    if isinstance(schema, dict) and schema.get("type") in {"json_schema", "json_object", "text"}:
        return read_response_format(schema)
    # LangChain's own conversion replaces references, which a recursive model does not survive.
    if is_type(schema):
        return JsonSchema(schema, strict=bool(strict))
    if isinstance(schema, dict) and not strict:
        return JsonSchema(convert_to_json_schema(schema) if schema.keys() & _OPENAI_KEYS else schema)
    converted = close_schema(convert_to_json_schema(schema, strict=strict))
    return JsonSchema(converted) if isinstance(schema, dict) else JsonSchema.checked_elsewhere(converted)


def is_type(schema: Any) -> bool:
    """Return whether a schema is a type that pydantic reads, and not a form that only LangChain's conversions read."""
    if schema is None or isinstance(schema, (str, Mapping, BaseTool, BaseModel)) or inspect.isroutine(schema):
        return False
    if isinstance(schema, type) and is_pydantic_v1_subclass(schema):
        return False
    if is_typeddict(schema) and _is_langchain_s(schema, set()):
        return False
    return isinstance(schema, TypeAdapter) or _is_known(schema)


def _is_known(schema: Any) -> bool:
    try:
        TypeAdapter(schema)
    except (PydanticUserError, TypeError, ValueError):
        return False
    return True


def _is_model(schema: Any) -> bool:
    return isinstance(schema, type) and issubclass(schema, BaseModel)


def convertible(schema: Any) -> Any:
    """Return a schema or tool in a form that LangChain's conversions take: nearly always as it is."""
    return JsonSchema(schema).schema if is_type(schema) and not _is_model(schema) else schema


def _is_langchain_s(annotation: Any, seen: set[Any]) -> bool:
    """Return whether an annotation within a type has LangChain's form, ``Annotated[type, default, "description"]``."""
    if is_typeddict(annotation):
        if annotation in seen:
            return False
        seen.add(annotation)
        return any(_is_langchain_s(part, seen) for part in get_type_hints(annotation, include_extras=True).values())
    parts = get_args(annotation)
    if get_origin(annotation) is Annotated:
        default, *rest = parts[1:]
        return bool(default is ... or (rest and isinstance(rest[0], str))) or _is_langchain_s(parts[0], seen)
    return any(_is_langchain_s(part, seen) for part in parts)
