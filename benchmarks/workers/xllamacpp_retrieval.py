"""Embeds or reranks with the xllamacpp wheel, in process."""

from __future__ import annotations

from typing import Any

import xllamacpp
from protocol import Task, retrieval_tasks, serve


def open_peer(settings: dict[str, Any]) -> dict[str, Task]:
    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    params.embedding = True
    params.n_parallel = 4
    params.n_ctx = 4 * settings["n_ctx"]
    params.n_batch = params.n_ubatch = settings["n_ctx"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings["n_threads"]
    params.verbosity = -1
    if "queries" in settings:
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
    server = xllamacpp.Server(params)

    def embed(texts: list[str]) -> list[Any]:
        return [entry["embedding"] for entry in server.handle_embeddings({"input": texts})["data"]]

    def rerank(query: str, passages: list[str]) -> list[float]:
        results = server.handle_rerank({"query": query, "documents": passages})["results"]
        return [entry["relevance_score"] for entry in sorted(results, key=lambda entry: entry["index"])]

    return retrieval_tasks(settings, embed=embed) if "texts" in settings else retrieval_tasks(settings, rerank=rerank)


serve(open_peer)
