"""Logic of JSON schemas: the complement of a schema, and whether schemas exclude each other.

Neither function can decide every case: ``None`` and ``False`` mean "unknown".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ASSERTIONS", "complement", "exclusive"]

Schema = Any  # a dict, or True or False
Resolve = Callable[[str], Any]  # returns the target of a $ref in the document; None if it is missing

_TYPES = ("null", "boolean", "number", "string", "array", "object")
_MAX_DEPTH = 4  # levels of nested properties that are compared
_MAX_COMPARED = 300_000  # pairs of schemas that are compared for one oneOf: about a second
_MAX_CHAIN = 100  # schemas that are read within each other; each may be a $ref to the next

# Keywords of all drafts that decide which values are valid. Other keywords are notes or names.
# fmt: off
ASSERTIONS = frozenset({
    "type", "enum", "const", "multipleOf", "divisibleBy", "maximum", "exclusiveMaximum", "minimum",
    "exclusiveMinimum", "maxLength", "minLength", "pattern", "format", "items", "additionalItems",
    "prefixItems", "unevaluatedItems", "maxItems", "minItems", "uniqueItems", "contains", "maxContains",
    "minContains", "maxProperties", "minProperties", "required", "properties", "patternProperties",
    "additionalProperties", "unevaluatedProperties", "propertyNames", "dependencies", "dependentRequired",
    "dependentSchemas", "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "extends", "disallow", "$ref",
    "$dynamicRef", "$recursiveRef",
})
# fmt: on

# Keyword: the type that it applies to, the complement's keyword, and the step to the complement's bound.
_BOUNDS = {
    "minimum": ("number", "exclusiveMaximum", 0),
    "exclusiveMaximum": ("number", "minimum", 0),
    "maximum": ("number", "exclusiveMinimum", 0),
    "exclusiveMinimum": ("number", "maximum", 0),
    "minLength": ("string", "maxLength", -1),
    "maxLength": ("string", "minLength", 1),
    "minItems": ("array", "maxItems", -1),
    "maxItems": ("array", "minItems", 1),
}


def complement(schema: Schema) -> Schema | None:
    """Return a schema for exactly the values that a schema refuses; None if that cannot be expressed."""
    if isinstance(schema, bool):
        return not schema
    if not isinstance(schema, dict):
        return None
    keywords = ASSERTIONS & schema.keys()
    if "$ref" in keywords or {"if", "then", "else"} & keywords:
        return None
    branches = []
    for keyword in sorted(keywords):
        branch = _complement_of(keyword, schema[keyword])
        if branch is None:
            return None
        if branch is True:
            return True
        if branch is not False:
            branches.append(branch)
    return _any_of(branches)


def _any_of(branches: list[Schema]) -> Schema:
    return False if not branches else branches[0] if len(branches) == 1 else {"anyOf": branches}


def _complement_of(keyword: str, value: Any) -> Schema | None:
    if keyword in _BOUNDS:
        kind, opposite, step = _BOUNDS[keyword]
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None  # in draft 4 it may be true, and then changes the keyword beside it
        if kind != "number" and (value != int(value) or int(value) + step < 0):
            return False if value <= 0 else None
        return {"type": kind, opposite: value if kind == "number" else int(value) + step}
    if keyword == "type":
        return _without_types(value)
    if keyword in ("enum", "const"):
        return _without_values(value if keyword == "enum" else [value])
    if keyword == "required" and isinstance(value, list):
        return _any_of([{"type": "object", "properties": {name: False}} for name in value])
    if keyword == "properties" and isinstance(value, dict):
        parts = [(name, complement(part)) for name, part in value.items()]
        if any(part is None for _, part in parts):
            return None
        return _any_of(
            [
                {"type": "object", "properties": {name: part}, "required": [name]}
                for name, part in parts
                if part is not False
            ]
        )
    if keyword == "not":
        return value if isinstance(value, (bool, dict)) else None
    if keyword in ("allOf", "anyOf") and isinstance(value, list):
        parts_of = [complement(part) for part in value]
        if any(part is None for part in parts_of):
            return None
        if keyword == "anyOf":
            return {"allOf": parts_of}
        return True if True in parts_of else _any_of([part for part in parts_of if part is not False])
    takes_all = value is True or value == {} or (keyword == "uniqueItems" and value is False)
    if keyword in ("items", "additionalItems", "additionalProperties", "propertyNames", "uniqueItems") and takes_all:
        return False
    return None


def _without_types(value: Any) -> Schema | None:
    names = {value} if isinstance(value, str) else {name for name in value if isinstance(name, str)}
    if names - {*_TYPES, "integer"} or ("integer" in names and "number" not in names):
        return None  # "a number that is not an integer" cannot be expressed
    rest = [name for name in _TYPES if name not in names]
    return {"type": rest} if rest else False


def _without_values(values: Any) -> Schema | None:
    if not isinstance(values, list) or any(value is not None and not isinstance(value, bool) for value in values):
        return None
    booleans = {value for value in values if isinstance(value, bool)}
    kinds = [name for name in _TYPES if name != "boolean" and not (name == "null" and None in values)]
    others = [{"const": value} for value in (False, True) if value not in booleans]
    return {"anyOf": [{"type": kinds}, *others]}


@dataclass
class _Facts:
    """Facts that are read from a schema. All values of the schema satisfy each of them."""

    kinds: set[str] = field(default_factory=lambda: set(_TYPES))
    values: set[str] | None = None  # as JSON; None for any
    required: set[str] = field(default_factory=set)
    properties: dict[str, list[Schema]] = field(default_factory=dict)
    closed_to: set[str] | None = None  # the only names that properties may have; None for any

    def merge(self, other: _Facts) -> None:
        """Add facts that hold too."""
        self.kinds &= other.kinds
        if other.values is not None:
            self.values = other.values if self.values is None else self.values & other.values
        self.required |= other.required
        for name, parts in other.properties.items():
            self.properties.setdefault(name, []).extend(parts)
        if other.closed_to is not None:
            self.closed_to = other.closed_to if self.closed_to is None else self.closed_to & other.closed_to


def exclusive(branches: list[Schema], resolve: Resolve) -> bool:
    """Return whether no value satisfies two of the schemas, as far as types, values and properties show."""
    reader = _Reader(resolve)
    facts = [reader.read([branch]) for branch in branches]
    values = [fact.values for fact in facts if fact.values is not None]
    if len(values) == len(facts) and len(set().union(*values)) == sum(map(len, values)):
        return True
    return all(_disjoint(a, b, reader, 0) for i, a in enumerate(facts) for b in facts[:i])


def _disjoint(a: _Facts, b: _Facts, reader: _Reader, depth: int) -> bool:
    reader.n_left -= 1
    if reader.n_left < 0:
        return False
    common = a.kinds & b.kinds
    if not common or (a.values is not None and b.values is not None and not a.values & b.values):
        return True
    if common != {"object"} or depth > _MAX_DEPTH:
        return False
    for one, other in ((a, b), (b, a)):
        if other.closed_to is not None and one.required - other.closed_to:
            return True
    for name in a.required | b.required:
        sides = [
            reader.read(side.properties.get(name, []))
            for side in (a, b)
            if name in side.required or name in side.properties
        ]
        if len(sides) == 2 and _disjoint(sides[0], sides[1], reader, depth + 1):
            return True
    return False


class _Reader:
    """Reads facts from schemas. A recursive $ref yields no facts inside itself, which ends the recursion."""

    def __init__(self, resolve: Resolve) -> None:
        self.n_left = _MAX_COMPARED
        self._resolve = resolve
        self._by_reference: dict[str, _Facts] = {}
        self._by_schema: dict[int, _Facts] = {}  # the document holds the schemas, so their ids stay theirs
        self._n_within = 0

    def read(self, schemas: Iterable[Schema]) -> _Facts:
        """Return the facts that hold for values that satisfy all of the schemas."""
        facts = _Facts()
        for schema in schemas:
            facts.merge(self._of(schema))
        return facts

    def _of(self, schema: Schema) -> _Facts:
        if not isinstance(schema, dict) or self._n_within > _MAX_CHAIN:
            return _Facts(kinds=set()) if schema is False else _Facts()
        self._n_within += 1
        try:
            return self._of_object(schema)
        finally:
            self._n_within -= 1

    def _of_object(self, schema: dict[str, Any]) -> _Facts:
        reference = schema.get("$ref")
        if isinstance(reference, str):
            # Keywords beside a $ref count in some drafts only. Ignoring them yields fewer facts, which is safe.
            if reference not in self._by_reference:
                self._by_reference[reference] = _Facts()
                self._by_reference[reference] = self._of(self._resolve(reference))
            return self._by_reference[reference]
        if id(schema) not in self._by_schema:
            self._by_schema[id(schema)] = self._read(schema)
        return self._by_schema[id(schema)]

    def _read(self, schema: dict[str, Any]) -> _Facts:
        facts = _own_facts(schema)
        for part in _schemas(schema.get("allOf")):
            facts.merge(self._of(part))
        for keyword in ("anyOf", "oneOf"):
            if _schemas(schema.get(keyword)):
                parts = [self._of(part) for part in schema[keyword]]
                values = [part.values for part in parts if part.values is not None]
                union = set().union(*values) if len(values) == len(parts) else None
                facts.merge(_Facts(kinds=set().union(*(part.kinds for part in parts)), values=union))
        return facts


def _schemas(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _own_facts(schema: dict[str, Any]) -> _Facts:
    facts = _Facts()
    kinds = schema.get("type")
    if kinds is not None:
        names = {kinds} if isinstance(kinds, str) else set(map(str, kinds))
        facts.kinds = {"number" if name == "integer" else name for name in names}
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(values, list):
        facts.values = {json.dumps(_plain(value), sort_keys=True) for value in values}
        facts.kinds &= {_kind(value) for value in values}
    if isinstance(schema.get("required"), list):
        facts.required |= set(map(str, schema["required"]))
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        properties = {}
    facts.properties = {name: [part] for name, part in properties.items()}
    if schema.get("additionalProperties") is False and not schema.get("patternProperties"):
        facts.closed_to = set(properties)
    return facts


def _plain(value: Any) -> Any:
    """Write equal numbers in the same way, so that 1.0 equals 1."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {name: _plain(item) for name, item in value.items()} if isinstance(value, dict) else value


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    names = {int: "number", float: "number", str: "string", list: "array"}
    return names.get(type(value), "object")
