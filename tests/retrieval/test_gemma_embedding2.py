"""EmbeddingGemma 2: vectors that are narrower than the model's states, from a model with random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import xlc_core as xlc
from helpers.tiny_embedders import write_gemma_embedding2

N_OUT = 24
TEXTS = ["the cat", "a dog and the hare " * 8, "", "them"]


def test_vectors_have_the_width_that_the_file_says(tmp_path: Path) -> None:
    path = write_gemma_embedding2(tmp_path / "g.gguf", n_out=N_OUT)
    with xlc.Engine(path, n_threads=1) as engine:
        assert engine.info.architecture == "gemma-embedding2"
        together = engine.embed(TEXTS)
        alone = np.concatenate([engine.embed([text]) for text in TEXTS])
        tokens = engine.embed_tokens(TEXTS[:1])[0]
    assert together.shape == (len(TEXTS), N_OUT)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-3)
    assert np.abs(together - alone).max() < 0.01
    assert np.abs(together[0] - together[3]).max() > 0.01
    assert tokens.shape[1] == N_OUT
