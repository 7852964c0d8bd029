"""Writing grammars in llguidance's variant of Lark.

llama.cpp hands a grammar to llguidance when its text begins with ``%llguidance``; regular
expressions and JSON schemas travel inside such a text too, so everything takes the same way.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["depth", "regex", "regex_literal", "with_rules", "with_thinking"]

HEADER = "%llguidance {}"

_ATOMS = re.compile(
    r"""
      (?P<comment> //[^\n]* | \#[^\n]* )
    | (?P<string>  "(?:\\.|[^"\\\n])*" )
    | (?P<regex>   /(?:\\.|[^/\\\n])+/[a-z]* )
    | (?P<token>   <[^\s<>]*> )
    | (?P<name>    [A-Za-z_][A-Za-z0-9_-]* )
    | (?P<other>   . )
    """,
    re.VERBOSE | re.DOTALL,
)


def with_rules(rules: str) -> str:
    """Make a whole grammar of its rules, of which ``start`` is the first to match."""
    # On the same line, so that the lines in llguidance's messages are the user's.
    return rules if rules.startswith("%llguidance") else f"{HEADER} {rules}"


def regex(pattern: str) -> str:
    """Write a regular expression as a Lark term."""
    escaped = re.sub(
        r"\\.|[/\n\r\0]",
        lambda match: {"/": r"\/", "\n": r"\n", "\r": r"\r", "\0": r"\x00", "\\\n": r"\n"}.get(match[0], match[0]),
        pattern,
        flags=re.DOTALL,
    )
    return f"/{escaped}/"


def regex_literal(text: str) -> str:
    """Write a text as a regular expression, without the slashes, that matches only that text."""
    return "".join(
        char if char.isalnum() or ord(char) > 0x7F or char in " _" else f"\\x{ord(char):02X}" for char in text
    )


def depth(grammar: str) -> int:
    """Say how deeply brackets are nested outside of strings and regular expressions."""
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
    token_ids: Mapping[str, int] | None = None,
) -> str:
    """Let a model think freely before an answer that a grammar constrains.

    A grammar holds from the first generated token on: without this a thinking model could not
    think.

    Args:
        grammar: a Lark text, as ``Constraint.grammar()`` gives it.
        start_tag: what opens the thinking, which the model may then skip; None where the prompt
            has opened it already.
        end_tags: what closes it; any one of them.
        token_ids: the numbers of those tags that are one control token of the model. Such a token
            is not text, and only its number matches it.

    Returns:
        a Lark text. Up to four characters of white space may stand between thinking and answer.
    """
    if not end_tags:
        raise ValueError("with_thinking needs at least one end tag")
    ids = token_ids or {}
    texts = [tag for tag in end_tags if tag not in ids]
    tokens = [f"<[{ids[tag]}]>" for tag in end_tags if tag in ids]

    endings = []
    if texts:
        suffix = "|".join(regex_literal(tag) for tag in texts)
        endings.append("xlc_thoughts_to_text")
    if tokens:
        endings.append(f"XLC_THOUGHTS ({' | '.join(tokens)})")
    rules = [f"xlc_thinking: ({' | '.join(endings)}) XLC_GAP?", r"XLC_GAP: /[ \t\r\n]{1,4}/"]
    if texts:
        rules.append(rf"xlc_thoughts_to_text[suffix=/{suffix}/]: XLC_THOUGHTS")
    rules.append(r"XLC_THOUGHTS: /(.|\n)*/")
    if start_tag is None:
        rules.insert(0, "start: xlc_thinking xlc_answer")
    else:
        opening = f"<[{ids[start_tag]}]>" if start_tag in ids else f"/{regex_literal(start_tag)}/"
        rules.insert(0, f"start: ({opening} xlc_thinking)? xlc_answer")

    answer = _ATOMS.sub(lambda match: "xlc_answer" if match["name"] == "start" else match[0], grammar)
    return with_rules(answer) + "\n" + "\n".join(rules)
