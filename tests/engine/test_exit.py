"""The interpreter ends while daemon threads load, wait, stream or quantise: no abort, no hang."""

from __future__ import annotations

import pytest

from helpers.children import run_child

LOAD = """
begun = threading.Event()
def progress(done):
    begun.set()
    time.sleep(0.0005)
def work():
    xlc.Engine("smollm2-135m-instruct", progress=progress, n_ctx=256, n_parallel=1, n_threads=1)
"""
WAIT = """
begun = threading.Event()
engine = xlc.Engine(MODELS / "llama.gguf", n_ctx=4096, n_parallel=2, n_threads=1, warmup=False)
def work():
    for event in engine.stream_complete("a", max_tokens=4000, ignore_eos=True):
        begun.set()
"""
ASYNC = """
import asyncio
begun = threading.Event()
engine = xlc.Engine(MODELS / "llama.gguf", n_ctx=4096, n_parallel=2, n_threads=1, warmup=False)
async def ask():
    async for event in engine.astream_complete("a", max_tokens=4000, ignore_eos=True):
        begun.set()
def work():
    asyncio.run(ask())
"""
QUANTIZE = """
import tempfile
from xlc_core.models import catalog
begun = threading.Event()
source = catalog.resolve("smollm2-135m-instruct").path
def progress(done):
    begun.set()
    time.sleep(0.0005)
def work():
    with tempfile.TemporaryDirectory() as folder:
        xlc.quantize_model(source, Path(folder) / "q.gguf", "Q4_0", progress=progress)
"""


@pytest.mark.parametrize("work", [LOAD, WAIT, ASYNC, QUANTIZE], ids=["load", "wait", "async", "quantize"])
def test_interpreter_ends_beside_daemon_threads(work: str) -> None:
    program = (
        "import threading, time\n"
        + work
        + ("for _ in range(4):\n    threading.Thread(target=work, daemon=True).start()\nbegun.wait(60)\nprint('end')\n")
    )
    for _ in range(3):
        assert run_child(program, timeout=60).strip() == "end"


def test_callbacks_at_exit_may_still_use_engine() -> None:
    program = """
import atexit
options = dict(n_ctx=256, n_parallel=1, n_threads=1, warmup=False)
def late():
    with xlc.Engine(MODELS / "llama.gguf", **options) as engine:
        print(engine.complete("a", max_tokens=2, ignore_eos=True).usage.completion_tokens)
atexit.register(late)  # before the engine's own callbacks, so it runs after them
xlc.Engine(MODELS / "llama.gguf", **options).close()
"""
    assert run_child(program).strip() == "2"
