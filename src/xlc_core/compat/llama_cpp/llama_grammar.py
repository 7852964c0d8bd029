"""LlamaGrammar, as in llama-cpp-python; the engine's constraints enforce it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typing_extensions import Self

from xlc_core.constraints.constraint import Constraint
from xlc_core.constraints.json_constraints import JsonSchema
from xlc_core.constraints.text_constraints import Gbnf

__all__ = ["LLAMA_GRAMMAR_DEFAULT_ROOT", "LlamaGrammar"]

LLAMA_GRAMMAR_DEFAULT_ROOT = "root"


class LlamaGrammar:
    """A constraint on answers.

    Args:
        constraint: any constraint of the engine, which is more than llama-cpp-python's grammars can say.

    Raises:
        ConstraintError: it is malformed or unsupported.
    """

    def __init__(self, constraint: Constraint) -> None:
        constraint.check()
        self.constraint = constraint

    @classmethod
    def from_string(cls, grammar: str, verbose: bool = True) -> Self:
        """Return a grammar in GBNF, with a rule ``root``.

        Args:
            grammar: the text.
            verbose: has no effect.

        Raises:
            ConstraintError: the grammar is malformed. llama-cpp-python finds that when it generates.
        """
        return cls(Gbnf(grammar))

    @classmethod
    def from_file(cls, file: str | Path, verbose: bool = True) -> Self:
        """Return the grammar in a file; see from_string.

        Raises:
            OSError: the file cannot be read.
        """
        return cls.from_string(Path(file).read_text(encoding="utf-8"), verbose)

    @classmethod
    def from_json_schema(cls, json_schema: str | dict[str, Any], verbose: bool = True) -> Self:
        """Return the grammar of a JSON schema.

        Args:
            json_schema: the schema, as JSON text or as a dictionary.
            verbose: has no effect.

        Raises:
            ConstraintError: the schema is malformed or asks for something that cannot be enforced.
        """
        return cls(JsonSchema(json.loads(json_schema) if isinstance(json_schema, str) else json_schema))
