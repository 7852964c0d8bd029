"""Scores of documents: from a model's numbers to a ranking."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from xlc_core.options.retrieval import RerankOptions
from xlc_core.results import RerankScore

__all__ = ["best_first", "sigmoid"]


def best_first(scores: npt.NDArray[np.float32], options: RerankOptions) -> list[RerankScore]:
    """Return the best documents, ordered by score and, with ``order_weight``, also by their original order."""
    ranked: npt.NDArray[Any] = scores
    if options.order_weight > 0:
        places = -np.log(np.arange(1, len(scores) + 1))
        ranked = _standardized(scores) + options.order_weight * _standardized(places)
    order = np.argsort(-ranked, kind="stable")[: options.top_n]
    return [RerankScore(int(index), float(scores[index])) for index in order]


def _standardized(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Shift and scale to mean 0 and standard deviation 1; if all values are equal, they become 0."""
    exact = values.astype(np.float64)
    deviation = exact.std() if len(exact) else 0.0
    return (exact - exact.mean()) / deviation if deviation > 0 else np.zeros_like(exact)


def sigmoid(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the logistic function of logits, from 0 to 1, without overflow."""
    between: npt.NDArray[np.float32] = 0.5 * (1.0 + np.tanh(0.5 * scores))
    return between
