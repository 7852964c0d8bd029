"""A server among clients that do harm: it answers the others, frees its slots and keeps its memory."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

import xlc_core as xlc
from attacks.hostile_http import BODIES, KINDS, LIMIT, Account, attack
from helpers.servers import running_server
from helpers.tiny_models import write_byte_llama
from helpers.waiting import is_idle, wait_until

MODELS = Path(__file__).parents[1] / "model_files"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[xlc.EnginePool]:
    models = {
        "chat": {"model": write_byte_llama(tmp_path / "llama.gguf"), "n_ctx": 512, "n_parallel": 4},
        "embed": MODELS / "bert-embedder.gguf",
        "rank": MODELS / "bert-reranker.gguf",
    }
    with xlc.EnginePool(models, others="none", n_threads=1) as pool:
        yield pool


def assert_still_answers(address: str, pool: xlc.EnginePool) -> None:
    engine = pool.opened("chat")
    assert engine is not None
    assert wait_until(lambda: is_idle(engine))
    for path, body in BODIES:
        assert httpx.post(f"{address}{path}", json=body, timeout=60).status_code == 200, path


def attacked(address: str, numbers: range, n_at_once: int) -> Account:
    return asyncio.run(attack(int(address.rpartition(":")[2]), numbers, n_at_once))


def test_harm_stays_with_who_does_it(small: xlc.EnginePool) -> None:
    with running_server(small, max_body_bytes=LIMIT, timeout=60) as address:
        account = attacked(address, range(40 * len(KINDS)), 16)
        assert account.faults == []
        assert {kind for kind, _ in account.outcomes} == set(KINDS)
        assert account.n("400") > 20
        assert_still_answers(address, small)


@pytest.mark.soak
@pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc")
def test_memory_stays_flat(tmp_path: Path) -> None:
    """10,000 requests, 32 at a time, to `xllama serve` in a process of its own."""
    models = tmp_path / "models.toml"
    llama = write_byte_llama(tmp_path / "llama.gguf")
    models.write_text(
        f"[chat]\nmodel = {str(llama)!r}\nn_ctx = 512\nn_parallel = 4\ncache_ram_mib = 0\n"
        f"[embed]\nmodel = {str(MODELS / 'bert-embedder.gguf')!r}\n"
        f"[rank]\nmodel = {str(MODELS / 'bert-reranker.gguf')!r}\n"
    )
    command = [sys.executable, "-c", "from xlc_core.cli import app; app()", "serve", "--models", str(models)]
    command += ["--port", "0", "--max-body-mib", "1", "--timeout", "60", "--no-access-log"]
    log = tmp_path / "log.txt"
    with log.open("w") as file, subprocess.Popen(command, stderr=file) as server:
        try:
            assert wait_until(lambda: "Uvicorn running on" in log.read_text())
            address = re.findall(r"Uvicorn running on (\S+)", log.read_text())[0]
            process = psutil.Process(server.pid)
            attacked(address, range(2000), 32)
            before = process.memory_info().rss
            account = attacked(address, range(2000, 12_000), 32)
            growth = process.memory_info().rss - before
            print(f"\n{sum(account.outcomes.values())} requests, {growth / 2**20:+.1f} MiB: {dict(account.outcomes)}")
            assert account.faults == []
            for path, body in BODIES:
                assert httpx.post(f"{address}{path}", json=body, timeout=60).status_code == 200, path
            assert growth < 32 * 2**20
        finally:
            server.send_signal(signal.SIGTERM)
        assert server.wait(60) == -signal.SIGTERM  # uvicorn ends as the signal would, after its streams
