"""Writing JSON schemas so that llguidance takes them for what they say.

Some keywords that it refuses can be said in others that it knows: ``not``, ``oneOf``, ``dependentRequired``. What it
takes differently from the specification is written more exactly, or refused: a wrong answer is worse than none.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from xlc_core.constraints import schema_formats
from xlc_core.constraints.schema_logic import ASSERTIONS, complement, exclusive
from xlc_core.errors import ConstraintError

__all__ = ["rewritten", "with_places"]

# fmt: off
_ONE = frozenset({
    "additionalItems", "additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then",
    "unevaluatedItems", "unevaluatedProperties",
})
# fmt: on
_LISTS = frozenset({"allOf", "anyOf", "items", "oneOf", "prefixItems"})
_MAPS = frozenset({"$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"})
_OLD_DRAFTS = re.compile(r"json-schema\.org/draft-0[3467]/")
_MAX_BRANCHES = 6  # each may double what llguidance multiplies out
_MAX_REWRITTEN = 200  # places in one schema; nested ones multiply


def rewritten(schema: dict[str, Any]) -> dict[str, Any]:
    """Give an equivalent schema in keywords that llguidance takes for what they say.

    Raises:
        ConstraintError: llguidance would take more than the schema allows, and there is no other way to say it.
    """
    result: dict[str, Any] = _Rewriting(schema).visit(schema, "")
    return result


def with_places(reason: str, schema: dict[str, Any]) -> str:
    """Add to llguidance's reason where in the schema the keyword stands that it names."""
    named = re.search(r'Unimplemented keys: \["([^"]+)"|(oneOf) constraints|Unknown (format)', reason)
    if named is None:
        return reason
    places = _places_of(next(filter(None, named.groups())), schema, "")
    return f"{reason}\nthe keyword stands at {', '.join(places[:3])}" if places else reason


def _places_of(keyword: str, schema: Any, pointer: str) -> list[str]:
    if not isinstance(schema, dict):
        return []
    places = [f"{pointer}/{_escaped(keyword)}"] if keyword in schema else []
    for name, part in _parts(schema, pointer):
        places += _places_of(keyword, part, name)
    return places


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _parts(schema: dict[str, Any], pointer: str) -> list[tuple[str, Any]]:
    """The schemas directly within one, with their places."""
    parts = []
    for keyword, value in schema.items():
        here = f"{pointer}/{_escaped(keyword)}"
        if keyword in _MAPS and isinstance(value, dict):
            parts += [(f"{here}/{_escaped(name)}", part) for name, part in value.items()]
        elif keyword in _LISTS and isinstance(value, list):
            parts += [(f"{here}/{i}", part) for i, part in enumerate(value)]
        elif keyword in _ONE:
            parts.append((here, value))
    return parts


