"""The arguments of tools as constraints: what a grammar of calls needs to know of a tool's parameters.

Most chat templates write the arguments of a call as one JSON object. Others write each argument by itself, with texts
between tags, or as in Python. So a tool's schema is prepared for both.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from xlc_core.constraints import lark_text, schema_rewriting
from xlc_core.constraints.checking import check_once
from xlc_core.constraints.reading import check_depth, check_source
from xlc_core.constraints.schema_formats import ENFORCED
from xlc_core.constraints.schema_grammar import schema_rule
from xlc_core.constraints.text_patterns import NotTextError, kinds_of, searched, text_term
from xlc_core.errors import ConstraintError

__all__ = ["Argument", "ToolArguments", "tool_arguments"]

# fmt: off
_TOGETHER = (  # keywords of an object that say more than which values each property may have
    "allOf", "anyOf", "oneOf", "not", "if", "$ref", "$dynamicRef", "$recursiveRef", "const", "enum", "dependencies",
    "dependentRequired", "dependentSchemas", "minProperties", "maxProperties", "patternProperties", "propertyNames",
)
_COMBINING = frozenset({  # keywords beside which a closed object may mean something else
    "$dynamicRef", "$recursiveRef", "allOf", "dependencies", "dependentRequired", "dependentSchemas", "else", "if",
    "not", "oneOf", "patternProperties", "then", "unevaluatedProperties",
})
# fmt: on
_DATA_KEYWORDS = frozenset({"const", "default", "enum", "examples", "example"})
_MAPS = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_NOTES = ("$comment", "default", "description", "examples", "title")
_MAX_STEPS = 16  # references to references
_WHOLE = "xlc_whole"  # the name of the whole schema among the definitions of an argument's


@dataclass(frozen=True)
class Argument:
    """One argument of a tool, for templates that write each by itself.

    Attributes:
        name: its name.
        required: whether a call must have it.
        json: the rule for its value as JSON.
        text: a term of regular expressions for its value as plain text; None for a value that is written as JSON.
    """

    name: str
    required: bool
    json: str
    text: str | None


@dataclass(frozen=True)
class ToolArguments:
    """The facts of a tool that a grammar of calls needs.

    Attributes:
        name: the tool's name.
        schema: JSON text of the schema that is enforced.
        json: the rule for all arguments as one JSON object.
        arguments: the arguments one by one.
        together: a keyword that applies to all arguments together, which only ``json`` enforces; empty without.
    """

    name: str
    schema: str
    json: str
    arguments: tuple[Argument, ...]
    together: str

    @functools.cached_property
    def simple_schema(self) -> str:
        """The schema for llama.cpp's parser of calls, as JSON text: which arguments there are, and which are texts."""
        kinds = {one.name: {"type": "object" if one.text is None else "string"} for one in self.arguments}
        required = [one.name for one in self.arguments if one.required]
        return json.dumps({"type": "object", "properties": kinds, "required": required}, ensure_ascii=False)

    def one_by_one(self) -> tuple[Argument, ...]:
        """Return the arguments for a template that writes each by itself.

        Raises:
            ConstraintError: a keyword applies to all of them together.
        """
        if self.together:
            raise ConstraintError(
                f"the parameters of the tool {self.name!r} are refused: the keyword at /{self.together} applies to all "
                "arguments together, and this model's calls write each argument by itself; move it into a property"
            )
        return self.arguments


@functools.lru_cache(maxsize=512)
def tool_arguments(name: str, parameters: str, *, is_type: bool = False) -> ToolArguments:
    """Prepare a tool's parameters. The last 512 are remembered.

    Args:
        name: the tool's name, for errors.
        parameters: JSON text of the schema of its arguments.
        is_type: whether a type checks the arguments too; then oneOf may be treated as anyOf, and keywords that no
            grammar can express may be ignored.

    Raises:
        ConstraintError: the schema is malformed, cannot be enforced, or allows no arguments.
        UnsupportedFeatureError: the package llguidance is not installed.
    """
    try:
        check_source(parameters, "JSON schema")
        check_depth(lark_text.depth(parameters), "JSON schema")
        read = json.loads(parameters)
        schema = _enforced(read)
        text = json.dumps(schema, ensure_ascii=False)
        rule = schema_rule(text, is_type=is_type)
        try:
            check_once("lark", lark_text.with_rules(f"start: {rule}"))
        except ConstraintError as error:
            raise ConstraintError(schema_rewriting.with_places(str(error), read)) from None
        arguments, together = _arguments(schema, is_type)
    except ConstraintError as error:
        reason = str(error).removeprefix("the constraint is refused: ")
        raise ConstraintError(f"the parameters of the tool {name!r} are refused: {reason}") from None
    return ToolArguments(name, text, rule, arguments, together)


