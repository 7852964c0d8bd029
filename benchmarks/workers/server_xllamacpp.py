"""Serves a model with the xllamacpp wheel, in process."""

from __future__ import annotations

from typing import Any

import xllamacpp
from protocol import Task, peak_bytes, serve


def open_peer(settings: dict[str, Any]) -> dict[str, Task]:
    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    params.n_ctx = 8 * 2048
    params.n_parallel = 8
    params.n_batch = params.n_ubatch = 512
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings["n_threads"]
    params.verbosity = -1
    params.hostnames = ["127.0.0.1"]
    params.port = settings["port"]
    server = xllamacpp.Server(params)
    return {
        "port": lambda _: {"port": settings["port"], "url": server.listening_address},
        "memory": lambda _: {"peak_bytes": peak_bytes()},
    }


serve(open_peer)
