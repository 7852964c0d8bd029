r"""Patterns of Python and JavaScript for llguidance, which reads Rust's syntax and looks neither ahead nor behind.

A lookahead at the start of a pattern is another pattern that must match too: ``^(?=.*\d)\w+$`` is ``^.*\d`` and
``^\w+$``. So is the end's lookbehind. The negative ones have such a twin if they exclude a character, words, blank
texts, or texts that contain a character or a pair of them.
"""

from __future__ import annotations

import re

__all__ = ["translate"]

_LONGEST = 300
"""Characters of a pattern with lookaround that is translated: the time for it grows with their square."""
_FOREIGN = re.compile(
    r"""
      \\[bB]                       # word boundaries
    | \\[1-9] | \(\?P= | \\k<      # references to groups
    | \(\?<?[=!]                   # lookaround
    | \(\?> | [*+?}]\+             # atomic groups, possessive repeats
    | \(\?\(                       # conditions
    """,
    re.VERBOSE,
)
_ANY = r"[\s\S]*"
_ONE_CHAR = r"(?:\\[^bBdDsSwW1-9kpPuxAZz]|\[\^?(?:\\.|[^\]\\])+\]|[^\\\[\](){}|*+?^$.]|\\[dDsSwW])"
_CLASS_OF = {r"\d": r"\D", r"\D": r"\d", r"\s": r"\S", r"\S": r"\s", r"\w": r"\W", r"\W": r"\w"}


def translate(pattern: str) -> list[str] | None:
    """Return patterns that together match what a pattern matches; None if they are not known.

    Args:
        pattern: a regular expression that is searched in a text, in Python's syntax or JavaScript's.
    """
    translated = _unescape_ends(pattern)
    if not _is_foreign(translated):
        return [translated]
    if len(translated) > _LONGEST:
        return None
    flags, body = _leading_flags(translated)
    found: list[str] = []
    if body.startswith("^"):
        body = _take_lookaheads(body, found)
    if body.endswith("$"):
        body = _take_lookbehinds(body, found)
    parts = [flags + part for part in [body, *found]]
    return None if any(_is_foreign(part) for part in parts) else parts


def _is_foreign(pattern: str) -> bool:
    """Return whether a pattern has syntax that Rust's does not have, outside of classes of characters."""
    return any(_FOREIGN.match(pattern, start) for start in _places(pattern))


def _places(pattern: str) -> list[int]:
    """Return where the atoms of a pattern start, without those inside classes of characters."""
    places = []
    at = 0
    while at < len(pattern):
        places.append(at)
        if pattern[at] == "\\":
            at += 2
        elif pattern[at] == "[":
            at = _class_end(pattern, at)
        else:
            at += 1
    return places


def _class_end(pattern: str, start: int) -> int:
    at = start + 1
    if pattern.startswith("^", at):
        at += 1
    if pattern.startswith("]", at):
        at += 1
    while at < len(pattern) and pattern[at] != "]":
        at += 2 if pattern[at] == "\\" else 1
    return at + 1


def _unescape_ends(pattern: str) -> str:
    r"""Write Python's ``\Z`` as Rust's ``\z``, and JavaScript's ``\/`` without its escape."""
    return re.sub(r"\\(.)", lambda match: {"Z": r"\z", "/": "/"}.get(match[1], match[0]), pattern, flags=re.DOTALL)


def _leading_flags(pattern: str) -> tuple[str, str]:
    match = re.match(r"\(\?[imsx]+\)", pattern)
    return (match[0], pattern[match.end() :]) if match else ("", pattern)


def _take_lookaheads(body: str, found: list[str]) -> str:
    """Move the lookaheads after ``^`` to the patterns that must match too; return what is left."""
    while match := re.match(r"\^\(\?([=!])", body):
        end = _group_end(body, 1)
        inner = body[match.end() : end - 1] if end else ""
        twin = f"^(?:{inner})" if match[1] == "=" else _not_ahead(inner)
        if not end or twin is None or body[end : end + 1] in {"*", "+", "?", "{"} or "|" in _top_level(body):
            return body
        found.append(twin)
        body = "^" + body[end:]
    return body


