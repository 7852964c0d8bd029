"""Sends hostile requests, one after the other, in a process that they may end; running.py starts it.

A case is ``{"number": …, "kind": …}``; without a kind, the number decides. After each request a sound one must be
answered.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import resource
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import xlc_core as xlc
from attacks.hostile_requests import request_of
from helpers.sanitizers import SANITIZER, limit_memory
from helpers.tiny_media import write_mmproj
from helpers.tiny_models import write_byte_llama

MODELS = Path(__file__).parents[1] / "model_files"
MEMORY = 8 << 30  # a request that asks for more than there is gets an error, and the machine is not harmed
SECONDS = 1200 if SANITIZER else 60  # a request takes some hundredths
DECIDER = "{{ state }} {{ instructions }} {% for o in options %}{{ o.key }}{% endfor %}:"
OPTIONS: dict[str, Any] = {"n_ctx": 2048, "n_parallel": 2, "n_threads": 1, "warmup": False}


def engines(folder: Path) -> dict[str, xlc.Engine]:
    """Return an engine for each role."""
    return {
        "chat": xlc.Engine(write_byte_llama(folder / "llama.gguf"), **OPTIONS),
        "decider": xlc.Engine(write_byte_llama(folder / "decider.gguf", systemone=DECIDER), **OPTIONS),
        "viewer": xlc.Engine(
            write_byte_llama(folder / "viewer.gguf"), mmproj=write_mmproj(folder / "eyes.gguf", audio=True), **OPTIONS
        ),
        "embedder": xlc.Engine(MODELS / "bert-embedder.gguf", n_threads=1),
        "reranker": xlc.Engine(MODELS / "bert-reranker.gguf", n_threads=1),
    }


def check_alive(role: str, engine: xlc.Engine) -> None:
    """Send a sound request."""
    if role == "embedder":
        engine.embed(["sound"])
    elif role == "reranker":
        engine.rerank("sound", ["sound"])
    else:
        engine.complete("sound", max_tokens=1)


def outcome(number: int, kind: str | None, opened: dict[str, xlc.Engine]) -> tuple[str, str]:
    """Return how a request ended, and the error or the request when it ended badly."""
    role, request = request_of(number, kind)
    try:
        request.call(opened[role])
    except xlc.EngineFailedError as error:
        found = "failed", f"{request.kind}: {error} <- {request.description}"
    except xlc.XllamaError as error:
        found = "refused", f"{type(error).__name__}: {error}"
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        found = "foreign", f"{request.kind}: {type(error).__name__} at {where}: {error} <- {request.description}"
    else:
        found = "answered", ""
    try:
        check_alive(role, opened[role])
    except BaseException as error:
        return "harm", f"{request.kind}: {type(error).__name__}: {error} <- {request.description}"
    return found


def main() -> None:
    """Send the requests that the input names."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit_memory(MEMORY)
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="xllama-attack-") as folder:
        opened = engines(Path(folder))
        for line in sys.stdin:
            case = json.loads(line)
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            found = outcome(case["number"], case.get("kind"), opened)
            faulthandler.cancel_dump_traceback_later()
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
