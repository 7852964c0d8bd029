"""Runs the models of export_checkpoints.py with any runtime for ONNX files.

Texts are ordered by length and run in batches of 32, padded to the longest text of the batch, like in
sentence-transformers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from protocol import Task, retrieval_tasks
from tokenizers import Tokenizer

BATCH = 32

Array = np.ndarray[Any, Any]
Run = Callable[[dict[str, Array]], Array]


def exported_tasks(settings: dict[str, Any], open_model: Callable[[Path], Run]) -> dict[str, Task]:
    """Return the measurements of the embedder or the reranker.

    Args:
        settings: the worker's settings.
        open_model: loads an ONNX file and returns a function that computes its first output.
    """
    folder = Path(settings["checkpoints"])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(settings["n_ctx"])
    tokenizer.no_padding()
    run = open_model(folder / ("embedder.onnx" if "texts" in settings else "reranker.onnx"))

    def embed(texts: list[str]) -> Array:
        return _rows(run, tokenizer.encode_batch(texts), _mean_pooled)

    def rerank(query: str, passages: list[str]) -> Array:
        encoded = tokenizer.encode_batch([(query, passage) for passage in passages])
        return _rows(run, encoded, lambda logits, mask: logits[:, 0])

    return retrieval_tasks(settings, embed, rerank)


def _rows(run: Run, encoded: list[Any], reduce: Callable[[Array, Array], Array]) -> Array:
    """Run texts or pairs; ``reduce`` computes a row for each from the model's output and the mask."""
    order = sorted(range(len(encoded)), key=lambda index: len(encoded[index].ids))
    rows: list[Any] = [None] * len(encoded)
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        shape = (len(batch), max(len(encoded[index].ids) for index in batch))
        ids, mask, types = (np.zeros(shape, np.int64) for _ in range(3))
        for row, index in enumerate(batch):
            n_tokens = len(encoded[index].ids)
            ids[row, :n_tokens], types[row, :n_tokens] = encoded[index].ids, encoded[index].type_ids
            mask[row, :n_tokens] = 1
        output = run({"input_ids": ids, "attention_mask": mask, "token_type_ids": types})
        for index, row_of_result in zip(batch, reduce(output, mask), strict=True):
            rows[index] = row_of_result
    return np.array(rows, np.float32)


def _mean_pooled(states: Array, mask: Array) -> Array:
    weights = mask[:, :, None].astype(np.float32)
    vectors: Array = (states * weights).sum(axis=1) / weights.sum(axis=1)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
