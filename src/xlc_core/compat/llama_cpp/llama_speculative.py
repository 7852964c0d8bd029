"""Draft models, as in llama-cpp-python; ``Llama(draft_model=LlamaPromptLookupDecoding())`` becomes Ngram."""

from __future__ import annotations

import abc
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["LlamaDraftModel", "LlamaPromptLookupDecoding"]

Tokens = npt.NDArray[np.intc]


class LlamaDraftModel(abc.ABC):
    """Base of draft models. The engine takes LlamaPromptLookupDecoding only."""

    @abc.abstractmethod
    def __call__(self, input_ids: Tokens, /, **kwargs: Any) -> Tokens:
        """Return the tokens that may come next."""


class LlamaPromptLookupDecoding(LlamaDraftModel):
    """Drafts the tokens that followed the last tokens when they occurred before.

    Args:
        max_ngram_size: tokens that must match at most.
        num_pred_tokens: tokens to draft at most.
    """

    def __init__(self, max_ngram_size: int = 2, num_pred_tokens: int = 10) -> None:
        self.max_ngram_size = max_ngram_size
        self.num_pred_tokens = num_pred_tokens

    @staticmethod
    def find_candidate_pred_tokens(input_ids: Tokens, max_ngram_size: int, num_pred_tokens: int) -> Tokens:
        """Return the tokens after the first place where the longest possible end of the tokens occurs before."""
        for size in range(min(max_ngram_size, len(input_ids) - 1), 0, -1):
            windows = np.lib.stride_tricks.sliding_window_view(input_ids, size)
            for start in np.nonzero(np.all(windows == input_ids[-size:], axis=1))[0] + size:
                if start < len(input_ids):
                    return input_ids[start : start + num_pred_tokens]
        return np.array([], dtype=np.intc)

    def __call__(self, input_ids: Tokens, /, **kwargs: Any) -> Tokens:  # noqa: D102
        return self.find_candidate_pred_tokens(input_ids, self.max_ngram_size, self.num_pred_tokens)
