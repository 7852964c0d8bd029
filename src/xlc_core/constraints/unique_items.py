"""Arrays whose items differ, as lists of all such arrays: a grammar cannot compare one item with another."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from typing import Any

__all__ = ["distinct_arrays", "listed_values"]

_MOST_ARRAYS = 400
_MOST_INTEGERS = 12
_INTEGER_RULES = frozenset({"multipleOf", "not", "anyOf", "oneOf", "allOf", "if"})
_MOST_STEPS = 100  # schemas that are looked at


def distinct_arrays(schema: dict[str, Any], resolve: Callable[[str], Any]) -> list[list[Any]] | None:
    """Return all arrays that a schema with ``uniqueItems`` allows; None if they are too many or not known.

    Args:
        schema: a schema of arrays.
        resolve: returns the schema that a $ref names.
    """
    if schema.get("type") != "array" or {"prefixItems", "contains", "enum", "const"} & schema.keys():
        return None
    values = listed_values(schema.get("items"), resolve)
    if values is None:
        return None
    least, most = schema.get("minItems", 0), schema.get("maxItems", len(values))
    if not _is_count(least) or not _is_count(most):
        return None
    if len(values) > _MOST_ARRAYS:
        return None
    n_arrays = 0
    sizes = range(least, min(most, len(values)) + 1)
    for size in sizes:
        n_arrays += math.perm(len(values), size)
        if n_arrays > _MOST_ARRAYS:
            return None
    return [list(chosen) for size in sizes for chosen in itertools.permutations(values, size)]


def listed_values(schema: Any, resolve: Callable[[str], Any]) -> list[Any] | None:
    """Return all values that a schema allows; None if they are not listed."""
    found = _Listing(resolve).values_of(schema)
    return None if found is None else list({json.dumps(value, sort_keys=True): value for value in found}.values())


class _Listing:
    """Lists the values of a schema, within a limit of steps: references may lead in circles, or to the same often."""

    def __init__(self, resolve: Callable[[str], Any]) -> None:
        self._resolve = resolve
        self._n_left = _MOST_STEPS

    def values_of(self, schema: Any) -> list[Any] | None:
        self._n_left -= 1
        if self._n_left < 0 or not isinstance(schema, dict):
            return None
        if isinstance(schema.get("$ref"), str):
            return self.values_of(self._resolve(schema["$ref"]))
        if "const" in schema:
            return [schema["const"]]
        if isinstance(schema.get("enum"), list):
            return list(schema["enum"])
        if isinstance(schema.get("anyOf"), list):
            found: list[Any] = []
            for part in schema["anyOf"]:
                values = self.values_of(part)
                if values is None:
                    return None
                found += values
            return found
        kind = schema.get("type")
        if kind == "integer" and not _INTEGER_RULES & schema.keys():
            return _integers_of(schema)
        return [True, False] if kind == "boolean" else [None] if kind == "null" else None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _integers_of(schema: dict[str, Any]) -> list[Any] | None:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None and isinstance(schema.get("exclusiveMinimum"), int):
        low = schema["exclusiveMinimum"] + 1
    if high is None and isinstance(schema.get("exclusiveMaximum"), int):
        high = schema["exclusiveMaximum"] - 1
    if not isinstance(low, int) or not isinstance(high, int) or high - low >= _MOST_INTEGERS:
        return None
    return list(range(low, high + 1))
