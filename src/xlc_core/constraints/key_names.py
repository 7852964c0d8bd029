"""``propertyNames`` of JSON schemas, which llguidance does not know, as properties or patterns of properties."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable
from typing import Any

from xlc_core.constraints.patterns import translate
from xlc_core.constraints.schema_formats import key_pattern
from xlc_core.constraints.unique_items import listed_values

__all__ = ["write_names"]

_MOST_SETS = 100
_LONGEST = 10_000  # characters of a name
_RULES = frozenset({"pattern", "format", "minLength", "maxLength", "allOf"})
_NOTES = frozenset({"title", "description", "type", "$comment", "examples", "default", "deprecated"})


def write_names(schema: dict[str, Any], resolve: Callable[[str], Any], *, loosely: bool) -> bool:
    """Replace ``propertyNames`` in a schema by other keywords, in place. Return whether that was possible.

    Args:
        schema: a schema with ``propertyNames``.
        resolve: returns the schema that a $ref names.
        loosely: whether keys may be allowed that the names exclude, because a type checks them.
    """
    names = schema["propertyNames"]
    if names is True or names == {}:
        del schema["propertyNames"]
        return True
    values = [] if names is False else listed_values(names, resolve)
    if values is not None:
        return _list_properties(schema, [_text(value) for value in values if loosely or isinstance(value, str)])
    pattern = _pattern_of(names, resolve, loosely=loosely)
    others = {"properties", "patternProperties"} & schema.keys()
    if pattern is None or others:
        return False
    del schema["propertyNames"]
    schema["patternProperties"] = {pattern: schema.get("additionalProperties", True)}
    schema["additionalProperties"] = False
    return True


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _list_properties(schema: dict[str, Any], names: list[str]) -> bool:
    others = schema.get("additionalProperties", True)
    own = schema.get("properties", {})
    if "patternProperties" in schema or not isinstance(own, dict):
        return False
    counts = [schema[name] for name in ("minProperties", "maxProperties") if name in schema]
    if not all(isinstance(count, int) and count >= 0 for count in counts) or (counts and (own or "anyOf" in schema)):
        return False
    del schema["propertyNames"]
    if not counts:
        listed = dict.fromkeys(names)
        schema["properties"] = {name: own.get(name, others) if name in listed else False for name in {**own, **listed}}
    else:
        _list_sets(schema, names, others)
    schema["additionalProperties"] = False
    return True


def _list_sets(schema: dict[str, Any], names: list[str], others: Any) -> None:
    """List the sets of names that an object may have. llguidance counts properties only where all are required."""
    least, most = schema.get("minProperties", 0), schema.get("maxProperties", len(names))
    sizes = range(least, min(most, len(names)) + 1)
    if len(names) <= _MOST_SETS and sum(math.comb(len(names), size) for size in sizes) <= _MOST_SETS:
        chosen = [subset for size in sizes for subset in itertools.combinations(names, size)]
        schema["anyOf"] = [
            {"properties": dict.fromkeys(subset, others), "required": list(subset), "additionalProperties": False}
            for subset in chosen
        ]
        schema["properties"] = dict.fromkeys(names, True)
        schema.pop("minProperties", None)
        schema.pop("maxProperties", None)
    else:  # a name could be written twice
        schema["patternProperties"] = {f"^(?:{'|'.join(re.escape(name) for name in names)})$": others}


def _pattern_of(names: Any, resolve: Callable[[str], Any], *, loosely: bool, is_part: bool = False) -> str | None:
    """Return the one pattern that names match; None if it takes several."""
    if isinstance(names, dict) and isinstance(names.get("$ref"), str):
        names = resolve(names["$ref"])
    if not isinstance(names, dict) or "$ref" in names:
        return None
    if isinstance(names.get("anyOf"), list) and not _RULES & names.keys():
        if is_part:
            return None
        written = [_as_pattern(part, resolve) for part in names["anyOf"]]
        parts = [_pattern_of(part, resolve, loosely=loosely, is_part=True) for part in written]
        known = [part for part in parts if part is not None]
        return "|".join(f"(?:{part})" for part in known) if len(known) == len(parts) else None
    if names.keys() - _RULES - _NOTES and not loosely:
        return None
    found: list[str] = []
    if isinstance(names.get("pattern"), str):
        found += translate(names["pattern"]) or ([] if loosely else ["", ""])
    if isinstance(names.get("format"), str) and (known_format := key_pattern(names["format"])):
        found.append(known_format)
    least, most = names.get("minLength", 0), names.get("maxLength")
    if not all(isinstance(bound, int) and 0 <= bound <= _LONGEST for bound in (least, most) if bound is not None):
        return None
    if least or most is not None:
        found.append(f"^[\\s\\S]{{{least},{'' if most is None else most}}}$")
    if "allOf" in names:
        found += [""]
    return found[0] if len(found) == 1 or (found and loosely) else None


def _as_pattern(part: Any, resolve: Callable[[str], Any]) -> Any:
    values = listed_values(part, resolve)
    if values is None:
        return part
    return {"pattern": f"^(?:{'|'.join(re.escape(_text(value)) for value in values)})$"}
