"""Embeds or reranks with this project's Engine."""

from __future__ import annotations

import os
from typing import Any

from protocol import Task, retrieval_tasks, serve

import xlc_core as xlc


def open_peer(settings: dict[str, Any]) -> dict[str, Task]:
    os.environ["XLLAMA_CATALOG"] = settings["catalog"]
    options = {"n_threads": settings["n_threads"], **settings["engine_options"]}
    engine = xlc.Engine(settings["model"], progress=False, **options)
    if "texts" in settings:
        return retrieval_tasks(settings, embed=lambda texts: engine.embed(texts, truncate="end"))

    def rerank(query: str, passages: list[str]) -> list[float]:
        scores = xlc.rerank_documents(engine, query, passages, truncate="end")
        return [score.score for score in sorted(scores, key=lambda score: score.index)]

    return retrieval_tasks(settings, rerank=rerank)


serve(open_peer)
