"""Python functions that take part in generating: logits processors and stopping criteria."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

__all__ = [
    "LogitsProcessor",
    "LogitsProcessorList",
    "MinTokensLogitsProcessor",
    "StoppingCriteria",
    "StoppingCriteriaList",
]

Tokens = npt.NDArray[np.intc]
Scores = npt.NDArray[np.single]
LogitsProcessor = Callable[[Tokens, Scores], Scores]
"""Gets the tokens so far and a number for each token that may come next; returns such numbers."""

StoppingCriteria = Callable[[Tokens, Scores], bool]
"""Gets the tokens so far, and numbers that are not set; returns whether the answer ends there."""


class LogitsProcessorList(list[LogitsProcessor]):
    """Logits processors, called one after another."""

    def __call__(self, input_ids: Tokens, scores: Scores) -> Scores:
        """Return the scores that all of them together make."""
        for processor in self:
            scores = processor(input_ids, scores)
        return scores


class StoppingCriteriaList(list[StoppingCriteria]):
    """Stopping criteria: the answer ends if one of them says so."""

    def __call__(self, input_ids: Tokens, logits: Scores) -> bool:
        """Return whether the answer ends."""
        said = [criterion(input_ids, logits) for criterion in self]  # all are called, as they may count
        return any(said)


class MinTokensLogitsProcessor:
    """Keeps an answer from ending too soon.

    Args:
        min_tokens: tokens that it must have.
        token_eos: the token that ends it.
    """

    def __init__(self, min_tokens: int, token_eos: int) -> None:
        self.min_tokens = min_tokens
        self.token_eos = token_eos
        self.prompt_tokens: int | None = None

    def __call__(self, input_ids: Tokens, scores: Scores) -> Scores:
        """Return the scores, without the end as long as the answer is too short."""
        if self.prompt_tokens is None:
            self.prompt_tokens = len(input_ids)
        if len(input_ids) - self.prompt_tokens < self.min_tokens:
            scores[self.token_eos] = -np.inf
        return scores
