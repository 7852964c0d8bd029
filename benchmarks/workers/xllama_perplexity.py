"""Prints the perplexity of pieces of the examples' corpus, from the vectors of its tokens.

    xllama_perplexity.py MODEL.gguf

The vectors are what the output layer gets, so the logits are their products with its weights, here in float32.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import gguf
import numpy as np

import xlc_core as xlc

CORPUS = Path(__file__).parents[2] / "examples" / "corpus"
N_PIECES, N_WORDS = 16, 500


def read_output(model: str) -> np.ndarray:
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(model).tensors}
    output = tensors.get("output.weight") or tensors["token_embd.weight"]
    weights: np.ndarray = gguf.dequantize(output.data, output.tensor_type)
    return weights


def main() -> None:
    words = " ".join(path.read_text(encoding="utf-8") for path in sorted(CORPUS.glob("*.md"))).split(" ")
    pieces = [" ".join(words[i * N_WORDS : (i + 1) * N_WORDS]) for i in range(N_PIECES)]
    output = read_output(sys.argv[1])
    total, n_tokens = 0.0, 0
    with xlc.Engine(sys.argv[1], pooling="none", n_ctx=2048, progress=False) as engine:
        for piece in pieces:
            tokens = np.array(engine.tokenize(piece))
            vectors = engine.embed_tokens([piece], normalize=False)[0]
            assert len(vectors) == len(tokens)
            logits = (vectors[:-1] @ output.T).astype(np.float64)
            logits -= logits.max(axis=1, keepdims=True)
            logs = logits[np.arange(len(tokens) - 1), tokens[1:]] - np.log(np.exp(logits).sum(axis=1))
            total -= logs.sum()
            n_tokens += len(tokens) - 1
    print(json.dumps({"perplexity": float(np.exp(total / n_tokens))}))


main()
