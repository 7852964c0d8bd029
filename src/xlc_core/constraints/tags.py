"""Tags of unions: properties that say which member of a union a value is."""

from __future__ import annotations

from typing import Any

__all__ = ["require_tags"]

_DATA_KEYWORDS = frozenset({"const", "default", "enum", "examples"})  # they hold values, not schemas


def require_tags(schema: dict[str, Any]) -> None:
    """Require the tags in a type's schema, in place: also those with a default, without which a member is not known.

    A tag is the property that a discriminator names, and any property that has only one value, which is its default.
    """
    _require_constants(schema)
    for part in _objects_in(schema):
        named = part.get("discriminator")
        if isinstance(named, dict) and isinstance(named.get("propertyName"), str):
            seen: set[str] = set()
            for branch in _members(part):
                _require(branch, named["propertyName"], schema, seen)


def _objects_in(value: Any) -> list[dict[str, Any]]:
    found = []
    left = [value]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            found.append(part)
            left += [inner for name, inner in part.items() if name not in _DATA_KEYWORDS]
        elif isinstance(part, list):
            left += part
    return found


def _require_constants(schema: dict[str, Any]) -> None:
    for part in _objects_in(schema):
        properties = part.get("properties")
        if not isinstance(properties, dict):
            continue
        for name, value in properties.items():
            if isinstance(value, dict) and "const" in value and value.get("default", ...) == value["const"]:
                _add_required(part, name)


def _members(schema: dict[str, Any]) -> list[Any]:
    return [part for name in ("oneOf", "anyOf", "allOf") if isinstance(schema.get(name), list) for part in schema[name]]


def _require(branch: Any, name: str, document: dict[str, Any], seen: set[str]) -> None:
    if not isinstance(branch, dict):
        return
    reference = branch.get("$ref")
    if isinstance(reference, str):
        if reference not in seen:
            seen.add(reference)
            _require(_target(reference, document), name, document, seen)
        return
    properties = branch.get("properties")
    if isinstance(properties, dict) and name in properties:
        _add_required(branch, name)
    for part in _members(branch):
        _require(part, name, document, seen)


def _add_required(schema: dict[str, Any], name: str) -> None:
    required = schema.get("required", [])
    if isinstance(required, list) and name not in required:
        names = [*required, name]
        schema["required"] = [known for known in schema["properties"] if known in names] + [
            other for other in names if other not in schema["properties"]
        ]


def _target(reference: str, document: dict[str, Any]) -> Any:
    found: Any = document
    for step in reference.removeprefix("#/").split("/"):
        if not isinstance(found, dict):
            return None
        found = found.get(step.replace("~1", "/").replace("~0", "~"))
    return found