def _take_lookbehinds(body: str, found: list[str]) -> str:
    """Move the lookbehinds before ``$`` to the patterns that must match too; return what is left."""
    while match := re.search(r"\(\?<([=!])((?:\\.|[^()\\])*)\)\$\Z", body):
        inner = match[2]
        negated = _negated(inner)
        twin = f"(?:{inner})$" if match[1] == "=" else f"^(?:{_ANY}{negated})?$" if negated else None
        if twin is None or "|" in _top_level(body):
            return body
        found.append(twin)
        body = body[: match.start()] + "$"
    return body


def _not_ahead(inner: str) -> str | None:
    """Return the pattern of the texts whose start a lookahead's expression does not match; None if not known."""
    if inner in {r"\s*$", r"\s*\z"}:
        return r"\S"
    if inner in {"$", r"\z"}:
        return r"[\s\S]"
    if negated := _negated(inner):
        return f"^(?:{negated}{_ANY})?$"
    if contained := re.fullmatch(rf"\.\*({_ONE_CHAR})({_ONE_CHAR})?", inner, re.DOTALL):
        return _not_containing(contained[1], contained[2])
    return _no_words(inner)


def _not_containing(first: str, second: str | None) -> str | None:
    """Return the pattern of the texts that do not contain a character, or two after each other."""
    if second is None:
        negated = _negated(first)
        return f"^{negated}*$" if negated else None
    one, two = _literal(first), _literal(second)
    if one is None or two is None:
        return None
    a, b = re.escape(one), re.escape(two)
    return f"^(?:[^{a}]|{a}[^{a}])*{a}?$" if one == two else f"^(?:[^{a}]|{a}+[^{a}{b}])*{a}*$"


def _no_words(inner: str) -> str | None:
    """Return the pattern of the texts that do not start with a word, or are not one; None if there are no words."""
    text, ends = (inner[:-1], True) if inner.endswith("$") else (inner, False)
    if group := re.fullmatch(r"\((?:\?:)?([^()]*)\)", text):
        text = group[1]
    words = []
    for part in text.split("|"):
        is_whole = part.endswith("$") and not ends
        letters = [_literal(char) for char in re.findall(r"\\?.", part.removesuffix("$") if is_whole else part)]
        if not letters or None in letters:
            return None
        words.append(("".join(filter(None, letters)), is_whole or ends))
    return f"^{_outside(words)}$"


def _outside(words: list[tuple[str, bool]]) -> str:
    """Return the expression for the texts that no word begins or, if it must be whole, is."""
    heads: dict[str, list[tuple[str, bool]]] = {}
    for word, is_whole in words:
        if word:
            heads.setdefault(word[0], []).append((word[1:], is_whole))
    ways = [f"[^{''.join(map(re.escape, heads))}]{_ANY}" if heads else rf"[\s\S]{_ANY}"]
    for head, tails in heads.items():
        if ("", False) not in tails:
            ways.append(re.escape(head) + _outside(tails))
    return f"(?:{'|'.join(ways)})" + ("" if ("", True) in words else "?")


def _literal(char: str) -> str | None:
    """Return the character that an expression stands for; None if it stands for others too."""
    if len(char) == 1:
        return None if char in r"\[](){}|*+?^$." else char
    return char[1] if len(char) == 2 and char[0] == "\\" and not char[1].isalnum() else None


def _negated(char: str) -> str | None:
    """Return the expression for every other character; None if the text is not an expression for one character."""
    if not re.fullmatch(_ONE_CHAR, char, re.DOTALL):
        return None
    if char in _CLASS_OF:
        return _CLASS_OF[char]
    if char.startswith("[^"):
        return f"[{char[2:]}"
    return f"[^{char[1:]}" if char.startswith("[") else f"[^{char}]"


def _group_end(pattern: str, start: int) -> int:
    """Return the place after the group that starts at ``start``; 0 if it does not end."""
    depth = 0
    for at in _places(pattern):
        if at < start:
            continue
        if pattern[at] == "(":
            depth += 1
        elif pattern[at] == ")":
            depth -= 1
            if depth == 0:
                return at + 1
    return 0


def _top_level(pattern: str) -> str:
    """Return the characters of a pattern outside of groups and classes."""
    depth = 0
    kept = []
    for at in _places(pattern):
        char = pattern[at]
        depth += (char == "(") - (char == ")")
        if depth == 0 and char not in "()[\\":
            kept.append(char)
    return "".join(kept)
