"""Rewriting JSON schemas so that llguidance enforces exactly their meaning.

Some keywords that llguidance refuses can be expressed by others: ``not``, ``oneOf``, ``dependentRequired``. Keywords
that it treats differently from the specification are written more exactly, or refused: a wrong answer is worse than
an error.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from xlc_core.constraints import schema_formats
from xlc_core.constraints.key_names import write_names
from xlc_core.constraints.pattern_parts import between
from xlc_core.constraints.patterns import translate
from xlc_core.constraints.reading import MAX_DEPTH
from xlc_core.constraints.schema_logic import ASSERTIONS, complement, exclusive
from xlc_core.constraints.unique_items import distinct_arrays
from xlc_core.errors import ConstraintError

__all__ = ["rewritten", "with_places"]

# fmt: off
_SCHEMA_KEYWORDS = frozenset({  # their value is a schema
    "additionalItems", "additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then",
    "unevaluatedItems", "unevaluatedProperties",
})
# fmt: on
_LIST_KEYWORDS = frozenset({"allOf", "anyOf", "items", "oneOf", "prefixItems"})  # a list of schemas
_MAP_KEYWORDS = frozenset(  # schemas by name
    {"$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"}
)
_DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_OLD_DRAFTS = re.compile(r"json-schema\.org/draft-0[3467]/")
_INDEX = re.compile("[0-9]{1,9}")
_MAX_BRANCHES = 6  # each may double the number of schemas that llguidance combines
_MAX_REWRITTEN = 200  # rewritten places in one schema, because nested ones multiply


def rewritten(schema: dict[str, Any], *, is_type: bool = False, narrow: bool = False) -> dict[str, Any]:
    """Return an equivalent schema in keywords that llguidance enforces correctly.

    Args:
        schema: a JSON schema.
        is_type: whether a type checks the answers too. Then keywords that cannot be expressed are dropped.
        narrow: whether texts are generated, not checked: formats then have only forms that Python's types take too.

    Raises:
        ConstraintError: llguidance would accept more than the schema allows, and other keywords cannot express it.
    """
    _refuse_wrong_shapes(schema, "")
    result: dict[str, Any] = _Rewriting(schema, is_type=is_type, narrow=narrow).visit(schema, "")
    return result


def with_places(reason: str, schema: dict[str, Any]) -> str:
    """Return llguidance's reason with the place of the keyword that it names."""
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
    """Return the schemas directly inside a schema, with their places."""
    parts = []
    for keyword, value in schema.items():
        here = f"{pointer}/{_escaped(keyword)}"
        if keyword in _MAP_KEYWORDS and isinstance(value, dict):
            parts += [(f"{here}/{_escaped(name)}", part) for name, part in value.items()]
        elif keyword in _LIST_KEYWORDS and isinstance(value, list):
            parts += [(f"{here}/{i}", part) for i, part in enumerate(value)]
        elif keyword in _SCHEMA_KEYWORDS:
            parts.append((here, value))
    return parts


def _refuse_wrong_shapes(schema: Any, pointer: str) -> None:
    """Refuse keywords whose value has another shape than JSON Schema says, if the rewriting reads the value."""
    if not isinstance(schema, dict):
        return
    kinds = schema.get("type", [])
    lists = {"required": schema.get("required", []), "type": [kinds] if isinstance(kinds, str) else kinds}
    dependent = schema.get("dependentRequired")
    if isinstance(dependent, dict):
        lists |= {f"dependentRequired/{_escaped(name)}": names for name, names in dependent.items()}
    for keyword, names in lists.items():
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ConstraintError(f"the constraint is refused: {pointer}/{keyword} must be a list of names")
    n_max = schema.get("maxLength", 0)
    if isinstance(n_max, bool) or not isinstance(n_max, (int, float)):
        raise ConstraintError(f"the constraint is refused: {pointer}/maxLength must be a number")
    for name, part in _parts(schema, pointer):
        _refuse_wrong_shapes(part, name)


