"""Our errors as a framework's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from xlc_core.errors import XllamaError

__all__ = ["find_counterpart", "raise_as"]

_Kind = TypeVar("_Kind")


@contextmanager
def raise_as(convert: Callable[[XllamaError], Exception]) -> Iterator[None]:
    """Raise a framework's errors instead of ours, which stay their cause.

    Args:
        convert: returns the framework's error for one of ours.
    """
    try:
        yield
    except XllamaError as error:
        raise convert(error) from error


def find_counterpart(error: XllamaError, counterparts: Mapping[type[XllamaError], _Kind]) -> _Kind:
    """Return the class that stands for an error: that of its own class, or of the nearest one that it derives from.

    Args:
        error: the error.
        counterparts: classes of the framework by ours. It has ``XllamaError``.
    """
    return next(counterparts[base] for base in type(error).__mro__ if base in counterparts)
