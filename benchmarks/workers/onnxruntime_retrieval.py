"""onnxruntime, the engine of fastembed, on the models that export_checkpoints.py has made, float32.

Texts are ordered by length and run in batches of 32, padded to the longest of each: as sentence-transformers does it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from protocol import Task, retrieval_tasks, serve
from tokenizers import Tokenizer

BATCH = 32


class Model:
    """A session and the tokenizer that feeds it."""

    def __init__(self, folder: Path, name: str, n_threads: int, n_ctx: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = n_threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(folder / f"{name}.onnx", options, ["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(n_ctx)
        self._tokenizer.no_padding()

    def run(self, inputs: list[Any], reduce: Any) -> np.ndarray[Any, Any]:
        """Run texts or pairs; ``reduce`` makes a row of each out of the model's output and the mask."""
        encoded = self._tokenizer.encode_batch(inputs)
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
            feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
            output = self._session.run(None, feed)[0]
            for index, row_of_result in zip(batch, reduce(output, mask), strict=True):
                rows[index] = row_of_result
        return np.array(rows, np.float32)


def mean_pooled(states: Any, mask: Any) -> Any:
    weights = mask[:, :, None].astype(np.float32)
    vectors = (states * weights).sum(axis=1) / weights.sum(axis=1)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def open_peer(settings: dict[str, Any]) -> dict[str, Task]:
    folder, n_threads, n_ctx = Path(settings["checkpoints"]), settings["n_threads"], settings["n_ctx"]
    if "texts" in settings:
        embedder = Model(folder, "embedder", n_threads, n_ctx)
        return retrieval_tasks(settings, embed=lambda texts: embedder.run(texts, mean_pooled))
    reranker = Model(folder, "reranker", n_threads, n_ctx)

    def rerank(query: str, passages: list[str]) -> Any:
        return reranker.run([(query, passage) for passage in passages], lambda logits, mask: logits[:, 0])

    return retrieval_tasks(settings, rerank=rerank)


serve(open_peer)
