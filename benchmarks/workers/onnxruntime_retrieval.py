"""Runs the exported models with onnxruntime, the engine of fastembed, in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime
from exported import Run, exported_tasks
from protocol import Task, serve


def open_peer(settings: dict[str, Any]) -> dict[str, Task]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings["n_threads"]
    options.log_severity_level = 3

    def open_model(path: Path) -> Run:
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        return lambda feed: session.run(None, feed)[0]

    return exported_tasks(settings, open_model)


serve(open_peer)
