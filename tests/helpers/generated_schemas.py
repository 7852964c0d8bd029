"""Schemas of the kind that people write for answers: objects of named fields, made from a seed."""

from __future__ import annotations

import random
from typing import Any

WORDS = ["name", "city", "price", "tags", "owner", "status", "date", "notes", "level", "items", "email", "code"]
PATTERNS = ["^[A-Z]{2}-[0-9]{3}$", "^(low|mid|high)[.!]?$", "^#[0-9a-f]{6}$"]


def make_schema(seed: int) -> dict[str, Any]:
    """An object with two to six properties, nested up to twice; most answers need fewer than 160 tokens."""
    return _object(random.Random(seed), depth=2)


def _object(random_: random.Random, depth: int) -> dict[str, Any]:
    names = random_.sample(WORDS, random_.randint(2, 6 if depth == 2 else 3))
    properties = {name: _value(random_, depth - 1) for name in names}
    schema: dict[str, Any] = {
        "type": "object",
        "properties": properties,
        "required": random_.sample(names, random_.randint(1, len(names))),
        "additionalProperties": False,
    }
    if random_.random() < 0.2:
        schema["dependentRequired"] = {names[0]: [names[1]]}
    return schema


def _value(random_: random.Random, depth: int) -> dict[str, Any]:
    low = random_.randint(-5, 5)
    leaves: list[dict[str, Any]] = [
        {"type": "string", "minLength": random_.randint(0, 3), "maxLength": random_.randint(8, 24)},
        {"type": "string", "pattern": random_.choice(PATTERNS)},
        {"type": "string", "format": random_.choice(["date", "time", "date-time", "ipv4", "ipv6", "uuid"])},
        {"type": "integer", "minimum": low, "maximum": low + random_.choice([3, 40, 10_000])},
        {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        {"type": "integer", "multipleOf": random_.choice([5, 12]), "minimum": 0, "maximum": 1000},
        {"type": "boolean"},
        {"enum": random_.sample(["red", "grün", "a \"b\"", 1, 2.5, None, True], 3)},
        {"const": random_.choice(["fixed", 7, {"a": [1]}])},
        {"type": ["string", "null"], "maxLength": 10},
        {"type": "string", "not": {"minLength": 12}},
    ]  # fmt: skip
    if depth > 0 and random_.random() < 0.4:
        return random_.choice(
            [
                _object(random_, depth),
                {"type": "array", "items": _value(random_, 0), "minItems": 1, "maxItems": random_.randint(1, 3)},
                {"anyOf": [_value(random_, 0), {"type": "null"}]},
                {"oneOf": [{"type": "boolean"}, _object(random_, 0)]},
                {
                    "prefixItems": [_value(random_, 0), _value(random_, 0)],
                    "items": False,
                    "minItems": 2,
                    "type": "array",
                },
            ]
        )
    return random_.choice(leaves)
