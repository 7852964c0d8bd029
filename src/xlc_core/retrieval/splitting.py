"""Cutting documents that are too long for a model into pieces that fit. Each piece gets its own score."""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Iterable, KeysView, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from xlc_core.errors import InvalidRequestError
from xlc_core.texts import check_text

__all__ = ["Pieces", "TextRoom", "as_sequence", "check_documents", "split_documents", "split_text"]

_Item = TypeVar("_Item")

_CHARACTERS_PER_TOKEN = 4
"""Only a first guess; the tokens of each piece are counted."""


@dataclass(frozen=True)
class TextRoom:
    """How long a text may be.

    Attributes:
        n_tokens: tokens that it may have.
        count: returns how many tokens a text has; it may stop counting above ``n_tokens``.
    """

    n_tokens: int
    count: Callable[[str], int]


@dataclass(frozen=True)
class Pieces:
    """The pieces of documents.

    Attributes:
        texts: the pieces, in order.
        documents: for each piece, the index of its document.
        n_documents: number of documents.
    """

    texts: list[str]
    documents: list[int]
    n_documents: int

    def best(self, scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return for each document the score of its best piece."""
        best = np.full(self.n_documents, -np.inf, dtype=np.float32)
        np.maximum.at(best, self.documents, scores)
        return best


def as_sequence(texts: Iterable[_Item], what: str) -> Sequence[_Item]:
    """Return texts, or other items, in a form that the worker accepts: arrays, series and generators become lists.

    Args:
        texts: the items; a list or tuple is returned as it is.
        what: one of them, for the message, such as ``"text"``.

    Raises:
        InvalidRequestError: they are one text, or a table, or do not have an order.
    """
    if isinstance(texts, (list, tuple)):
        return texts
    if isinstance(texts, (str, bytes)):
        raise InvalidRequestError(f"expected a list of {what}s, not one {type(texts).__name__}; put it in a list")
    if getattr(texts, "ndim", 1) != 1 or hasattr(texts, "columns"):
        raise InvalidRequestError(f"expected a list of {what}s, not a {type(texts).__name__}; pass one of its columns")
    has_order = isinstance(texts, KeysView) or not isinstance(texts, (Mapping, Set))
    if has_order and isinstance(texts, Iterable):
        return list(texts)
    raise InvalidRequestError(f"expected a list of {what}s, not {type(texts).__name__}; convert it to a list")


def check_documents(documents: Sequence[str]) -> None:
    """Check that documents are a sequence of texts.

    Raises:
        InvalidRequestError: they are one text, or an item is not a text or holds a lone surrogate.
    """
    for index, document in enumerate(as_sequence(documents, "document")):
        if not isinstance(document, str):
            raise InvalidRequestError(f"document {index} must be a str, not {type(document).__name__}")
        check_text(document, f"document {index}")


def split_documents(documents: Sequence[str], count: Callable[[str], int], room: int, overlap: int) -> Pieces:
    """Cut the documents that have more than ``room`` tokens; see split_text.

    Raises:
        InvalidRequestError: a document is not a text.
    """
    documents = as_sequence(documents, "document")
    check_documents(documents)
    pieces = Pieces([], [], len(documents))
    for index, document in enumerate(documents):
        texts = split_text(document, count, room, overlap)
        pieces.texts.extend(texts)
        pieces.documents.extend([index] * len(texts))
    return pieces


def split_text(text: str, count: Callable[[str], int], room: int, overlap: int) -> list[str]:
    """Cut a text between words, or within a word that is too long.

    Args:
        text: the text.
        count: returns the number of tokens of a text; it may stop counting above ``room``.
        room: tokens that a piece may have.
        overlap: tokens at the end of a piece that are repeated at the start of the next one, so that a passage across
            the cut is complete in one of them; at most half of ``room`` is used.

    Returns:
        the pieces, in order; only the text itself when it fits.
    """
    # In any vocabulary a byte has fewer than four tokens, so the tokens of short texts need not be counted.
    if 4 * len(text.encode()) <= room or count(text) <= room:
        return [text]
    stops = [*(space.end() for space in re.finditer(r"\s+", text)), len(text)]
    overlap = min(overlap, room // 2)
    guess = room * _CHARACTERS_PER_TOKEN
    pieces: list[str] = []
    start = end = 0
    while end < len(text):
        if pieces and overlap:
            start = _overlap_start(start, end, stops, lambda a, b: count(text[a:b]) <= overlap)
        reached = _piece_end(text, start, stops, lambda a, b: count(text[a:b]) <= room, guess)
        if reached <= end:  # the next word does not fit beside the overlap
            start = end
            reached = _piece_end(text, start, stops, lambda a, b: count(text[a:b]) <= room, guess)
        pieces.append(text[start:reached])
        guess = reached - start
        end = reached
        if not overlap:
            start = end
    return pieces


def _piece_end(text: str, start: int, stops: Sequence[int], fits: Callable[[int, int], bool], guess: int) -> int:
    first = bisect.bisect_right(stops, start)
    if not fits(start, stops[first]):  # one word that is too long
        return _last(range(start + 1, stops[first]), lambda end: fits(start, end)) or start + 1
    reach = guess
    while start + reach < len(text) and fits(start, stops[bisect.bisect_left(stops, start + reach)]):
        reach *= 2
    window = stops[first : bisect.bisect_left(stops, start + reach) + 1]
    return _last(window, lambda end: fits(start, end)) or stops[first]


def _overlap_start(start: int, end: int, stops: Sequence[int], fits: Callable[[int, int], bool]) -> int:
    """Return the earliest word after ``start`` from which the rest of the piece is short enough to be repeated."""
    begins = stops[bisect.bisect_right(stops, start) : bisect.bisect_left(stops, end)]
    return _last(begins[::-1], lambda begin: fits(begin, end)) or end


def _last(candidates: Sequence[int], accepted: Callable[[int], bool]) -> int | None:
    """Return the last accepted candidate. All before it must be accepted too, and all after it refused."""
    n_accepted = bisect.bisect_left(range(len(candidates)), True, key=lambda i: not accepted(candidates[i]))
    return candidates[n_accepted - 1] if n_accepted else None
