"""Tools made of functions and types: their name, description and parameters, and the reading of a call's arguments."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter
from typing_extensions import NotRequired, TypedDict, is_typeddict

from xlc_core.constraints.reading import adapter_of, schema_of
from xlc_core.errors import InvalidRequestError
from xlc_core.nesting import from_json
from xlc_core.texts import to_json

__all__ = ["ToolSource", "describe_source", "name_of"]

ToolSource = Callable[..., Any]
"""A function, or a type whose instance a call makes."""

_VALUE = "value"
"""The only argument of a tool whose type is not an object."""


def describe_source(source: Any) -> tuple[str, str, dict[str, Any], Callable[[str], Any]]:
    """Return a tool's name, description and parameters, and the function that reads a call's arguments.

    Args:
        source: a function with annotations, whose arguments are read as a dict for it; or a type, such as a pydantic
            model, whose instance is read. A type that is not an object is the argument "value" of its tool.

    Raises:
        InvalidRequestError: an argument has no name.
        ConstraintError: an argument's type does not have a JSON schema.
    """
    if callable(source) and not isinstance(source, type) and not typing.get_origin(source):
        adapter: TypeAdapter[Any] = TypeAdapter(_arguments_type(source))
        schema = schema_of(adapter)
        _describe_arguments(schema, source)
        schema.pop("title", None)
        return name_of(source), _summary(source), schema, adapter.validate_json
    adapter = adapter_of(source)
    schema = _with_root(schema_of(adapter))
    name = name_of(source, schema.pop("title", None))
    description = schema.pop("description", "")
    if is_typeddict(source):
        _describe_arguments(schema, source)
        description = _summary(source)
    if schema.get("type") == "object":
        return name, description, schema, adapter.validate_json
    return name, description, _wrapped(schema), lambda text: adapter.validate_json(_value_in(text))


def name_of(source: Any, title: Any = None) -> str:
    """Return a name that tools may have, made of a function's or type's own."""
    own = title if typing.get_origin(source) else getattr(source, "__name__", title)
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", own or "answer").strip("_")
    return name[:64] or "answer"


def _arguments_type(function: ToolSource) -> Any:
    """Return the TypedDict of a function's arguments."""
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except Exception:  # names that are not known here: annotations of other modules, forward references
        hints = {}
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.kind == parameter.POSITIONAL_ONLY:
            raise InvalidRequestError(f"the tool {name_of(function)!r} has the argument {name!r}, which has no name")
        kind = hints.get(name, Any if parameter.annotation is parameter.empty else parameter.annotation)
        fields[name] = kind if parameter.default is parameter.empty else NotRequired[kind]
    make: Any = TypedDict
    return make("Arguments", fields)


def _summary(function: ToolSource) -> str:
    """Return a function's docstring without the sections of Google's style."""
    text = inspect.getdoc(function) or ""
    return re.split(r"\n\s*\n(?=(?:Args|Arguments|Returns|Raises|Yields|Examples?):\s*\n)", text)[0].strip()


def _describe_arguments(schema: dict[str, Any], function: ToolSource) -> None:
    """Add the descriptions of a docstring's section ``Args:`` to the properties without one."""
    section = re.search(
        r"^(?:Args|Arguments):\s*\n((?:[ \t]+.*\n?|\s*\n)+)", inspect.getdoc(function) or "", re.MULTILINE
    )
    if section is None:
        return
    lines = inspect.cleandoc("\n" + section[1]).splitlines()
    texts: dict[str, str] = {}
    name = ""
    for line in lines:
        if start := re.match(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)", line):
            name = start[1]
            texts[name] = start[2]
        elif name and line.strip():
            texts[name] += " " + line.strip()
    for name, value in schema.get("properties", {}).items():
        if isinstance(value, dict) and texts.get(name):
            value.setdefault("description", texts[name].strip())


def _with_root(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema whose own keywords say what it is, instead of a reference to one of its definitions."""
    reference = schema.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#/$defs/"):
        return schema
    target = schema["$defs"][reference.removeprefix("#/$defs/")]
    return {**target, **{name: value for name, value in schema.items() if name != "$ref"}}


def _wrapped(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object with the value as its only property."""
    definitions = {"$defs": schema.pop("$defs")} if "$defs" in schema else {}
    wrapped = {"type": "object", "properties": {_VALUE: schema}, "required": [_VALUE], "additionalProperties": False}
    return wrapped | definitions


def _value_in(text: str) -> str:
    arguments = from_json(text)
    if not isinstance(arguments, dict) or _VALUE not in arguments:
        raise ValueError(f"the arguments must be an object with {_VALUE!r}")
    return to_json(arguments[_VALUE], "the argument")
