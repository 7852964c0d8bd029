"""Constraints on answers: a JSON schema, a regular expression, one of a few texts, or a grammar.

    engine.chat(messages, constraint=JsonSchema(Person))

While the answer is generated, tokens that would violate the constraint are masked. So an answer that
ended by itself (``finish_reason="stop"``) matches it, and an answer that runs out of tokens is closed
in time. A constraint is plain data: it does not need an engine and can be shared between threads.
``accepts`` and ``explain`` check texts against it without running a model.
"""

from __future__ import annotations

import abc
import functools
import json
import re
from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from typing_extensions import Self

from xlc_core.constraints import lark_text, schema_rewriting
from xlc_core.constraints.checking import check_once, native_module
from xlc_core.constraints.lark_text import with_thinking
from xlc_core.constraints.property_order import accepted_in_some_order
from xlc_core.constraints.reading import (
    adapter_of,
    check_depth,
    check_source,
    dump_json,
    load_json,
    plain_json,
    require_all,
    schema_of,
)
from xlc_core.constraints.schema_grammar import schema_grammar
from xlc_core.errors import ConstraintError
from xlc_core.nesting import from_json
from xlc_core.texts import show_value

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from xlc_core._native import Explanation

__all__ = [
    "Choice",
    "Constraint",
    "Gbnf",
    "JsonObject",
    "JsonSchema",
    "Lark",
    "Regex",
    "constraint_key",
    "to_constraint",
    "with_thinking",
]

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
        """Convert an answer into the value that the constraint describes; by default the text itself.

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
        """Return whether a text satisfies the constraint; raises the errors of ``check``."""
        accepted: bool = native_module().accepts(*self.checking_grammar(), text)
        return accepted

    def explain(self, text: str) -> Explanation:
        """Return how far a text satisfies the constraint; raises the errors of ``check``."""
        found: Explanation = native_module().explain(*self.checking_grammar(), text)
        return found


@dataclass(frozen=True)
class JsonSchema(Constraint):
    """A JSON value that a schema describes.

    Objects are written with their properties in the schema's order, and with one space after commas
    and colons: if any white space were allowed, weak models would write it until their tokens run out.
    A top-level ``"x-guidance"`` in the schema overrides this (docs/constraints.md).

    Args:
        schema: a JSON schema as a dict or as JSON text; or a type: a pydantic model, dataclass,
            TypedDict, any other type that pydantic knows such as ``list[int]``, or a
            ``TypeAdapter``. For a type, ``parse`` returns its instances.
        strict: whether every property that the schema names is required, and no others are allowed.

    Raises:
        ConstraintError: the schema is not JSON or too large, or the type does not have a schema.

    Attributes:
        text: the schema as JSON text.
    """

    kind: ClassVar[ConstraintKind] = "json_schema"

    text: str
    _adapter: TypeAdapter[Any] | None = field(repr=False, compare=False)
    _is_checked_elsewhere: bool = field(default=False, repr=False, compare=False)

    def __init__(self, schema: Any, *, strict: bool = False) -> None:
        adapter = None
        if isinstance(schema, str):
            schema = load_json(schema)
        elif not isinstance(schema, Mapping):
            adapter = adapter_of(schema)
            schema = schema_of(adapter)
        if not isinstance(schema, Mapping):
            raise ConstraintError(f"a JSON schema is an object, got {show_value(schema)}")
        text = dump_json(schema)
        object.__setattr__(self, "text", dump_json(require_all(json.loads(text))) if strict else text)
        object.__setattr__(self, "_adapter", adapter)

    @classmethod
    def checked_elsewhere(cls, schema: Mapping[str, Any]) -> Self:
        """Return the constraint of a schema that somebody made of a type, which checks the answers there.

        Keywords that no grammar enforces are then hints instead of errors.
        """
        made = cls(schema)
        object.__setattr__(made, "_is_checked_elsewhere", True)
        return made

    @property
    def is_type(self) -> bool:
        """Whether a type checks the answers too: the type that ``parse`` returns instances of, or one elsewhere."""
        return self._adapter is not None or self._is_checked_elsewhere

    @property
    def schema(self) -> dict[str, Any]:
        """The schema, as a copy that the caller may change."""
        schema: dict[str, Any] = json.loads(self.text)
        return schema

    def grammar(self) -> tuple[GrammarKind, str]:  # noqa: D102
        return "lark", schema_grammar(self.text, is_type=self.is_type)

    def checking_grammar(self) -> tuple[GrammarKind, str]:  # noqa: D102
        return "lark", schema_grammar(self.text, is_type=self.is_type, any_space=True)

    def check(self) -> None:  # noqa: D102
        try:
            super().check()
        except ConstraintError as error:
            raise ConstraintError(schema_rewriting.with_places(str(error), self.schema)) from None

    def accepts(self, text: str) -> bool:
        """Return whether a text satisfies the schema, with any order of properties and any escapes.

        Raises the errors of ``check``.
        """
        kind, grammar = self.checking_grammar()
        native = native_module()
        return accepted_in_some_order(lambda candidate: native.explain(kind, grammar, candidate), plain_json(text))

    def parse(self, text: str) -> Any:
        """Convert an answer into an instance of the type, or into plain dicts, lists and scalars.

        Raises:
            ValueError: the answer does not match (a pydantic ``ValidationError`` for a type), which
                happens when it was cut off.
        """
        return self._adapter.validate_json(text) if self._adapter else from_json(text)


@dataclass(frozen=True)
class JsonObject(Constraint):
    """Any JSON object. Prefer ``JsonSchema``, which tells the model where to stop."""

    kind: ClassVar[ConstraintKind] = "json_schema"

    def grammar(self) -> tuple[GrammarKind, str]:  # noqa: D102
        return JsonSchema({"type": "object"}).grammar()

    def checking_grammar(self) -> tuple[GrammarKind, str]:  # noqa: D102
        return JsonSchema({"type": "object"}).checking_grammar()

    def accepts(self, text: str) -> bool:  # noqa: D102
        return super().accepts(plain_json(text))

    def parse(self, text: str) -> Any:
        """Convert an answer into a dict.

        Raises:
            ValueError: the answer is not JSON, which happens when it was cut off.
        """
        return from_json(text)


@dataclass(frozen=True)
class Regex(Constraint):
    r"""A text that a regular expression matches from its start to its end.

    The syntax is that of Rust's ``regex`` crate: Python's, without lookaround, ``\b`` and
    backreferences.

    Args:
        pattern: the expression, such as ``r"\d{4}-\d{2}"``.

    Raises:
        ConstraintError: the pattern is empty or too large, or ends with an incomplete escape.
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
        ConstraintError: there are no texts, one is empty, or two are equal.
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

    Raises:
        ConstraintError: the text is empty, too large, or nested too deeply.
    """

    kind: ClassVar[ConstraintKind] = "lark"

    text: str

    def __post_init__(self) -> None:
        check_source(self.text, "grammar")
        check_depth(lark_text.depth(self.text), "grammar")

    def grammar(self) -> tuple[GrammarKind, str]:  # noqa: D102
        return "lark", lark_text.with_rules(self.text)


@dataclass(frozen=True)
class Gbnf(Constraint):
    """A context-free grammar in llama.cpp's GBNF, with a rule ``root``; llama.cpp's engine runs it.

    Args:
        text: the grammar.

    Raises:
        ConstraintError: the text is empty or too large.
    """

    kind: ClassVar[ConstraintKind] = "gbnf"

    text: str

    def __post_init__(self) -> None:
        check_source(self.text, "grammar")

    def grammar(self) -> tuple[GrammarKind, str]:  # noqa: D102
        return "gbnf", self.text


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
