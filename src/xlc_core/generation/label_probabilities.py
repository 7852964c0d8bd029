"""Probabilities of labels such as yes and no, read from the candidates for one token."""

from __future__ import annotations

import math
from collections.abc import Sequence

from xlc_core.results import TokenLogprob

__all__ = ["label_logprobs", "label_probabilities"]


def label_logprobs(token: TokenLogprob, labels: Sequence[str], *, ignore_case: bool = False) -> list[float]:
    """Return the log-probability of each label as this token.

    Several tokens may be the same label, with and without a space before it: their probabilities are added.

    Args:
        token: the token, generated with ``logprobs``, so that ``top`` has the candidates.
        labels: texts of one token each.
        ignore_case: whether "Yes" is the label "yes".

    Returns:
        natural logarithms in the order of the labels; -inf for a label that is not among the candidates.
    """
    found: list[list[float]] = [[] for _ in labels]
    candidates = {(one.id, one.token): one for one in (token, *token.top)}.values()
    for candidate in candidates:
        text = candidate.token.strip()
        for place, label in enumerate(labels):
            if text == label or (ignore_case and text.lower() == label.lower()):
                found[place].append(candidate.logprob)
    return [_log_sum(logprobs) for logprobs in found]


def label_probabilities(token: TokenLogprob, labels: Sequence[str]) -> list[float]:
    """Return the probability of each label as this token, given that it is one of them.

    Args:
        token: the token, generated under a constraint to the labels and with ``logprobs``.
        labels: texts of one token each; the token is one of them.

    Returns:
        probabilities in the order of the labels, with the sum 1; 0 for a label that is not among the candidates.

    Raises:
        ValueError: neither the token nor a candidate is one of the labels.
    """
    logprobs = label_logprobs(token, labels)
    total = _log_sum(logprobs)
    if total == -math.inf:
        raise ValueError(f"the token {token.token!r} is not one of the labels {list(labels)}")
    return [math.exp(logprob - total) for logprob in logprobs]


def _log_sum(logprobs: Sequence[float]) -> float:
    """Return the logarithm of a sum of probabilities, without underflow."""
    highest = max(logprobs, default=-math.inf)
    if highest == -math.inf:
        return highest
    return highest + math.log(sum(math.exp(logprob - highest) for logprob in logprobs))
