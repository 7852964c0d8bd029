"""Writing grammars in llguidance's variant of Lark.

llama.cpp passes a grammar to llguidance when its text begins with ``%llguidance``. Regular
expressions and JSON schemas are embedded in such a text too, so all of them are handled alike.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["depth", "literal", "regex", "regex_literal", "with_rules", "with_thinking"]

HEADER = "%llguidance {}"

# Strings and expressions without an end reach to the end of their line: the search would look for their end again from
# each quote within them.
_ATOMS = re.compile(
    r"""
      (?P<comment> //[^\n]* | \#[^\n]* )
    | (?P<string>  "[^"\\\n]*(?:\\.[^"\\\n]*)*"? )
    | (?P<regex>   /[^/\\\n]*(?:\\.[^/\\\n]*)*(?:/[a-z]*)? )
    | (?P<token>   <[^\s<>]*> )
    | (?P<name>    [A-Za-z_][A-Za-z0-9_-]* )
    | (?P<other>   . )
    """,
    re.VERBOSE | re.DOTALL,
)


def with_rules(rules: str) -> str:
    """Return a complete grammar from rules; the rule ``start`` matches the whole answer."""
    # The header shares the first line, so that llguidance's messages have the user's line numbers.
    return rules if rules.startswith("%llguidance") else f"{HEADER} {rules}"


def regex(pattern: str) -> str:
    """Return a regular expression as a Lark term."""
    escaped = re.sub(
        r"\\.|[/\n\r\0]",
        lambda match: {"/": r"\/", "\n": r"\n", "\r": r"\r", "\0": r"\x00", "\\\n": r"\n"}.get(match[0], match[0]),
        pattern,
        flags=re.DOTALL,
    )
    return f"/{escaped}/"


def regex_literal(text: str) -> str:
    """Return a regular expression, without the slashes, that matches only this text."""
    return "".join(
        char if char.isalnum() or ord(char) > 0x7F or char in " _" else f"\\x{ord(char):02X}" for char in text
    )


def depth(grammar: str) -> int:
    """Return how deeply brackets are nested outside of strings and regular expressions."""
    deepest = level = 0
    for match in _ATOMS.finditer(grammar):
        if match["other"] in ("(", "[", "{"):
            level += 1
            deepest = max(deepest, level)
        elif match["other"] in (")", "]", "}"):
            level -= 1
    return deepest


def with_thinking(
    grammar: str,
    start_tag: str | None,
    end_tags: Sequence[str],
    *,
    token_ids: Mapping[str, int | str] | None = None,
    bridge: str = "XLC_GAP?",
    without: Sequence[str] = (),
) -> str:
    """Let a model think freely before an answer that a grammar constrains.

    A grammar applies from the first generated token, so without this a thinking model could not
    think.

    Args:
        grammar: a Lark text from ``Constraint.grammar()``.
        start_tag: the tag that opens the thinking; the model may skip the thinking. None if the prompt
            has opened it already.
        end_tags: the tags that close it; any one of them does.
        token_ids: the numbers of those tags that are one control token of the model. Such a token
            is not text, and only its number matches it. A tag of several tokens, the first of them a
            control token, is written as Lark.
        bridge: stands between thinking and answer, as Lark.
        without: texts that the thinking does not have.

    Returns:
        a Lark text. Up to four characters of white space may stand between thinking and answer.
    """
    if not end_tags:
        raise ValueError("with_thinking needs at least one end tag")
    ids = token_ids or {}
    texts = [tag for tag in end_tags if tag not in ids]
    tokens = [_written(ids[tag]) for tag in end_tags if tag in ids]

    endings = []
    if texts:
        suffix = "|".join(regex_literal(tag) for tag in texts)
        endings.append("xlc_thoughts_to_text")
    if tokens:
        endings.append(f"XLC_THOUGHTS ({' | '.join(tokens)})")
    rules = [f"xlc_thinking: ({' | '.join(endings)}) {bridge}", r"XLC_GAP: /[ \t\r\n]{1,4}/"]
    if texts:
        rules.append(rf"xlc_thoughts_to_text[suffix=/{suffix}/]: XLC_THOUGHTS")
    thoughts = [r"/(.|\n)*/", *(f"~/(?s:.*){regex_literal(text)}(?s:.*)/" for text in without)]
    rules.append(f"XLC_THOUGHTS: {' & '.join(thoughts)}")
    if start_tag is None:
        rules.insert(0, "start: xlc_thinking xlc_answer")
    else:
        opening = _written(ids[start_tag]) if start_tag in ids else f"/{regex_literal(start_tag)}/"
        rules.insert(0, f"start: ({opening} xlc_thinking)? xlc_answer")

    answer = _ATOMS.sub(lambda match: "xlc_answer" if match["name"] == "start" else match[0], grammar)
    return with_rules(answer) + "\n" + "\n".join(rules)


def literal(pieces: Iterable[tuple[str, int]]) -> str:
    """Return a text as Lark; its pieces are control tokens with their numbers, and text with -1."""
    return " ".join(_written(token) if token >= 0 else json.dumps(text, ensure_ascii=False) for text, token in pieces)


def _written(token: int | str) -> str:
    return token if isinstance(token, str) else f"<[{token}]>"
