"""Constraints to JSON: a value that a schema or a type describes, or any object."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import Self

from xlc_core.constraints import schema_rewriting
from xlc_core.constraints.checking import native_module
from xlc_core.constraints.constraint import Constraint, ConstraintKind, GrammarKind
from xlc_core.constraints.property_order import accepted_in_some_order
from xlc_core.constraints.reading import adapter_of, dump_json, load_json, plain_json, require_all, schema_of
from xlc_core.constraints.schema_grammar import schema_grammar
from xlc_core.errors import ConstraintError
from xlc_core.nesting import from_json
from xlc_core.texts import check_text, show_value

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = ["JsonObject", "JsonSchema"]


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
        ConstraintError: the schema is not JSON or larger than 2²⁰ characters, or the type does not have a schema.
            ``check``, and the first request, find keywords that are not supported.

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

        Args:
            schema: the type's JSON schema.

        Raises:
            ConstraintError: it is too large or nested too deeply.
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

        Args:
            text: the whole answer, with any white space.

        Raises:
            InvalidRequestError: it is not a text, or holds a lone surrogate.
            XllamaError: the errors of ``check``.
        """
        kind, grammar = self.checking_grammar()
        native = native_module()
        candidate = plain_json(check_text(text, "the text"))
        return accepted_in_some_order(lambda order: native.explain(kind, grammar, order), candidate)

    def parse(self, text: str) -> Any:
        """Return an answer as an instance of the type, or as plain dicts, lists and scalars.

        Args:
            text: the answer.

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
        return super().accepts(plain_json(check_text(text, "the text")))

    def parse(self, text: str) -> Any:
        """Return an answer as a dict.

        Args:
            text: the answer.

        Raises:
            ValueError: the answer is not JSON, which happens when it was cut off.
        """
        return from_json(text)
