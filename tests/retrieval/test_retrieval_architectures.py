"""Embedders and rerankers of every architecture agree with transformers in float32 (tests/model_files/)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xlc_core as xlc
from helpers.tiny_models import with_metadata

MODELS = Path(__file__).parents[1] / "model_files"
MIN_COSINE = 0.9999
MAX_DIFFERENCE = 1e-3

# The pooling in a file, and other poolings that its reference has.
EMBEDDERS = {
    "bert-embedder": ("mean", "cls"),
    "xlm-roberta-embedder": ("cls", "mean"),
    "modern-bert-embedder": ("cls", "mean"),
    "nomic-bert-embedder": ("mean",),
    "jina-bert-v2-embedder": ("mean",),
    "embedding-gemma": ("mean",),
    "qwen3-embedder": ("last",),
    "llama-embedder": ("last",),
}
RERANKERS = ["bert-reranker", "jina-bert-v2-reranker", "xlm-roberta-reranker", "modern-bert-reranker", "qwen3-reranker"]


def open_tiny(name: str, **options: object) -> xlc.Engine:
    return xlc.Engine(MODELS / f"{name}.gguf", n_threads=1, **options)  # type: ignore[arg-type]


def off(texts: list[str], vectors: np.ndarray, expected: np.ndarray) -> dict[str, float]:
    cosines = np.einsum("ij,ij->i", vectors, expected)
    return {text: float(cosine) for text, cosine in zip(texts, cosines, strict=True) if cosine < MIN_COSINE}


encoders = pytest.mark.parametrize("encoder", ["auto", "llama.cpp"])


@encoders
@pytest.mark.parametrize("name", EMBEDDERS)
def test_vectors_agree(name: str, encoder: str) -> None:
    own, *others = EMBEDDERS[name]
    with np.load(MODELS / f"{name}.npz", allow_pickle=False) as reference:
        texts = [str(text) for text in reference["texts"]]
        expected = {pooling: reference[pooling] for pooling in (own, *others)}
    # Texts lie apart, so that a wrong vector is told from a right one.
    assert np.triu(expected[own] @ expected[own].T, 1).max() < 0.98
    with open_tiny(name, encoder=encoder) as engine:
        assert engine.info.pooling == own
        assert off(texts, engine.embed(texts), expected[own]) == {}
        one_by_one = np.concatenate([engine.embed([text]) for text in texts])
        assert off(texts, one_by_one, expected[own]) == {}
    for pooling in others:
        with open_tiny(name, encoder=encoder, pooling=pooling) as engine:
            assert off(texts, engine.embed(texts), expected[pooling]) == {}


@encoders
@pytest.mark.parametrize("name", RERANKERS)
def test_scores_agree(name: str, encoder: str) -> None:
    expected: dict[str, dict[str, float]] = {}
    with np.load(MODELS / f"{name}.npz", allow_pickle=False) as reference:
        for query, document, score in zip(*(reference[k] for k in ("queries", "documents", "scores")), strict=True):
            expected.setdefault(str(query), {})[str(document)] = float(score)
        assert np.ptp(reference["scores"]) > 200 * MAX_DIFFERENCE
    with open_tiny(name, encoder=encoder) as engine:
        for query, by_document in expected.items():
            documents = list(by_document)
            scores = {documents[score.index]: score.score for score in engine.rerank(query, documents)}
            assert scores == pytest.approx(by_document, abs=MAX_DIFFERENCE)


# The files that llama.cpp's converter would write: for Jina, the tensors that give the score have the pooler's name.
LOST: dict[str, dict[str, Any]] = {
    "bert-reranker": {"without": ("cls.weight", "cls.bias")},
    "jina-bert-v2-reranker": {
        "without": ("cls.weight", "cls.bias"),
        "renamed": {"cls.output.weight": "cls.weight", "cls.output.bias": "cls.bias"},
    },
}


@pytest.mark.parametrize("name", LOST)
def test_reranker_without_pooler_causes_warning(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = MODELS / f"{name}.gguf"
    lost = with_metadata(whole, tmp_path / "lost.gguf", **LOST[name])
    scores = []
    for path in (whole, with_metadata(whole, tmp_path / "copy.gguf"), lost):
        with caplog.at_level("WARNING", "xllama"), xlc.Engine(path, n_threads=1) as engine:
            scores.append(engine.rerank("What frees a slot?", ["A cancelled request."])[0].score)
        assert ("lost its pooler" in caplog.text) == (path == lost)
    assert scores[0] == scores[1]
    assert abs(scores[0] - scores[2]) > 0.01
