"""Gemma 4's format of a call's arguments: JSON's objects and lists, with plain keys and with texts between marks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from xlc_core.constraints.schema_grammar import schema_rule
from xlc_core.constraints.schema_logic import exclusive
from xlc_core.constraints.text_patterns import ANY_TEXT, NotTextError, kinds_of, text_term
from xlc_core.constraints.tool_arguments import ToolArguments, resolver
from xlc_core.errors import ConstraintError

__all__ = ["braces_rules"]

_OBJECT = frozenset({"additionalProperties", "properties", "required"})
_LIST = frozenset({"additionalItems", "items", "maxItems", "minItems", "prefixItems"})
_REFUSED = frozenset(
    {
        "$dynamicRef", "$recursiveRef", "contains", "dependencies", "dependentRequired", "dependentSchemas", "else",
        "if", "maxContains", "maxProperties", "minContains", "minProperties", "not", "patternProperties",
        "propertyNames", "then", "unevaluatedItems", "unevaluatedProperties", "uniqueItems",
    }
)  # fmt: skip
_SCALARS = ("null", "boolean", "number")


def braces_rules(tool: ToolArguments, quote: str, *, is_token: bool, prefix: str) -> tuple[str, dict[str, str]]:
    """Return the name of the rule for a tool's arguments, and all rules that it needs.

    Args:
        tool: the tool.
        quote: the mark around texts, as Lark.
        is_token: whether the mark is a control token; else texts must not hold it.
        prefix: how the names of the rules begin.

    Raises:
        ConstraintError: the format cannot enforce a keyword of the tool's schema.
    """
    writer = _Writer(tool, quote, is_token=is_token, prefix=prefix)
    return writer.write(), writer.rules


class _Writer:
    def __init__(self, tool: ToolArguments, quote: str, *, is_token: bool, prefix: str) -> None:
        self.rules: dict[str, str] = {}
        self._tool = tool
        self._document: Mapping[str, Any] = json.loads(tool.schema)
        self._resolve = resolver(self._document)
        self._quote = quote
        self._is_token = is_token
        self._prefix = prefix
        self._by_reference: dict[str, str] = {}

    def write(self) -> str:
        return self._rule(self._value(self._document, ""))

    def _rule(self, text: str) -> str:
        name = f"{self._prefix}_{len(self.rules)}"
        self.rules[name] = text
        return name

    def _refuse(self, pointer: str, keyword: str) -> ConstraintError:
        return ConstraintError(
            f"the parameters of the tool {self._tool.name!r} are refused: this model's format of calls cannot enforce "
            f"the keyword at {pointer}/{keyword}"
        )

    def _value(self, schema: Any, pointer: str) -> str:
        if schema is False:
            raise self._refuse(pointer, "false")
        if not isinstance(schema, dict):
            return self._any()
        if found := sorted(_REFUSED & schema.keys()):
            raise self._refuse(pointer, found[0])
        if isinstance(schema.get("$ref"), str):
            return self._reference(schema, pointer)
        for keyword in ("anyOf", "oneOf", "allOf"):
            if keyword in schema:
                return self._branches(schema, keyword, pointer)
        if "const" in schema or "enum" in schema:
            return self._values(schema, pointer)
        kinds = kinds_of(schema, self._resolve)
        ways = []
        if "string" in kinds:
            ways.append(self._text(schema, pointer))
        if scalars := [kind for kind in _SCALARS if kind in kinds]:
            ways.append(self._scalar(schema, scalars))
        if "array" in kinds:
            ways.append(self._list(schema, pointer))
        if "object" in kinds:
            ways.append(self._object(schema, pointer))
        return f"({' | '.join(ways)})"

    def _reference(self, schema: dict[str, Any], pointer: str) -> str:
        reference = schema["$ref"]
        if schema.keys() & (_OBJECT | _LIST | {"anyOf", "allOf", "oneOf", "enum", "const", "pattern"}):
            raise self._refuse(pointer, "$ref")
        if reference not in self._by_reference:
            name = self._rule("")
            self._by_reference[reference] = name
            self.rules[name] = self._value(self._resolve(reference), reference.removeprefix("#"))
        return self._by_reference[reference]

    def _branches(self, schema: dict[str, Any], keyword: str, pointer: str) -> str:
        branches = [part for part in schema[keyword] if kinds_of(part, self._resolve) or keyword == "allOf"]
        beside = schema.keys() & (_OBJECT | _LIST | {"anyOf", "oneOf", "allOf", "enum", "const", "pattern"}) - {keyword}
        overlaps = keyword == "oneOf" and not exclusive(branches, self._resolve)
        if beside or overlaps or not branches or (keyword == "allOf" and len(branches) > 1):
            raise self._refuse(pointer, keyword)
        ways = [self._value(part, f"{pointer}/{keyword}/{i}") for i, part in enumerate(branches)]
        return f"({' | '.join(ways)})"

    def _values(self, schema: dict[str, Any], pointer: str) -> str:
        values = [schema["const"]] if "const" in schema else schema["enum"]
        kinds = kinds_of(schema, self._resolve)
        ways = []
        if "string" in kinds:
            ways.append(self._text(schema, pointer))
        if scalars := [kind for kind in _SCALARS if kind in kinds]:
            ways.append(self._scalar(schema, scalars))
        if not ways or any(isinstance(value, (dict, list)) for value in values):
            raise self._refuse(pointer, "const" if "const" in schema else "enum")
        return f"({' | '.join(ways)})"

    def _text(self, schema: Any, pointer: str) -> str:
        try:
            term = text_term(schema, self._resolve)
        except NotTextError as error:
            raise self._refuse(pointer, str(error)) from None
        if not self._is_token:
            mark = '<\\|"\\|>'
            term = f"({term}) & ({ANY_TEXT}) & (~/(?s:.*){mark}(?s:.*)/)"
            return self._terminal(f"{self._quote} ({term}) {self._quote}")
        return f"{self._quote} {self._terminal(term)} {self._quote}"

    def _terminal(self, term: str) -> str:
        name = f"{self._prefix}_{len(self.rules)}".upper()
        self.rules[name] = term
        return name

    def _scalar(self, schema: dict[str, Any], kinds: list[str]) -> str:
        whole = {**schema, "type": kinds} if "integer" not in _names(schema) else {**schema, "type": [
            kind if kind != "number" else "integer" for kind in kinds
        ]}  # fmt: skip
        whole.pop("x-guidance", None)
        return self._rule(schema_rule(json.dumps(whole, ensure_ascii=False), is_type=False))

    def _list(self, schema: dict[str, Any], pointer: str) -> str:
        items = schema.get("items", True)
        first, keyword = schema.get("prefixItems", []), "prefixItems"
        if isinstance(items, list):  # as before draft 2020-12
            first, keyword, items = items, "items", schema.get("additionalItems", True)
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        n_first = len(first) if most is None else min(len(first), most)
        parts = [self._rule(self._value(first[i], f"{pointer}/{keyword}/{i}")) for i in range(n_first)]
        more = ""
        if items is not False and (most is None or most > n_first):
            one = self._rule(self._value(items, f"{pointer}/items"))
            if not parts:
                parts = [one]
            if most is None or most > len(parts):
                more = f'("," {one}){{{max(least - len(parts), 0)},{"" if most is None else most - len(parts)}}}'
        for i in reversed(range(len(parts))):
            comma = '"," ' if i > 0 else ""
            more = f"({comma}{parts[i]} {more}){'' if i < least else '?'}"
        return f'"[" {more} "]"' if more else '"[]"'

    def _object(self, schema: dict[str, Any], pointer: str) -> str:
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        free = schema.get("additionalProperties", not properties)
        if missing := [name for name in required if name not in properties]:
            properties = {**properties, **dict.fromkeys(missing, free)}
        parts = [
            (name in required, f"{_key(name)} {self._value(part, f'{pointer}/properties/{name}')}")
            for name, part in properties.items()
            if part is not False
        ]
        if not parts:
            return self._map(free, pointer) if free is not False and not properties else '"{}"'
        tails = [f'("," {text}){"" if needed else "?"}' for needed, text in parts]
        ways = []
        for k, (needed, text) in enumerate(parts):
            ways.append(" ".join([text, *tails[k + 1 :]]))
            if needed:
                break
        optional = not any(needed for needed, _ in parts)
        return f'"{{" ({" | ".join(ways)}){"?" if optional else ""} "}}"'

    def _map(self, values: Any, pointer: str) -> str:
        entry = self._rule(rf'/[^:{{}},"<]{{1,64}}:/ {self._value(values, f"{pointer}/additionalProperties")}')
        return f'"{{" ({entry} ("," {entry})*)? "}}"'

    def _any(self) -> str:
        if "" not in self._by_reference:
            name = self._rule("")
            self._by_reference[""] = name
            scalar = self._rule(schema_rule(json.dumps({"type": list(_SCALARS)}), is_type=False))
            entry = self._rule(rf'/[^:{{}},"<]{{1,64}}:/ {name}')
            objects = f'"{{" ({entry} ("," {entry})*)? "}}"'
            self.rules[name] = f'{self._text({}, "")} | {scalar} | "[" ({name} ("," {name})*)? "]" | {objects}'
        return self._by_reference[""]


def _names(schema: dict[str, Any]) -> list[str]:
    kinds = schema.get("type", [])
    return [kinds] if isinstance(kinds, str) else kinds


def _key(name: str) -> str:
    if not name or set(name) & set(":}"):
        raise ConstraintError(f"this model's format of calls cannot write the name {name!r} of a property")
    return json.dumps(f"{name}:", ensure_ascii=False)
