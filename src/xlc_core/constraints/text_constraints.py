"""Constraints to texts: a regular expression, one of a few texts, or a grammar."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

from xlc_core.constraints import lark_text
from xlc_core.constraints.constraint import Constraint, ConstraintKind, GrammarKind
from xlc_core.constraints.reading import check_depth, check_source
from xlc_core.errors import ConstraintError
from xlc_core.texts import show_value

__all__ = ["Choice", "Gbnf", "Lark", "Regex"]


@dataclass(frozen=True)
class Regex(Constraint):
    r"""A text that a regular expression matches from its start to its end.

    The syntax is that of Rust's ``regex`` crate: Python's, without lookaround, ``\b`` and
    backreferences.

    Args:
        pattern: the expression, such as ``r"\d{4}-\d{2}"``.

    Raises:
        ConstraintError: the pattern is empty, larger than 2²⁰ characters, or ends with an incomplete escape. ``check``,
            and the first request, find syntax that is not supported.
    """

    kind: ClassVar[ConstraintKind] = "regex"

    pattern: str

    def __post_init__(self) -> None:
        check_source(self.pattern, "regular expression")
        if (len(self.pattern) - len(self.pattern.rstrip("\\"))) % 2:
            raise ConstraintError(f"the regular expression {self.pattern[-40:]!r} ends with an incomplete escape")

    def grammar(self) -> tuple[GrammarKind, str]:  # noqa: D102
        return "lark", lark_text.with_rules(f"start: {lark_text.regex(self.pattern)}")


@dataclass(frozen=True)
class Choice(Constraint):
    """One of a few texts.

    Args:
        choices: the texts, as ``Choice("yes", "no")``.

    Raises:
        ConstraintError: no texts are given, one is empty or not a text, two are equal, or together they have more than
            2²⁰ characters.
    """

    kind: ClassVar[ConstraintKind] = "regex"

    choices: tuple[str, ...]

    def __init__(self, *choices: str) -> None:
        if not choices:
            raise ConstraintError("Choice needs at least one text, as in Choice('yes', 'no')")
        for choice in choices:
            if not isinstance(choice, str):
                raise ConstraintError(f"Choice takes texts, got {show_value(choice)}; write Choice(*values) for a list")
            check_source(choice, "choice")
        check_source("|".join(choices), "list of choices")
        for choice, n in Counter(choices).items():
            if n > 1:
                raise ConstraintError(f"Choice has {choice!r} more than once")
        object.__setattr__(self, "choices", choices)

    def grammar(self) -> tuple[GrammarKind, str]:  # noqa: D102
        pattern = "|".join(lark_text.regex_literal(choice) for choice in self.choices)
        return "lark", lark_text.with_rules(f"start: /{pattern}/")

    def parse(self, text: str) -> str:
        """Return the answer, which is one of the choices.

        Args:
            text: the answer.

        Raises:
            ValueError: the answer is not one of them, which happens when it was cut off.
        """
        if text not in self.choices:
            raise ValueError(f"{text[:80]!r} is not one of the choices {self.choices!r}")
        return text


@dataclass(frozen=True)
class Lark(Constraint):
    """A context-free grammar in llguidance's variant of Lark, with a rule ``start``.

    Args:
        text: the grammar. It may embed ``%json {...}`` and, with an engine, name control tokens as
            ``<|name|>``.
        text_ends: texts that end a plain text in an answer, after which no more of it may come. They help to close an
            answer whose tokens run out there. Quotes and brackets are known.

    Raises:
        ConstraintError: the text is empty, larger than 2²⁰ characters, or nested more than 64 deep; or ``text_ends``
            are not texts. ``check``, and the first request, find wrong syntax.
    """

    kind: ClassVar[ConstraintKind] = "lark"

    text: str
    text_ends: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_source(self.text, "grammar")
        check_depth(lark_text.depth(self.text), "grammar")
        if not isinstance(self.text_ends, tuple) or not all(isinstance(end, str) and end for end in self.text_ends):
            raise ConstraintError(f"text_ends must be a tuple of texts, got {show_value(self.text_ends)}")

    def grammar(self) -> tuple[GrammarKind, str]:  # noqa: D102
        return "lark", lark_text.with_rules(self.text)


@dataclass(frozen=True)
class Gbnf(Constraint):
    """A context-free grammar in llama.cpp's GBNF, with a rule ``root``; llama.cpp's engine runs it.

    Args:
        text: the grammar.

    Raises:
        ConstraintError: the text is empty or larger than 2²⁰ characters. ``check``, and the first request, find wrong
            syntax.
    """

    kind: ClassVar[ConstraintKind] = "gbnf"

    text: str

    def __post_init__(self) -> None:
        check_source(self.text, "grammar")

    def grammar(self) -> tuple[GrammarKind, str]:  # noqa: D102
        return "gbnf", self.text
