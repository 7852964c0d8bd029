"""Constraints on answers: JSON schemas, regular expressions, choices and grammars."""

from xlc_core.constraints.constraint import (
    Choice,
    Constraint,
    Gbnf,
    JsonObject,
    JsonSchema,
    Lark,
    Regex,
    to_constraint,
    with_thinking,
)

__all__ = [
    "Choice",
    "Constraint",
    "Gbnf",
    "JsonObject",
    "JsonSchema",
    "Lark",
    "Regex",
    "to_constraint",
    "with_thinking",
]
