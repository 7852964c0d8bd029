"""Constraints of the values that users write for them: types, schemas, lists of texts, regular expressions."""

from __future__ import annotations

import functools
import re
from collections.abc import Hashable
from typing import Any

from xlc_core.constraints.constraint import Constraint
from xlc_core.constraints.json_constraints import JsonSchema
from xlc_core.constraints.text_constraints import Choice, Regex
from xlc_core.errors import ConstraintError

__all__ = ["constraint_key", "to_constraint"]


def to_constraint(value: Any) -> Constraint:
    """Convert a value that users write for a constraint into a constraint.

    The constraints made of the last 128 types are remembered.

    Args:
        value: a constraint; a JSON schema as a dict; a type or ``TypeAdapter``; a list of texts to
            choose from; or a compiled regular expression.

    Raises:
        ConstraintError: the value is not one of these. A plain text is refused, because it could mean
            several of them.
    """
    if isinstance(value, Constraint):
        return value
    if isinstance(value, re.Pattern):
        return _regex_of(value)
    if isinstance(value, (list, tuple)):
        return Choice(*value)
    if isinstance(value, (str, bytes)):
        raise ConstraintError(
            "a constraint given as a text could be several things: write JsonSchema(text), "
            "Regex(text), Choice(text), Lark(text) or Gbnf(text)"
        )
    key = constraint_key(value)
    return JsonSchema(value) if key is None else _schema_of_type(key)


def constraint_key(value: Any) -> Hashable | None:
    """Return what a constraint, or a value that means one, can be remembered by. None for values that may change."""
    try:
        hash(value)
        if isinstance(value, Constraint):
            return (value, isinstance(value, JsonSchema) and value.is_type)
        if isinstance(value, type) or type(value).__name__ == "TypeAdapter":
            return (value,)
        # Union[int, str] == Union[str, int], but their schemas are not the same
        return (value, repr(value))
    except (TypeError, ValueError):  # not hashable, or an integer of more digits than Python writes
        return None


@functools.lru_cache(maxsize=128)
def _schema_of_type(key: tuple[Any, ...]) -> JsonSchema:
    return JsonSchema(key[0])


def _regex_of(pattern: re.Pattern[Any]) -> Regex:
    if not isinstance(pattern.pattern, str):
        raise ConstraintError("a regular expression over bytes cannot constrain text; compile it from a str")
    flags = "".join(
        letter for letter, flag in (("i", re.I), ("m", re.M), ("s", re.S), ("x", re.X)) if pattern.flags & flag
    )
    if pattern.flags & re.ASCII:
        raise ConstraintError("re.ASCII is not supported; write [0-9] for \\d and [A-Za-z0-9_] for \\w")
    return Regex(f"(?{flags}){pattern.pattern}" if flags else pattern.pattern)
