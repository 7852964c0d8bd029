"""The parts of a call's text, between the nodes of a parser and the text of a grammar."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Item", "Rule", "Space", "Text", "Tight", "Word", "joined", "times", "with_spaces", "without_last_space"]


@dataclass(frozen=True)
class Word:
    """Text that is written as it is."""

    text: str


@dataclass(frozen=True)
class Space:
    """White space, or none."""


@dataclass(frozen=True)
class Text:
    """Plain text that ends at a delimiter."""

    term: str
    delimiters: tuple[str, ...]
    not_first: tuple[str, ...] = ()  # texts that it must not begin with


@dataclass(frozen=True)
class Rule:
    """A part that is a grammar already."""

    text: str


@dataclass(frozen=True)
class Tight:
    """Where the parser looks ahead for what follows, so that no white space may stand here."""


Item = Word | Space | Text | Rule | Tight


def with_spaces(items: list[Item]) -> list[Item]:
    """Replace optional white space by the usual one, where JSON's punctuation stands, so that it is forced."""
    result: list[Item] = []
    for i, item in enumerate(items):
        if i > 0 and isinstance(items[i - 1], Tight) and isinstance(item, Space):
            continue
        if not isinstance(item, Space):
            result.append(item)
            continue
        before = result[-1].text if result and isinstance(result[-1], Word) else ""
        following = items[i + 1] if i + 1 < len(items) else None
        behind = following.text if isinstance(following, Word) else ""
        if before.endswith((":", ",")):
            result.append(Word(" "))
        elif not (behind.startswith((",", ":", "}", "]", ")")) or before.endswith(("{", "[", "(", "\n", " "))):
            result.append(item)
    return result


def without_last_space(items: list[Item]) -> list[Item]:
    """Drop the white space behind everything else, on which a model would spend tokens."""
    while items and isinstance(items[-1], (Space, Tight)):
        items = items[:-1]
    return items


def joined(items: list[Item]) -> list[Item]:
    """Join texts that follow each other, and drop repeated white space."""
    result: list[Item] = []
    for item in items:
        if isinstance(item, Tight):
            continue
        if isinstance(item, Word) and result and isinstance(result[-1], Word):
            result[-1] = Word(result[-1].text + item.text)
        elif not (isinstance(item, Space) and result and isinstance(result[-1], Space)):
            result.append(item)
    return result


def times(least: int, most: int) -> str:
    """Return the sign of a repetition; ``most`` is negative without a limit."""
    short = {(0, 1): "?", (0, -1): "*", (1, -1): "+", (1, 1): ""}
    return short.get((least, most), f"{{{least},{'' if most < 0 else most}}}")
