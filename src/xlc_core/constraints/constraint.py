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
import importlib.machinery
import importlib.util
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from xlc_core.constraints import lark_text, schema_rewriting
from xlc_core.constraints.lark_text import with_thinking
from xlc_core.constraints.property_order import accepted_in_some_order
from xlc_core.constraints.reading import (
    adapter_of,
    check_depth,
    check_source,
    dump_json,
    load_json,
    plain_json,
    schema_of,
)
from xlc_core.errors import ConstraintError, UnsupportedFeatureError

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
    "llguidance_library",
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
        """Check that the constraint can be compiled. Takes milliseconds and does not need a model.

        Raises:
            ConstraintError: it is malformed or unsupported, or no text satisfies it.
            UnsupportedFeatureError: the package llguidance is not installed.
        """
        _native_module().check_constraint(*self.grammar())

    def accepts(self, text: str) -> bool:
        """Return whether a text satisfies the constraint; raises the errors of ``check``."""
        accepted: bool = _native_module().accepts(*self.checking_grammar(), text)
        return accepted

    def explain(self, text: str) -> Explanation:
        """Return how far a text satisfies the constraint; raises the errors of ``check``."""
        found: Explanation = _native_module().explain(*self.checking_grammar(), text)
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

    Raises:
        ConstraintError: the schema is not JSON or too large, or the type does not have a schema.

    Attributes:
        text: the schema as JSON text.
    """

    kind: ClassVar[ConstraintKind] = "json_schema"

    text: str
    _adapter: TypeAdapter[Any] | None = field(repr=False, compare=False)

    def __init__(self, schema: Any) -> None:
        adapter = None
        if isinstance(schema, str):
            schema = load_json(schema)
        elif not isinstance(schema, Mapping):
            adapter = adapter_of(schema)
            schema = schema_of(adapter)
        if not isinstance(schema, Mapping):
            raise ConstraintError(f"a JSON schema is an object, got {str(schema)[:40]!r}")
        object.__setattr__(self, "text", dump_json(schema))
        object.__setattr__(self, "_adapter", adapter)

    @property
    def schema(self) -> dict[str, Any]:
        """The schema, as a copy that the caller may change."""
        schema: dict[str, Any] = json.loads(self.text)
        return schema

    def grammar(self) -> tuple[GrammarKind, str]:  # noqa: D102
        compact = {
            "whitespace_flexible": False,
            "item_separator": ", ",
            "key_separator": ": ",
        }
        return "lark", lark_text.with_rules(f"start: {self._rule(compact)}")

    def checking_grammar(self) -> tuple[GrammarKind, str]:  # noqa: D102
        rule = self._rule({"whitespace_flexible": True})
        return "lark", lark_text.with_rules(f"start: SPACE? json SPACE?\njson: {rule}\nSPACE: /[ \\t\\r\\n]+/")

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
        native = _native_module()
        return accepted_in_some_order(lambda candidate: native.explain(kind, grammar, candidate), plain_json(text))

    def _rule(self, whitespace: dict[str, Any]) -> str:
        schema = self.schema
        # For a type, parse() checks the answer anyway, so oneOf may be treated as anyOf.
        assumed = {"coerce_one_of": True} if self._adapter else {}
        options = schema.get("x-guidance", {})
        schema = schema_rewriting.rewritten(schema)
        schema["x-guidance"] = {**whitespace, **assumed, **options}
        return "%json " + json.dumps(schema, ensure_ascii=False)

    def parse(self, text: str) -> Any:
        """Convert an answer into an instance of the type, or into plain dicts, lists and scalars.

        Raises:
            ValueError: the answer does not match (a pydantic ``ValidationError`` for a type), which
                happens when it was cut off.
        """
        return self._adapter.validate_json(text) if self._adapter else json.loads(text)


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
        return json.loads(text)


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
        if len(re.findall(r"\\*\Z", self.pattern)[0]) % 2:
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
                raise ConstraintError(f"Choice takes texts, got {choice!r}; write Choice(*values) for a list")
            check_source(choice, "choice")
            if choices.count(choice) > 1:
                raise ConstraintError(f"Choice has {choice!r} more than once")
        check_source("|".join(choices), "list of choices")
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
    return JsonSchema(value)


def _native_module() -> Any:
    from xlc_core import _native

    _native.set_llguidance_path(llguidance_library())
    return _native


@functools.cache
def llguidance_library() -> str:
    """Return the path of llguidance's native library, without importing the package, which would load it.

    Raises:
        UnsupportedFeatureError: the package is not installed.
    """
    package = importlib.util.find_spec("llguidance")
    folders = package.submodule_search_locations if package is not None else None
    library = importlib.machinery.PathFinder.find_spec("_lib", folders) if folders else None
    if library is None or library.origin is None:
        raise UnsupportedFeatureError(
            "constraints need the package llguidance; install it with: pip install 'llguidance>=1.7.5,<2'"
        )
    return library.origin


def _regex_of(pattern: re.Pattern[Any]) -> Regex:
    if not isinstance(pattern.pattern, str):
        raise ConstraintError("a regular expression over bytes cannot constrain text; compile it from a str")
    flags = "".join(
        letter for letter, flag in (("i", re.I), ("m", re.M), ("s", re.S), ("x", re.X)) if pattern.flags & flag
    )
    if pattern.flags & re.ASCII:
        raise ConstraintError("re.ASCII is not supported; write [0-9] for \\d and [A-Za-z0-9_] for \\w")
    return Regex(f"(?{flags}){pattern.pattern}" if flags else pattern.pattern)
