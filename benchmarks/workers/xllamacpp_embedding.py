"""The xllamacpp wheel, embedding in process."""

from __future__ import annotations

from typing import Any

import xllamacpp
from protocol import Task, embedding_tasks, serve


def open_peer(settings: dict[str, Any]) -> dict[str, Task]:
    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    params.embedding = True
    params.n_parallel = 4
    params.n_ctx = 4 * 512
    params.n_batch = params.n_ubatch = 512
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings["n_threads"]
    params.verbosity = -1
    server = xllamacpp.Server(params)

    def embed(texts: list[str]) -> list[Any]:
        return [entry["embedding"] for entry in server.handle_embeddings({"input": texts})["data"]]

    return embedding_tasks(embed, settings["texts"], settings["query"])


serve(open_peer)
