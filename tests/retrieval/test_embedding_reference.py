"""Vectors agree with sentence-transformers in float32 (tests/data/make_minilm_reference.py)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import xlc_core as xlc

REFERENCE = Path(__file__).parent.parent / "data" / "minilm_reference.npz"
MIN_COSINE = 0.9999  # the catalog's file is F16


@pytest.fixture(scope="module")
def reference() -> tuple[list[str], np.ndarray]:
    with np.load(REFERENCE, allow_pickle=False) as arrays:
        return [str(text) for text in arrays["texts"]], arrays["vectors"]


def test_vectors_agree_with_sentence_transformers(
    embedder: xlc.Engine, reference: tuple[list[str], np.ndarray]
) -> None:
    texts, expected = reference
    vectors = embedder.embed(texts)
    assert vectors.shape == expected.shape
    assert vectors.dtype == np.float32
    cosines = np.einsum("ij,ij->i", vectors, expected)
    assert {texts[i]: float(cosines[i]) for i in np.flatnonzero(cosines < MIN_COSINE)} == {}


def test_reference_has_texts_beyond_sentence_transformers_default_length(
    embedder: xlc.Engine, reference: tuple[list[str], np.ndarray]
) -> None:
    lengths = [embedder.count_tokens(text) for text in reference[0]]
    assert sum(length > 256 for length in lengths) >= 4
    assert max(lengths) < 512