def _days(schema: dict[str, Any]) -> str | None:
    """Return the pattern for the bounds of a date's text, which are taken away; None without bounds that are dates."""
    bounds = [schema.pop(name, None) for name in ("formatMinimum", "formatMaximum")]
    low, high = (day if isinstance(day, str) and _DAY.fullmatch(day) else None for day in bounds)
    if low is None and high is None:
        return None
    low, high = low or "0001-01-01", high or "9999-12-31"
    return f"^{between(low, high)}" if low <= high else r"[^\s\S]"


class _Rewriting:
    def __init__(self, document: dict[str, Any], *, is_type: bool, narrow: bool) -> None:
        self._document = document
        self._is_type = is_type
        self._narrow = narrow
        self._has_old_refs = bool(_OLD_DRAFTS.search(str(document.get("$schema", ""))))
        self._n_left = _MAX_REWRITTEN
        self._targets: set[str] = set()  # the places that a $ref names, and those above; these must stay where they are
        self._collect_targets(document, "")

    def _collect_targets(self, schema: Any, pointer: str) -> None:
        if isinstance(schema, dict):
            reference = schema.get("$ref")
            if isinstance(reference, str) and "#" in reference:
                steps = unquote(reference.partition("#")[2]).split("/")[: MAX_DEPTH + 1]
                self._targets |= {"/".join(steps[:n]) for n in range(1, len(steps) + 1)}
            for name, part in _parts(schema, pointer):
                self._collect_targets(part, name)

    def _is_target(self, pointer: str) -> bool:
        return pointer in self._targets

    def _resolve(self, reference: str) -> Any:
        if not reference.startswith("#"):
            return None
        found: Any = self._document
        for step in unquote(reference[1:]).split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict):
                found = found.get(name)
            elif isinstance(found, list) and _INDEX.fullmatch(name) and int(name) < len(found):
                found = found[int(name)]
            else:
                return None
        return found if reference == "#" or reference.startswith("#/") else None

    def visit(self, schema: Any, pointer: str) -> Any:
        """Rewrite a schema and the schemas inside it. Schemas that a $ref names keep their names and places."""
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
        extra_all_of: list[Any] = []  # schemas to add under allOf
        self._write_formats(result, extra_all_of)
        self._write_patterns(result, extra_all_of)
        self._write_unique_items(result)
        if "propertyNames" in result and not self._is_target(f"{pointer}/propertyNames"):
            written = write_names(result, self._resolve, loosely=self._is_type)
            if self._is_type and not written:
                del result["propertyNames"]
        self._refuse_repeatable_names(result, pointer)
        if self._n_left > 0:
            self._rewrite_keywords(result, extra_all_of, pointer)
        self._n_left -= len(extra_all_of)
        for name, value in result.items():
            result[name] = self._visit_keyword(name, value, f"{pointer}/{_escaped(name)}")
        if extra_all_of:
            # They do not hold a $ref that is relative to their place, so any place will do.
            fresh = [self.visit(part, "\0") for part in extra_all_of]
            if isinstance(result.get("allOf", []), list):
                result["allOf"] = [*result.get("allOf", []), *fresh]
        return result

    def _rewrite_keywords(self, result: dict[str, Any], extra_all_of: list[Any], pointer: str) -> None:
        if "not" in result and not self._is_target(f"{pointer}/not"):
            opposite = complement(result["not"])
            if opposite is not None:
                del result["not"]
                extra_all_of.append(opposite)
        if "oneOf" in result and not self._is_target(f"{pointer}/oneOf"):
            union = self._union_of(result["oneOf"])
            if union is not None:
                del result["oneOf"]
                if "anyOf" in result:
                    extra_all_of.append({"anyOf": union})
                else:
                    result["anyOf"] = union
        self._write_dependencies(result, extra_all_of, pointer)
        self._write_conditions(result, extra_all_of, pointer)

    def _visit_keyword(self, keyword: str, value: Any, pointer: str) -> Any:
        if keyword in _MAP_KEYWORDS and isinstance(value, dict):
            return {name: self.visit(part, f"{pointer}/{_escaped(name)}") for name, part in value.items()}
        if keyword in _LIST_KEYWORDS and isinstance(value, list):
            return [self.visit(part, f"{pointer}/{i}") for i, part in enumerate(value)]
        return self.visit(value, pointer) if keyword in _SCHEMA_KEYWORDS else value

    def _write_formats(self, schema: dict[str, Any], extra_all_of: list[Any]) -> None:
        name = schema.get("format")
        if not isinstance(name, str):
            return
        limit = schema_formats.max_length_of(name, narrow=self._narrow)
        if limit is not None:
            schema["maxLength"] = min(limit, schema.get("maxLength", limit))
        patterns = [schema_formats.pattern_of(name, narrow=self._narrow)]
        if patterns[0] is not None:
            del schema["format"]
            if (days := _days(schema)) is not None:
                patterns.append(days)
            for pattern in patterns:
                if "pattern" in schema:
                    extra_all_of.append({"pattern": pattern})
                else:
                    schema["pattern"] = pattern
        elif self._is_type and name not in schema_formats.ENFORCED:
            del schema["format"]

    def _write_patterns(self, schema: dict[str, Any], extra_all_of: list[Any]) -> None:
        pattern = schema.get("pattern")
        if not isinstance(pattern, str):
            return
        translated = translate(pattern)
        if translated is not None:
            schema["pattern"], *others = translated
            extra_all_of += [{"pattern": other} for other in others]
        elif self._is_type:
            del schema["pattern"]

    def _write_unique_items(self, schema: dict[str, Any]) -> None:
        at_most = schema.get("maxItems", 2)
        if schema.get("uniqueItems") is False or (isinstance(at_most, int) and at_most < 2):
            schema.pop("uniqueItems", None)
        if schema.get("uniqueItems") is not True:
            return
        arrays = distinct_arrays(schema, self._resolve)
        if arrays is not None:
            for name in ("uniqueItems", "items", "minItems", "maxItems", "type"):
                schema.pop(name, None)
            schema["enum"] = arrays
        elif self._is_type:
            del schema["uniqueItems"]

    def _refuse_repeatable_names(self, schema: dict[str, Any], pointer: str) -> None:
        least = schema.get("minProperties", 0)
        required = schema.get("required", [])
        if self._is_type:
            if schema.get("properties"):  # llguidance counts properties only where all of them are required
                schema.pop("minProperties", None)
                schema.pop("maxProperties", None)
            return
        if isinstance(least, int) and isinstance(required, list) and least > max(1, len(set(required))):
            raise ConstraintError(
                f"the constraint is refused: minProperties at {pointer}/minProperties: {least} different names cannot "
                "be distinguished from one that is written twice; list them in 'required'"
            )

    def _union_of(self, branches: Any) -> list[Any] | None:
        """Return the branches of an anyOf that equals a oneOf; None if that cannot be expressed."""
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

    def _write_dependencies(self, schema: dict[str, Any], extra_all_of: list[Any], pointer: str) -> None:
        for keyword in ("dependencies", "dependentRequired", "dependentSchemas"):
            value = schema.get(keyword)
            here = f"{pointer}/{keyword}"
            if not isinstance(value, dict) or len(value) > _MAX_BRANCHES or self._is_target(here):
                continue
            for name, needed in value.items():
                names = [needed] if isinstance(needed, str) else needed
                then = names
                if isinstance(names, list):
                    # Also listed as properties, because llguidance writes these in the order in which it meets them.
                    then = {"properties": dict.fromkeys([name, *names], True), "required": names}
                if names != []:
                    extra_all_of.append({"anyOf": [{"properties": {name: False}}, then]})
            del schema[keyword]

    def _write_conditions(self, schema: dict[str, Any], extra_all_of: list[Any], pointer: str) -> None:
        keywords = [keyword for keyword in ("if", "then", "else") if keyword in schema]
        if not keywords or any(self._is_target(f"{pointer}/{keyword}") for keyword in keywords):
            return
        if "if" in schema and len(keywords) > 1:
            unless = complement(schema["if"])
            if unless is None:
                return
            yes = {"allOf": [schema["if"], schema.get("then", True)]}
            extra_all_of.append({"anyOf": [yes, {"allOf": [unless, schema.get("else", True)]}]})
        for keyword in keywords:
            del schema[keyword]
