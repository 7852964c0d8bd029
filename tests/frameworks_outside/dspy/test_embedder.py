"""``dspy.Embedder`` with a model in this process."""

from __future__ import annotations

import dspy
import numpy as np
import pytest
from dspy import lm15

import xlc_core as xlc
import xlc_dspy

TEXTS = ["What is a slot?", "A slot holds one request.", "Bread is baked."]


async def test_vectors_are_those_of_the_engine(embedder: xlc.Engine) -> None:
    made = dspy.Embedder(xlc_dspy.XLlamaEmbedder(engine=embedder), batch_size=2)
    expected = embedder.embed(TEXTS)
    assert made(TEXTS) == pytest.approx(expected, abs=1e-4)
    assert made(TEXTS[0]) == pytest.approx(expected[0], abs=1e-4)
    assert await made.acall(TEXTS) == pytest.approx(expected, abs=1e-4)


def test_cache_tells_models_apart(embedder: xlc.Engine) -> None:
    whole = dspy.Embedder(xlc_dspy.XLlamaEmbedder(engine=embedder))
    short = dspy.Embedder(xlc_dspy.XLlamaEmbedder(engine=embedder, dimensions=8))
    assert [one(TEXTS).shape[1] for one in (whole, short, whole)] == [384, 8, 384]


def test_retriever(embedder: xlc.Engine) -> None:
    made = xlc_dspy.embedder(embedder.options.model, batch_size=8)
    search = dspy.Embeddings(corpus=TEXTS[1:], embedder=made, k=1)
    assert search("Which thing holds a request?").passages == [TEXTS[1]]
    with made.model:
        assert np.linalg.norm(made(TEXTS), axis=1) == pytest.approx(1, abs=1e-3)


def test_too_long_text_raises_error_of_dspy(embedder: xlc.Engine) -> None:
    with pytest.raises(lm15.InvalidRequestError, match="tokens"):
        xlc_dspy.XLlamaEmbedder(engine=embedder)(["word " * 2000])
