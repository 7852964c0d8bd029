"""Measures how far a peer's results are from the reference."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float32]


def read_rows(path: Path, n_rows: int) -> Rows:
    """Read the rows of float32 that a worker saved."""
    return np.fromfile(path, np.float32).reshape(n_rows, -1)


def cosines(vectors: Rows, reference: Rows) -> npt.NDArray[np.float64]:
    """Return the cosine of each vector to the reference's, computed in float64."""
    a, b = vectors.astype(np.float64), reference.astype(np.float64)
    norms: Any = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray((a * b).sum(axis=1) / norms)


@dataclass(frozen=True)
class RankAgreement:
    """How well scores agree with the reference's.

    Attributes:
        largest: the largest difference between a score and the reference's.
        tau: mean of Kendall's tau over the queries: 1 if all passages are in the same order, 0 for unrelated orders.
        same_first: number of queries whose best passage is the same.
    """

    largest: float
    tau: float
    same_first: int


def rank_agreement(scores: Rows, reference: Rows) -> RankAgreement:
    """Compare scores of shape (queries, passages)."""
    taus = []
    for ours, theirs in zip(scores, reference, strict=True):
        upper = np.triu_indices(len(ours), 1)
        signs = np.sign(ours[:, None] - ours)[upper] * np.sign(theirs[:, None] - theirs)[upper]
        taus.append(signs.mean() if len(signs) else 1.0)
    return RankAgreement(
        largest=float(np.abs(scores - reference).max()),
        tau=float(np.mean(taus)),
        same_first=int((scores.argmax(axis=1) == reference.argmax(axis=1)).sum()),
    )
