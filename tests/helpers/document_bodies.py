"""Hypothesis' values for the JSON schemas of our own OpenAPI document: right ones, and now and then a wrong one."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

__all__ = ["bodies"]

_ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 300)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
_MOST = 1 << 20


def bodies(schema: dict[str, Any], parts: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return values for a schema, some of which have a wrong field.

    Args:
        schema: the schema.
        parts: the schemas that it may refer to, by name.
    """
    right = _values(schema, parts)
    names = sorted(_resolved(schema, parts).get("properties", {})) or ["model"]

    def broken(body: Any, name: str, value: Any) -> Any:
        return {**body, name: value} if isinstance(body, dict) else value

    return right | st.builds(broken, right, st.sampled_from([*names, "unknown"]), _ANYTHING)


def _resolved(schema: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = parts[schema["$ref"].rpartition("/")[2]]
    return schema


def _values(schema: dict[str, Any], parts: dict[str, Any]) -> st.SearchStrategy[Any]:
    schema = _resolved(schema, parts)
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of(*(_values(part, parts) for part in schema["anyOf"]))
    low, high = schema.get("minimum", -_MOST), schema.get("maximum", _MOST)
    strategies: dict[str, Any] = {
        "null": lambda: st.none(),
        "boolean": st.booleans,
        "integer": lambda: st.integers(low, high),
        "number": lambda: (
            st.integers(int(low), int(high)) | st.floats(low, high, allow_nan=False, allow_infinity=False)
        ),
        "string": lambda: st.text(min_size=schema.get("minLength", 0), max_size=schema.get("minLength", 0) + 8),
        "array": lambda: st.lists(
            _values(schema.get("items", {}), parts),
            min_size=schema.get("minItems", 0),
            max_size=schema.get("minItems", 0) + 2,
        ),
        "object": lambda: _objects(schema, parts),
    }
    kind = schema.get("type")
    return strategies[kind]() if kind in strategies else _ANYTHING


def _objects(schema: dict[str, Any], parts: dict[str, Any]) -> st.SearchStrategy[Any]:
    fields = schema.get("properties", {})
    if not fields:
        inner = schema.get("additionalProperties", True)
        values = _values(inner, parts) if isinstance(inner, dict) else _ANYTHING
        return st.dictionaries(st.text(max_size=5), values, max_size=2)
    required = schema.get("required", [])
    needed = {name: _values(fields[name], parts) for name in required}
    others = {name: _values(field, parts) for name, field in fields.items() if name not in required}

    def some(chosen: list[str]) -> st.SearchStrategy[Any]:  # a body of all fields would always have a wrong one
        return st.fixed_dictionaries({**needed, **{name: others[name] for name in chosen}})

    return st.lists(st.sampled_from(sorted(others)), max_size=3, unique=True).flatmap(some) if others else some([])