def _enforced(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object. Formats that are hints are dropped, objects get no properties beyond their own.

    A weak model would go on inventing properties, and functions do not take them.
    """
    schema = schema or {"properties": {}}
    closes = not _uses(schema, _COMBINING)
    result = _adapted(schema, closes=closes)
    if not closes and not schema.keys() & (_COMBINING | {"$ref", "anyOf"}) and "properties" in schema:
        result.setdefault("additionalProperties", False)
    return {**result, "type": "object"} if "type" not in schema else result


def _uses(schema: Any, keywords: frozenset[str]) -> bool:
    if isinstance(schema, list):
        return any(_uses(part, keywords) for part in schema)
    if not isinstance(schema, dict):
        return False
    if keywords & schema.keys() or ("$ref" in schema and "properties" in schema):
        return True
    for name, value in schema.items():
        parts = value.values() if name in _MAPS and isinstance(value, dict) else [value]
        if name not in _DATA_KEYWORDS and any(_uses(part, keywords) for part in parts):
            return True
    return False


def _adapted(schema: Any, *, closes: bool) -> Any:
    if isinstance(schema, list):
        return [_adapted(part, closes=closes) for part in schema]
    if not isinstance(schema, dict):
        return schema
    result = {}
    for name, value in schema.items():
        if name in _DATA_KEYWORDS:
            result[name] = value
        elif name in _MAPS and isinstance(value, dict):
            result[name] = {key: _adapted(part, closes=closes) for key, part in value.items()}
        else:
            result[name] = _adapted(value, closes=closes)
    if isinstance(hint := result.get("format"), str) and hint not in ENFORCED:
        del result["format"]
    if closes and isinstance(result.get("properties"), dict) and not _needs_more(result):
        result.setdefault("additionalProperties", False)
    return result


def _needs_more(schema: dict[str, Any]) -> bool:
    """Whether an object must have more properties than it lists."""
    required = schema.get("required", [])
    least = schema.get("minProperties", 0)
    listed = schema["properties"]
    if not isinstance(required, list) or not isinstance(least, int):
        return True
    return least > len(listed) or any(name not in listed for name in required)


def _arguments(schema: dict[str, Any], is_type: bool) -> tuple[tuple[Argument, ...], str]:
    schema = _flattened(schema)
    properties = schema.get("properties", {})
    if together := _together(schema):
        return (), together
    required = schema.get("required", [])
    more = schema.get("additionalProperties", True)
    parts = {**properties, **{name: more for name in required if name not in properties}}
    found = []
    for name, part in parts.items():
        if part is False:
            continue
        standalone = _standalone(part, f"/properties/{_escaped(name)}", schema)
        argument = _argument(name, name in required, standalone, is_type)
        if argument.required or _is_possible(argument):
            found.append(argument)
    return tuple(found), ""


def _is_possible(argument: Argument) -> bool:
    """Whether an argument has any value; otherwise a call does not have it."""
    return _is_satisfiable(f"start: {argument.json}")


def _is_satisfiable(grammar: str) -> bool:
    try:
        check_once("lark", lark_text.with_rules(grammar))
    except ConstraintError:
        return False
    return True


def _together(schema: dict[str, Any]) -> str:
    """Return a keyword that applies to all arguments together; empty without."""
    properties = schema.get("properties", {})
    patterns = schema.get("patternProperties", {})
    harmless = {
        "minProperties": schema.get("minProperties", 0) <= len(schema.get("required", [])),
        "maxProperties": schema.get("maxProperties", 0) >= len(properties),
        # Without listed properties, these are the arguments.
        "patternProperties": bool(properties) and not any(_may_match(pattern, properties) for pattern in patterns),
    }
    return next((name for name in _TOGETHER if name in schema and not harmless.get(name, False)), "")


def _may_match(pattern: str, names: Iterable[str]) -> bool:
    """Whether a pattern may be found in one of the names; by llguidance, whose time does not depend on the pattern."""
    among = "|".join(map(lark_text.regex_literal, names))
    try:
        found = lark_text.regex(searched(pattern))
    except NotTextError:
        return True
    is_known = _is_satisfiable(f"start: {found}")
    return not is_known or _is_satisfiable(f"start: XLC_NAME\nXLC_NAME: ({found}) & /{among}/")


def _flattened(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema with what it refers to, and the objects that it adds up, written into it."""
    resolve = resolver(schema)
    for _ in range(_MAX_STEPS):
        if isinstance(schema.get("$ref"), str):
            parts = [resolve(schema["$ref"])]
        elif isinstance(schema.get("allOf"), list):
            parts = schema["allOf"]
        else:
            break
        rest = {name: value for name, value in schema.items() if name not in ("$ref", "allOf")}
        if "allOf" in schema and "$ref" in schema:
            break
        added = _sum_of([rest, *parts])
        if added is None:
            break
        schema = added
    return schema


def _sum_of(parts: list[Any]) -> dict[str, Any] | None:
    properties: dict[str, Any] = {}
    required: list[str] = []
    result: dict[str, Any] = {}
    for part in parts:
        if not isinstance(part, dict) or properties.keys() & part.get("properties", {}).keys():
            return None
        if len(parts) > 2 and "additionalProperties" in part:
            return None
        others = {name: value for name, value in part.items() if name not in ("properties", "required", *_NOTES)}
        if any(name in result and result[name] != value for name, value in others.items()):
            return None
        properties.update(part.get("properties", {}))
        required += [name for name in part.get("required", []) if name not in required]
        result.update(others)
    return {**result, "properties": properties, "required": required}


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _standalone(part: Any, pointer: str, document: dict[str, Any]) -> Any:
    """Return a schema with the definitions that it needs."""
    references = list(_references(part))
    if not references or not isinstance(part, dict):
        return part
    definitions = {name: document[name] for name in ("$defs", "definitions") if name in document}
    inside = list(_references(definitions))
    if all(one.startswith(("#/$defs/", "#/definitions/")) for one in (*references, *inside)):
        return {**part, **definitions}
    return {"$ref": f"#/$defs/{_WHOLE}{pointer}", "$defs": {_WHOLE: _moved(document)}}


def _references(schema: Any) -> Any:
    if isinstance(schema, list):
        for part in schema:
            yield from _references(part)
    elif isinstance(schema, dict):
        for name, value in schema.items():
            if name == "$ref" and isinstance(value, str):
                yield value
            elif name not in _DATA_KEYWORDS:
                yield from _references(value)


def _moved(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_moved(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: f"#/$defs/{_WHOLE}{value[1:]}" if name == "$ref" and isinstance(value, str) and value.startswith("#")
        else value if name in _DATA_KEYWORDS else _moved(value)
        for name, value in schema.items()
    }  # fmt: skip


def _argument(name: str, required: bool, schema: Any, is_type: bool) -> Argument:
    resolve = resolver(schema)
    kinds = kinds_of(schema, resolve)
    text = None
    if "string" in kinds and kinds != _ANY_KIND:
        try:
            rewritten = schema_rewriting.rewritten(schema, is_type=is_type, narrow=True)
            text = text_term(rewritten, resolver(rewritten))
        except NotTextError:
            text = None
    if text is not None and kinds != {"string"}:  # written as text, it can only be a string
        definitions = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
        schema = {**definitions, "allOf": [{key: schema[key] for key in schema if key not in definitions}, _STRING]}
    whole = {"allOf": [schema]} if not isinstance(schema, dict) else schema
    rule = schema_rule(json.dumps(whole, ensure_ascii=False), is_type=is_type)
    return Argument(name, required, rule, text)


_STRING = {"type": "string"}
_ANY_KIND = kinds_of({}, lambda _: True)


def resolver(document: Any) -> Any:
    """Return a function that finds the schema that a reference names; True for one that it does not find."""

    def resolve(reference: str) -> Any:
        found: Any = document
        if not reference.startswith("#"):
            return True
        for step in unquote(reference[1:]).split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and key in found:
                found = found[key]
            elif isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            else:
                return True
        return found

    return resolve
