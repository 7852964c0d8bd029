"""Runs sentence-transformers on PyTorch with a decoder that embeds."""

from __future__ import annotations

import os
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # everything is on this disk

import torch
from protocol import Task, retrieval_tasks, serve
from sentence_transformers import SentenceTransformer


def open_peer(settings: dict[str, Any]) -> dict[str, Task]:
    torch.set_num_threads(settings["n_threads"])
    embedder = SentenceTransformer(settings["checkpoint"], device="cpu", model_kwargs={"dtype": torch.float32})
    embedder.max_seq_length = settings["n_ctx"]

    def embed(texts: list[str]) -> Any:
        return embedder.encode(texts, batch_size=32, normalize_embeddings=True, show_progress_bar=False)

    return retrieval_tasks(settings, embed=embed)


serve(open_peer)
