"""Texts of sections, each with a heading and a value, as DSPy's field markers make them."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass

from xlc_core.constraints import lark_text, schema_rewriting
from xlc_core.constraints.schema_grammar import schema_rule
from xlc_core.constraints.text_constraints import Lark
from xlc_core.constraints.text_patterns import NotTextError, kinds_of, text_term
from xlc_core.constraints.tool_arguments import resolver

__all__ = ["Section", "sections_constraint"]

_BEGUN = r"/(?:\S(?s:.*))?/"  # a weak model might begin with white space and not end it


@dataclass(frozen=True)
class Section:
    """A section of a text.

    Attributes:
        heading: the text before the value.
        schema: a type's JSON schema as JSON text. A value that is a string is written as it is, others as JSON.
        choices: texts that the value is one of, instead of a schema.
    """

    heading: str
    schema: str = "{}"
    choices: tuple[str, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether the value is written as it is, and not as JSON."""
        return bool(self.choices) or self._term is not None

    @functools.cached_property
    def _term(self) -> str | None:
        """The value as a term of regular expressions; None for a value that is JSON."""
        schema = json.loads(self.schema)
        if kinds_of(schema, resolver(schema)) != {"string"}:
            return None
        try:
            rewritten = schema_rewriting.rewritten(schema, is_type=True, narrow=True)
            return text_term(rewritten, resolver(rewritten))
        except NotTextError:
            return None

    def _rule(self, after: str, excluded: str) -> str:
        """Return the value and the text after it as a part of a grammar."""
        if self.choices:
            ways = " | ".join(json.dumps(choice, ensure_ascii=False) for choice in self.choices)
            return f"({ways}) {after}"
        if self._term is None:
            return f"{schema_rule(self.schema, is_type=True)} {after}"
        # One terminal: a text would take the beginning of what follows it.
        return f"(({self._term}) & {_BEGUN} & (~/(?s:.*){lark_text.regex_literal(excluded)}(?s:.*)/)) {after}"


def sections_constraint(sections: Sequence[Section], end: str, *, excluded: str) -> Lark:
    """Return the constraint of a text that is made of sections.

    Args:
        sections: the sections, in order, at least one. Between two stands an empty line.
        end: the text after the last section and an empty line.
        excluded: a text that no plain value contains: with which headings begin.

    Raises:
        ConstraintError: a schema cannot be enforced.
    """
    rules = {}
    following = [*(section.heading for section in sections[1:]), end]
    for number, (section, heading) in enumerate(zip(sections, following, strict=True)):
        rule = section._rule(json.dumps(f"\n\n{heading}", ensure_ascii=False), excluded)
        rules[f"SECTION_{number}" if section.is_plain else f"section_{number}"] = rule
    first = json.dumps(sections[0].heading, ensure_ascii=False)
    start = f"start: {first} {' '.join(rules)}"
    text = "\n".join([start, *(f"{name}: {rule}" for name, rule in rules.items())])
    return Lark(text, text_ends=(f"\n\n{excluded}",))
