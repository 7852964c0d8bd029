"""Constraints on answers: JSON schemas, regular expressions, choices and grammars."""

from xlc_core.constraints.constraint import Constraint
from xlc_core.constraints.conversion import to_constraint
from xlc_core.constraints.json_constraints import JsonObject, JsonSchema
from xlc_core.constraints.lark_text import with_thinking
from xlc_core.constraints.text_constraints import Choice, Gbnf, Lark, Regex

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
