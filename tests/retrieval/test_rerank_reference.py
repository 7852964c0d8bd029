"""Scores of the small reranker agree with those of its training code, in float32 (models/)."""

from __future__ import annotations

import json
from collections import defaultdict

import pytest
from xllama_models import path

import xlc_core as xlc

# Scores span -6.6 to 6.3. Rounding the weights to Q8_0 moves them by up to 0.08 when computed in float32; how a
# processor's kernels round activations, and how pairs are batched, adds about as much again.
MAX_DIFFERENCE = 0.2


def reference() -> dict[str, dict[str, float]]:
    """Query to document to score."""
    by_query: dict[str, dict[str, float]] = defaultdict(dict)
    for row in json.loads(path("xllama-rerank-mini-reference.json").read_text("utf-8")):
        by_query[row["query"]][row["document"]] = row["score"]
    return by_query


@pytest.mark.parametrize(("query", "expected"), [pytest.param(q, d, id=q) for q, d in reference().items()])
def test_scores_agree_with_reference(reranker: xlc.Engine, query: str, expected: dict[str, float]) -> None:
    documents = list(expected)
    ranked = [(documents[score.index], score.score) for score in reranker.rerank(query, documents)]
    assert dict(ranked) == pytest.approx(expected, abs=MAX_DIFFERENCE)
    for i, (better, _) in enumerate(ranked):
        for worse, _ in ranked[i + 1 :]:
            assert expected[better] > expected[worse] - MAX_DIFFERENCE