class _Rewriting:
    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._has_old_refs = bool(_OLD_DRAFTS.search(str(document.get("$schema", ""))))
        self._n_left = _MAX_REWRITTEN
        self._targets: set[str] = set()  # of $ref, which must stay where they are
        self._collect_targets(document, "")

    def _collect_targets(self, schema: Any, pointer: str) -> None:
        if isinstance(schema, dict):
            reference = schema.get("$ref")
            if isinstance(reference, str) and "#" in reference:
                self._targets.add(unquote(reference.partition("#")[2]))
            for name, part in _parts(schema, pointer):
                self._collect_targets(part, name)

    def _is_target(self, pointer: str) -> bool:
        return any(target == pointer or target.startswith(pointer + "/") for target in self._targets)

    def _resolve(self, reference: str) -> Any:
        if not reference.startswith("#"):
            return None
        found: Any = self._document
        for step in unquote(reference[1:]).split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict):
                found = found.get(name)
            elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            else:
                return None
        return found if reference == "#" or reference.startswith("#/") else None

    def visit(self, schema: Any, pointer: str) -> Any:
        """Rewrite a schema and those within it; names and places of what a $ref may name stay."""
        if not isinstance(schema, dict):
            return schema
        if self._has_old_refs and isinstance(schema.get("$ref"), str):
            schema = {
                name: value
                for name, value in schema.items()
                if name == "$ref" or not (name in ASSERTIONS or name in ("id", "$id"))
                or self._is_target(f"{pointer}/{_escaped(name)}")
            }  # fmt: skip
        result = dict(schema)
        more: list[Any] = []  # to hold as well
        self._write_formats(result, more)
        self._drop_what_says_nothing(result)
        self._refuse_repeatable_names(result, pointer)
        if self._n_left > 0:
            self._say_otherwise(result, more, pointer)
        self._n_left -= len(more)
        for name, value in result.items():
            result[name] = self._visit_keyword(name, value, f"{pointer}/{_escaped(name)}")
        if more:
            # They hold no $ref that is relative to their place, so any place will do.
            fresh = [self.visit(part, "\0") for part in more]
            if isinstance(result.get("allOf", []), list):
                result["allOf"] = [*result.get("allOf", []), *fresh]
        return result

    def _say_otherwise(self, result: dict[str, Any], more: list[Any], pointer: str) -> None:
        if "not" in result and not self._is_target(f"{pointer}/not"):
            opposite = complement(result["not"])
            if opposite is not None:
                del result["not"]
                more.append(opposite)
        if "oneOf" in result and not self._is_target(f"{pointer}/oneOf"):
            union = self._union_of(result["oneOf"])
            if union is not None:
                del result["oneOf"]
                if "anyOf" in result:
                    more.append({"anyOf": union})
                else:
                    result["anyOf"] = union
        self._write_dependencies(result, more, pointer)
        self._write_conditions(result, more, pointer)

    def _visit_keyword(self, keyword: str, value: Any, pointer: str) -> Any:
        if keyword in _MAPS and isinstance(value, dict):
            return {name: self.visit(part, f"{pointer}/{_escaped(name)}") for name, part in value.items()}
        if keyword in _LISTS and isinstance(value, list):
            return [self.visit(part, f"{pointer}/{i}") for i, part in enumerate(value)]
        return self.visit(value, pointer) if keyword in _ONE else value

    def _write_formats(self, schema: dict[str, Any], more: list[Any]) -> None:
        name = schema.get("format")
        if not isinstance(name, str):
            return
        if name in schema_formats.PATTERNS:
            del schema["format"]
            if "pattern" in schema:
                more.append({"pattern": schema_formats.PATTERNS[name]})
            else:
                schema["pattern"] = schema_formats.PATTERNS[name]
        if name in schema_formats.MAX_LENGTHS:
            limit = schema_formats.MAX_LENGTHS[name]
            schema["maxLength"] = min(limit, schema.get("maxLength", limit))

    def _drop_what_says_nothing(self, schema: dict[str, Any]) -> None:
        at_most = schema.get("maxItems", 2)
        if schema.get("uniqueItems") is False or (isinstance(at_most, int) and at_most < 2):
            schema.pop("uniqueItems", None)

    def _refuse_repeatable_names(self, schema: dict[str, Any], pointer: str) -> None:
        least = schema.get("minProperties", 0)
        required = schema.get("required", [])
        if isinstance(least, int) and isinstance(required, list) and least > max(1, len(set(required))):
            raise ConstraintError(
                f"the constraint is refused: minProperties at {pointer}/minProperties: {least} different names cannot "
                "be told from one written twice; list them in 'required'"
            )

    def _union_of(self, branches: Any) -> list[Any] | None:
        """Write a oneOf as an anyOf; None when that cannot be said."""
        if not isinstance(branches, list) or not branches:
            return None
        if exclusive(branches, self._resolve):
            return branches
        others = [complement(part) for part in branches] if len(branches) <= _MAX_BRANCHES else [None]
        if any(other is None for other in others):
            return None
        self._n_left -= len(branches)
        return [
            {"allOf": [part, *(other for j, other in enumerate(others) if j != i and other is not True)]}
            for i, part in enumerate(branches)
        ]

    def _write_dependencies(self, schema: dict[str, Any], more: list[Any], pointer: str) -> None:
        for keyword in ("dependencies", "dependentRequired", "dependentSchemas"):
            value = schema.get(keyword)
            here = f"{pointer}/{keyword}"
            if not isinstance(value, dict) or len(value) > _MAX_BRANCHES or self._is_target(here):
                continue
            for name, needed in value.items():
                names = [needed] if isinstance(needed, str) else needed
                then = names
                if isinstance(names, list):
                    # Named as properties, too, since llguidance writes them in the order in which they are met.
                    then = {"properties": dict.fromkeys([name, *names], True), "required": names}
                if names != []:
                    more.append({"anyOf": [{"properties": {name: False}}, then]})
            del schema[keyword]

    def _write_conditions(self, schema: dict[str, Any], more: list[Any], pointer: str) -> None:
        keywords = [keyword for keyword in ("if", "then", "else") if keyword in schema]
        if not keywords or any(self._is_target(f"{pointer}/{keyword}") for keyword in keywords):
            return
        if "if" in schema and len(keywords) > 1:
            unless = complement(schema["if"])
            if unless is None:
                return
            yes = {"allOf": [schema["if"], schema.get("then", True)]}
            more.append({"anyOf": [yes, {"allOf": [unless, schema.get("else", True)]}]})
        for keyword in keywords:
            del schema[keyword]
