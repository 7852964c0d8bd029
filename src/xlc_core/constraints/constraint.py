"""Constraints on answers: a JSON schema, a regular expression, one of a few texts, or a grammar.

    engine.chat(messages, constraint=JsonSchema(Person))

While the answer is generated, tokens that would violate the constraint are masked. So an answer that
ended by itself (``finish_reason="stop"``) matches it, and an answer that runs out of tokens is closed
in time. A constraint is plain data: it does not need an engine and can be shared between threads.
``accepts`` and ``explain`` check texts against it without running a model.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from xlc_core.constraints.checking import check_once, native_module
from xlc_core.texts import check_text

if TYPE_CHECKING:
    from xlc_core._native import Explanation

__all__ = ["Constraint"]

ConstraintKind = Literal["json_schema", "regex", "lark", "gbnf"]
GrammarKind = Literal["lark", "gbnf"]


class Constraint(abc.ABC):
    """Base of all constraints.

    Attributes:
        kind: the form that the user wrote: ``json_schema``, ``regex``, ``lark`` or ``gbnf``.
    """

    kind: ClassVar[ConstraintKind]

    @abc.abstractmethod
    def grammar(self) -> tuple[GrammarKind, str]:
        """Return the kind and the text of the grammar that answers are generated with.

        A Lark text begins with ``%llguidance``, so that llama.cpp passes it to llguidance.
        """

    def checking_grammar(self) -> tuple[GrammarKind, str]:
        """Return the grammar that checks texts from elsewhere; for JSON it allows any white space."""
        return self.grammar()

    def parse(self, text: str) -> Any:
        """Return the value that an answer describes; by default the text itself.

        Args:
            text: the answer.

        Raises:
            ValueError: the answer does not match, which happens when it was cut off.
        """
        return text

    def check(self) -> None:
        """Check that the constraint can be compiled. Does not need a model.

        Takes milliseconds for a constraint that is new; the grammars that passed last are remembered.

        Raises:
            ConstraintError: it is malformed or unsupported, or no text satisfies it.
            UnsupportedFeatureError: the package llguidance is not installed.
        """
        check_once(*self.grammar())

    def accepts(self, text: str) -> bool:
        """Return whether a text satisfies the constraint, byte by byte.

        Args:
            text: the whole answer; JSON may have any white space.

        Raises:
            InvalidRequestError: it is not a text, or holds a lone surrogate.
            XllamaError: the errors of ``check``.
        """
        accepted: bool = native_module().accepts(*self.checking_grammar(), check_text(text, "the text"))
        return accepted

    def explain(self, text: str) -> Explanation:
        """Return how far a text satisfies the constraint, byte by byte.

        It has the arguments and errors of accepts.
        """
        found: Explanation = native_module().explain(*self.checking_grammar(), check_text(text, "the text"))
        return found
