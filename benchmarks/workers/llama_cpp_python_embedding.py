"""Embeds with llama-cpp-python, built from its sdist, in process."""

from __future__ import annotations

from typing import Any

from llama_cpp import Llama
from protocol import Task, retrieval_tasks, serve


def open_peer(settings: dict[str, Any]) -> dict[str, Task]:
    n_ctx, n_threads = settings["n_ctx"], settings["n_threads"]
    model = Llama(
        settings["model"], embedding=True, n_ctx=n_ctx, n_batch=n_ctx, n_ubatch=n_ctx, n_threads=n_threads,
        n_threads_batch=n_threads, verbose=False,
    )  # fmt: skip
    return retrieval_tasks(settings, embed=lambda texts: model.embed(texts, normalize=True))


serve(open_peer)
