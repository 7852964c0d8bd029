"""Regular expressions for ranges and exclusions, as parts of the patterns that schemas are rewritten into."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["between", "integers", "other_than"]


def between(low: str, high: str) -> str:
    """Return an expression for the texts from ``low`` to ``high`` that have their length and only differ in digits.

    Args:
        low: the first text, such as ``2024-01-31``; digits stand at the same places as in ``high``.
        high: the last text, not before ``low``.
    """
    if low == high:
        return low.replace(".", "[.]")
    head, tail = low[0], low[1:]
    if head == high[0]:
        return (head if head != "." else "[.]") + between(tail, high[1:])
    first, last = int(head), int(high[0])
    least = "".join("0" if char.isdigit() else char for char in tail)
    most = "".join("9" if char.isdigit() else char for char in tail)
    parts = []
    if tail != least:
        parts.append(head + between(tail, most))
        first += 1
    if high[1:] != most:
        last -= 1
    if first <= last:
        middle = str(first) if first == last else f"[{first}-{last}]"
        parts.append(middle + "".join("[0-9]" if char.isdigit() else char for char in most))
    if high[1:] != most:
        parts.append(high[0] + between(least, high[1:]))
    return parts[0] if len(parts) == 1 else f"(?:{'|'.join(parts)})"


def integers(low: int | None, high: int | None) -> str:
    """Return an expression for the integers of a range, without leading zeros; None: without a limit."""
    if low is not None and high is not None and low > high:
        return "[^\\s\\S]"
    parts = []
    if low is None or low < 0:
        nearest = 1 if high is None else max(1, -high)
        parts.append(f"-{_natural(nearest, None if low is None else -low)}")
    if high is None or high >= 0:
        parts.append(_natural(0 if low is None else max(0, low), high))
    return f"(?:{'|'.join(parts)})"


def _natural(low: int, high: int | None) -> str:
    """Return an expression for the integers from ``low``, which is not negative."""
    n_low = len(str(low))
    n_high = n_low if high is None else len(str(high))
    parts = []
    for n in range(n_low, n_high + 1):
        first = max(low, 10 ** (n - 1) if n > 1 else 0)
        last = 10**n - 1 if high is None else min(high, 10**n - 1)
        parts.append(between(str(first), str(last)))
    if high is None:
        parts.append(f"[1-9][0-9]{{{n_low},}}")
    return f"(?:{'|'.join(parts)})"


def other_than(words: Iterable[str], alphabet: str = "abcdefghijklmnopqrstuvwxyz") -> str:
    """Return an expression for the texts over an alphabet that are not empty and none of the words."""
    return _other_than(frozenset(words), alphabet, is_start=True)


def _other_than(words: frozenset[str], alphabet: str, *, is_start: bool = False) -> str:
    heads = sorted({word[0] for word in words if word})
    if not heads:  # the only word ends here
        return f"[{alphabet}]+"
    rest = "".join(char for char in alphabet if char not in heads)
    parts = [f"[{rest}][{alphabet}]*"] if rest else []
    for head in heads:
        tails = frozenset(word[1:] for word in words if word.startswith(head))
        parts.append(f"{head}{_other_than(tails, alphabet)}")
    text = f"(?:{'|'.join(parts)})"
    return text if is_start or "" in words else f"{text}?"
