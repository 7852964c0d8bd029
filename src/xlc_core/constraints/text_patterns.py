"""Patterns for strings that a model writes as plain text, without quotes, such as an argument between two tags.

llguidance enforces a string's schema only in JSON. For plain text, the schema becomes a term of regular expressions.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from xlc_core.constraints import lark_text
from xlc_core.constraints.schema_formats import pattern_of

__all__ = ["ANY_TEXT", "NotTextError", "kinds_of", "searched", "text_term"]

ANY_TEXT = "/(?s:.*)/"
_ALL_KINDS = frozenset({"null", "boolean", "number", "string", "array", "object"})
_MAX_DEPTH = 32  # of references and branches

# Keywords that apply to strings and that a term of regular expressions can express.
_EXPRESSED = frozenset(
    {"$ref", "allOf", "anyOf", "const", "enum", "format", "maxLength", "minLength", "oneOf", "pattern", "type"}
)
_NOT_EXPRESSED = frozenset({"$dynamicRef", "$recursiveRef", "else", "if", "not", "then"})
_CLASS = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]")
_ASCII = {"d": "0-9", "w": "0-9A-Za-z_"}

Resolve = Callable[[str], Any]


class NotTextError(Exception):
    """The strings of a schema cannot be described by regular expressions."""


def kinds_of(schema: Any, resolve: Resolve, depth: int = 0) -> frozenset[str]:
    """Return the kinds of values that a schema may allow: JSON's types, without integer."""
    if schema is False or depth > _MAX_DEPTH:
        return frozenset() if schema is False else _ALL_KINDS
    if not isinstance(schema, dict):
        return _ALL_KINDS
    kinds = frozenset() if schema.get("not") in ({}, True) else _ALL_KINDS
    if "type" in schema:
        names = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        kinds &= {"number" if name == "integer" else name for name in names if isinstance(name, str)}
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(values, list):
        kinds &= {_kind(value) for value in values}
    if isinstance(schema.get("$ref"), str):
        kinds &= kinds_of(resolve(schema["$ref"]), resolve, depth + 1)
    for part in _list(schema.get("allOf")):
        kinds &= kinds_of(part, resolve, depth + 1)
    for keyword in ("anyOf", "oneOf"):
        if _list(schema.get(keyword)):
            kinds &= frozenset().union(*(kinds_of(part, resolve, depth + 1) for part in schema[keyword]))
    return kinds


def text_term(schema: Any, resolve: Resolve, depth: int = 0) -> str:
    """Return the strings that a schema allows as a term for a Lark terminal.

    Args:
        schema: of a value that may be a string.
        resolve: returns the schema that a reference names.
        depth: of the schema within others.

    Raises:
        NotTextError: a keyword cannot be expressed.
    """
    if depth > _MAX_DEPTH:
        raise NotTextError("it refers to itself")
    if not isinstance(schema, dict):
        if schema is False:
            raise NotTextError("it allows nothing")
        return ANY_TEXT
    if found := sorted(_NOT_EXPRESSED & schema.keys()):
        raise NotTextError(f"the keyword {found[0]} applies to a text")
    terms = [*_own_terms(schema), *(text_term(part, resolve, depth + 1) for part in _list(schema.get("allOf")))]
    if isinstance(schema.get("$ref"), str):
        terms.append(text_term(resolve(schema["$ref"]), resolve, depth + 1))
    for keyword in ("anyOf", "oneOf"):
        if branches := _list(schema.get(keyword)):
            texts = [part for part in branches if "string" in kinds_of(part, resolve)]
            if keyword == "oneOf" and len(texts) > 1:
                raise NotTextError("several branches of oneOf allow a text")
            if not texts:
                raise NotTextError("it allows no text")
            terms.append(" | ".join(text_term(part, resolve, depth + 1) for part in texts))
    if not terms:
        return ANY_TEXT
    return terms[0] if len(terms) == 1 else " & ".join(f"({term})" for term in terms)


def _own_terms(schema: dict[str, Any]) -> list[str]:
    terms = []
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(values, list):
        texts = [value for value in values if isinstance(value, str)]
        if not texts or "" in texts:
            raise NotTextError("an empty text is one of its values")
        terms.append("/" + "|".join(lark_text.regex_literal(text) for text in texts) + "/")
    name = schema.get("format")
    patterns = [schema["pattern"]] if isinstance(schema.get("pattern"), str) else []
    if isinstance(name, str):
        known = pattern_of(name, narrow=True)
        if known is None:
            raise NotTextError(f"the format {name}")
        patterns.append(known)
    terms += [lark_text.regex(searched(pattern)) for pattern in patterns]
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    if least or most is not None:
        terms.append(f"/(?s:.){{{int(least)},{'' if most is None else int(most)}}}/")
    return terms


def searched(pattern: str) -> str:
    r"""Return an expression for whole texts in which JSON Schema's pattern is found; \d and \w are ASCII's.

    Raises:
        NotTextError: an anchor stands inside the pattern.
    """
    ways = []
    for way in _alternatives(pattern):
        starts, ends = way.startswith("^"), bool(re.search(r"(?<!\\)(?:\\\\)*\$\Z", way))
        inner = way[1 if starts else 0 : -1 if ends else None]
        if re.search(r"[$^]", re.sub(r"\\.", "", _CLASS.sub("", inner), flags=re.DOTALL)):
            raise NotTextError("an anchor inside a pattern")
        ways.append(("" if starts else "(?s:.*)") + f"(?:{_ascii(inner)})" + ("" if ends else "(?s:.*)"))
    return "|".join(ways)


def _alternatives(pattern: str) -> list[str]:
    ways, level, start = [], 0, 0
    for match in re.finditer(rf"\\.|{_CLASS.pattern}|[()|]", pattern, re.DOTALL):
        if match[0] == "(":
            level += 1
        elif match[0] == ")":
            level -= 1
        elif match[0] == "|" and level == 0:
            ways.append(pattern[start : match.start()])
            start = match.end()
    return [*ways, pattern[start:]]


def _ascii(pattern: str) -> str:
    def outside(match: re.Match[str]) -> str:
        text = match[0]
        if text.startswith("["):
            return re.sub(r"\\(.)", lambda inner: _ASCII.get(inner[1], inner[0]), text, flags=re.DOTALL)
        if len(text) == 2 and text[1].lower() in _ASCII:
            return f"[{'' if text[1].islower() else '^'}{_ASCII[text[1].lower()]}]"
        return "/" if text == r"\/" else text

    return re.sub(rf"{_CLASS.pattern}|\\.", outside, pattern, flags=re.DOTALL)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    return {int: "number", float: "number", str: "string", list: "array"}.get(type(value), "object")
