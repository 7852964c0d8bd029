"""An assertion of llama.cpp that fails costs the requests of one context, never the process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import pytest

import xlc_core as xlc
from helpers.tiny_models import with_metadata
from xlc_core import _native

TESTS = Path(__file__).parents[1]
MODELS = TESTS / "model_files"


def run(program: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program that may end its process."""
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, timeout=240, check=False,
        env={**os.environ, "PYTHONPATH": str(TESTS), **(environment or {})},
    )  # fmt: skip


def test_failed_computation_leaves_threads_usable() -> None:
    """On any thread of any number, with other threads waiting inside the operation or after it."""
    done = run(
        "from xlc_core import _native\n"
        "for n in (1, 2, 3, 5):\n"
        "    for failing in range(n):\n"
        "        for keeps_threads in (True, False):\n"
        "            for _ in range(10):\n"
        "                text, total = _native.compute_after_failure(n, failing, keeps_threads)\n"
        "                assert f'thread {failing} fails' in text and total == 2048, (text, total)\n"
        "print('done')\n"
    )
    assert done.stdout == "done\n", done


def test_importing_installs_handler(tmp_path: Path) -> None:
    """Before any engine is opened; and ggml starts no debugger for a backtrace."""
    traces = tmp_path / "started"
    for name in ("gdb", "lldb"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {name} >> {traces}\n")
        (tmp_path / name).chmod(0o755)
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = run(
        "from xlc_core import _native, EngineFailedError\n"
        "try:\n"
        "    _native.fail_assertion()\n"
        "except EngineFailedError as error:\n"
        "    print(error)\n",
        path,
    )
    assert "llama.cpp failed" in done.stdout, done
    assert "on the caller's thread" in done.stdout
    assert not traces.exists()


@pytest.mark.parametrize("work", ["Engine(path, n_threads=1)", "Engine.estimate(path)"])
def test_assertion_while_encoder_is_read_is_load_error(work: str, tmp_path: Path) -> None:
    """In a process that opens nothing else."""
    path = with_metadata(MODELS / "bert-embedder.gguf", tmp_path / "scaled.gguf", bert__rope__scaling__type="odd")
    done = run(
        "from xlc_core import Engine, ModelLoadError\n"
        f"path = {str(path)!r}\n"
        "try:\n"
        f"    {work}\n"
        "except ModelLoadError as error:\n"
        "    print(error)\n"
    )
    assert "GGML_ASSERT(hparams.rope_scaling_type_train" in done.stdout, done
    assert done.stderr == ""


def test_error_of_assertion_is_ours() -> None:
    with pytest.raises(xlc.EngineFailedError, match="on the caller's thread"):
        _native.fail_assertion()


OPTIONS: dict[str, Any] = {"n_ctx": 256, "n_parallel": 2, "n_threads": 2, "warmup": False}
ASK: dict[str, Any] = {"temperature": 0, "max_tokens": 8, "ignore_eos": True}
PROMPT = "The cache holds"


class BrokenHead:
    """A copy of a head that drafts tokens, whose table of tokens can be broken after it was loaded: the file is mapped.

    A wrong number in the table fails an assertion on one of the threads that compute the head.
    """

    def __init__(self, path: Path) -> None:
        shutil.copy(MODELS / "llama-eagle3.gguf", path)
        self.path = path
        self._reader = gguf.GGUFReader(path, "r+")
        self._table = next(tensor for tensor in self._reader.tensors if tensor.name == "d2t").data
        self._whole = self._table.copy()

    def set_broken(self, broken: bool) -> None:
        self._table[:] = 10**6 if broken else self._whole
        self._reader.data.flush()


@pytest.fixture
def head(tmp_path: Path) -> BrokenHead:
    return BrokenHead(tmp_path / "head.gguf")


@pytest.fixture
def engine(head: BrokenHead) -> Iterator[xlc.Engine]:
    with xlc.Engine(MODELS / "llama.gguf", speculation=xlc.Eagle3(head.path), **OPTIONS) as opened:
        yield opened


def test_next_request_gets_new_context(engine: xlc.Engine, head: BrokenHead) -> None:
    answer = engine.complete(PROMPT, **ASK).text
    with xlc.Engine(MODELS / "llama.gguf", **OPTIONS) as other:
        same = other.complete(PROMPT, **ASK).text
        for _ in range(2):
            head.set_broken(True)
            with pytest.raises(xlc.EngineFailedError, match="GGML_ASSERT"):
                engine.complete(PROMPT, **ASK)
            assert other.complete(PROMPT, **ASK).text == same
            head.set_broken(False)
            assert engine.complete(PROMPT, **ASK).text == answer


def test_failed_engine_answers_other_questions(engine: xlc.Engine, head: BrokenHead) -> None:
    head.set_broken(True)
    with pytest.raises(xlc.EngineFailedError):
        engine.complete(PROMPT, **ASK)
    assert engine.metrics().requests_running == 0
    assert engine.memory().devices
    assert engine.tokenize(PROMPT)


def test_context_that_cannot_be_replaced_costs_one_request(engine: xlc.Engine, head: BrokenHead) -> None:
    answer = engine.complete(PROMPT, **ASK).text
    head.set_broken(True)
    with pytest.raises(xlc.EngineFailedError):
        engine.complete(PROMPT, **ASK)
    head.set_broken(False)
    away = head.path.rename(head.path.with_suffix(".away"))
    for _ in range(2):
        with pytest.raises(xlc.XllamaError, match=head.path.name):
            engine.complete(PROMPT, **ASK)
    away.rename(head.path)
    assert engine.complete(PROMPT, **ASK).text == answer


def test_all_running_requests_fail(engine: xlc.Engine, head: BrokenHead) -> None:
    head.set_broken(True)
    streams = [engine.stream_complete(PROMPT, **ASK) for _ in range(5)]
    for stream in streams:
        with pytest.raises(xlc.EngineFailedError):
            list(stream)


@pytest.fixture
def failing_model(tmp_path: Path) -> Path:
    """A model that loads, and then fails an assertion on each thread that computes a layer's rotary positions."""
    return with_metadata(MODELS / "multi-token.gguf", tmp_path / "failing.gguf", glm4moe__rope__dimension_count=4096)


def test_first_step_finds_failing_model(failing_model: Path) -> None:
    with pytest.raises(xlc.ModelLoadError, match="n_dims <= ne0"):
        xlc.Engine(failing_model, **OPTIONS)


def test_retrieval_gets_new_context(failing_model: Path) -> None:
    with xlc.Engine(failing_model, pooling="last", n_threads=2, warmup=False) as engine:
        for _ in range(3):
            with pytest.raises(xlc.EngineFailedError, match="n_dims <= ne0"):
                engine.embed(["some words"])
