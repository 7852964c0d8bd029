"""An event loop that is closed with a request pending does not keep the engine for the life of the process."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

import xlc_core as xlc

MODELS = Path(__file__).parents[1] / "model_files"


async def ask(engine: xlc.Engine) -> object:
    return await engine.acomplete("a", max_tokens=400, ignore_eos=True)


async def embed(engine: xlc.Engine) -> object:
    return await engine.aembed(["a" * 100] * 300)


def leave_pending(engine: xlc.Engine, call: Callable[[xlc.Engine], Awaitable[object]]) -> None:
    loop = asyncio.new_event_loop()
    task = loop.create_task(call(engine))  # type: ignore[arg-type]
    loop.run_until_complete(asyncio.sleep(0.05))
    assert not task.done()
    loop.close()
    task._log_destroy_pending = False  # type: ignore[attr-defined]


@pytest.mark.parametrize(("model", "call"), [("llama.gguf", ask), ("bert-embedder.gguf", embed)])
def test_closed_loop_frees_engine(model: str, call: Callable[[xlc.Engine], Awaitable[object]]) -> None:
    engine = xlc.Engine(MODELS / model, n_ctx=512, n_threads=1, warmup=False)
    reference = weakref.ref(engine)
    leave_pending(engine, call)
    del engine
    patience = threading.Event()
    for _ in range(300):
        gc.collect()
        if reference() is None:
            break
        patience.wait(0.1)
    assert reference() is None
