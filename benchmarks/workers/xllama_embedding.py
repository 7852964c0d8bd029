"""This project's Engine, embedding."""

from __future__ import annotations

from typing import Any

from protocol import Task, embedding_tasks, serve

import xlc_core as xlc


def open_peer(settings: dict[str, Any]) -> dict[str, Task]:
    engine = xlc.Engine(settings["model"], n_threads=settings["n_threads"], progress=False)
    return embedding_tasks(engine.embed, settings["texts"], settings["query"])


serve(open_peer)
