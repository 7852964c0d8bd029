"""All kinds of requests at once, from many threads: none is lost, none harms another, and memory stays flat."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import xlc_core as xlc
from helpers.mixed_load import Engines, MixedLoad
from helpers.refused_requests import resident_bytes
from helpers.threads import count_threads
from helpers.tiny_models import write_byte_llama
from helpers.waiting import is_idle, wait_until

MODELS = Path(__file__).parents[1] / "model_files"
SOAK_SECONDS = int(os.environ.get("XLLAMA_SOAK_SECONDS", "600"))


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[Engines]:
    with (
        xlc.Engine(write_byte_llama(tmp_path / "llama.gguf"), n_ctx=1024, n_parallel=4, n_threads=2) as chat,
        xlc.Engine(MODELS / "bert-embedder.gguf", n_threads=1) as embedder,
        xlc.Engine(MODELS / "bert-reranker.gguf", n_threads=1) as reranker,
    ):
        yield Engines(chat, embedder, reranker)


def assert_all_accounted(load: MixedLoad, engines: Engines) -> None:
    account = load.account
    assert account.wrong == []
    assert set(account.begun) == set(load.kinds)
    assert {kind: account.n_ended(kind) for kind in load.kinds} == dict(account.begun)
    assert account.ended["timeout", "timed out"] > 0
    gc.collect()
    assert wait_until(lambda: is_idle(engines.chat))
    assert engines.chat.chat("Hi", max_tokens=2, ignore_eos=True).usage.completion_tokens == 2


def test_every_request_is_accounted_for(engines: Engines) -> None:
    n_threads = count_threads()
    load = MixedLoad(engines, seed=1)
    load.run(16, lambda n_sent: n_sent < len(load.kinds))
    assert sum(load.account.begun.values()) == 16 * len(load.kinds)
    assert_all_accounted(load, engines)
    assert count_threads() == n_threads


@pytest.mark.soak
@pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc")
def test_memory_stays_flat(engines: Engines) -> None:
    """64 threads for ten minutes, or ``XLLAMA_SOAK_SECONDS``."""
    load = MixedLoad(engines, seed=2)
    load.run(64, lambda n_sent: n_sent < 4 * len(load.kinds))  # every pool and cache is full after this
    before = resident_bytes()
    is_over = threading.Event()
    threading.Timer(SOAK_SECONDS, is_over.set).start()
    load.run(64, lambda _: not is_over.is_set())
    assert_all_accounted(load, engines)
    growth = resident_bytes() - before
    print(f"\n{sum(load.account.begun.values())} requests, {growth / 2**20:+.1f} MiB: {dict(load.account.ended)}")
    assert growth < 64 * 2**20
