"""Writes the parts of calls as Lark: rules, terminals for plain texts, and literals with control tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from xlc_core.constraints import lark_text
from xlc_core.constraints.text_patterns import ANY_TEXT
from xlc_core.generation.call_items import Item, Rule, Text, Word, joined, with_spaces

__all__ = ["ANY_ATTRIBUTE", "CallText", "Cut", "UnknownFormatError"]

ANY_ATTRIBUTE = r"/[^\n]{0,64}/"

Cut = Callable[[str], Sequence[tuple[str, int]]]
"""Cuts a text at control tokens and returns the pieces with the tokens' numbers, or -1 for text."""


class UnknownFormatError(Exception):
    """The parser has a part that cannot be written as a grammar."""


class CallText:
    """The rules of a grammar of calls.

    Attributes:
        rules: right sides by name.
        text_ends: texts that end a plain text; the values are not used.
    """

    def __init__(self, cut: Cut) -> None:
        self._cut = cut
        self.rules: dict[str, str] = {}
        self.text_ends: dict[str, None] = {}

    def render(self, items: list[Item]) -> str:
        """Return the right side of a rule.

        Raises:
            UnknownFormatError: a plain text does not have an end.
        """
        items = joined(with_spaces(items))
        parts = []
        skip = ""
        for i, item in enumerate(items):
            if isinstance(item, Word):
                parts.append(self.literal(item.text.removeprefix(skip)))
                skip = ""
            elif isinstance(item, Text):
                following = items[i + 1] if i + 1 < len(items) else None
                if not isinstance(following, Word):
                    raise UnknownFormatError("a text without an end")
                part, skip = self._text(item, following.text)
                parts.append(part)
            elif isinstance(item, Rule):
                parts.append(item.text)
            else:
                parts.append("XLC_SPACE?")
        return " ".join(filter(None, parts))

    def literal(self, text: str) -> str:
        """Return a text that is written as it is; its control tokens are tokens."""
        return lark_text.literal(self._cut(text)) if text else ""

    def _text(self, item: Text, following: str) -> tuple[str, str]:
        """Return the terminal for a text, and the part of the literal behind it that is in the terminal."""
        delimiters = [one for one in item.delimiters if not self._has_token(one)]
        refused = [f"(?s:.*){lark_text.regex_literal(one)}(?s:.*)" for one in delimiters]
        # Nor may a delimiter begin in the text and end in what follows.
        for one in delimiters:
            starts = [one[:k] for k in range(1, len(one)) if following.startswith(one[k:])]
            refused += [f"(?s:.*){lark_text.regex_literal(start)}" for start in starts]
        refused += [f"{lark_text.regex_literal(one)}(?s:.*)" for one in item.not_first]
        terms = [item.term, *(f"~/{one}/" for one in refused)]
        if not refused:
            term = item.term
        else:
            # A negation alone also matches what is not UTF-8.
            known = [] if item.term in (ANY_TEXT, ANY_ATTRIBUTE) else [ANY_TEXT]
            term = " & ".join(f"({one})" for one in (*known, *terms))
        end, token = self._cut(following)[0]
        if token >= 0:
            return self.name_of(term, "XLC_TEXT_"), ""
        self.text_ends[end] = None
        return self.name_of(f"({term}) {json.dumps(end, ensure_ascii=False)}", "XLC_TEXT_"), end

    def _has_token(self, text: str) -> bool:
        return any(token >= 0 for _, token in self._cut(text))

    def name_of(self, text: str, prefix: str) -> str:
        """Return the name of a rule or terminal; equal ones have one name."""
        known = next((name for name, other in self.rules.items() if other == text), None)
        name = known or f"{prefix}{len(self.rules)}"
        self.rules[name] = text
        return name
