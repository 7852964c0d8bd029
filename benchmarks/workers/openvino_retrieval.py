"""Runs the exported models with OpenVINO, whose processor plug-in uses oneDNN, in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openvino
from exported import Run, exported_tasks
from protocol import Task, serve


def open_peer(settings: dict[str, Any]) -> dict[str, Task]:
    options = {
        "INFERENCE_NUM_THREADS": settings["n_threads"], "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32",
    }  # fmt: skip

    def open_model(path: Path) -> Run:
        compiled = openvino.compile_model(path, "CPU", options)
        return lambda feed: compiled(feed)[0]

    return exported_tasks(settings, open_model)


serve(open_peer)
