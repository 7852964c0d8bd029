"""Defaults that depend on the model and the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.children import run_child
from xlc_core import _native, hardware
from xlc_core.engine import opening
from xlc_core.options.engine import EngineOptions


@pytest.fixture
def smollm2(smollm2_path: Path) -> _native.ModelFile:
    return _native.read_model_file(str(smollm2_path))


def test_open_options_get_defaults(smollm2: _native.ModelFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "available_cores", lambda: 3)
    monkeypatch.setattr(hardware, "available_memory", lambda: None)
    native = opening.native_params(EngineOptions(model="m", n_parallel=2), "the name", smollm2)
    assert native.model_name == "the name"
    assert native.model_path == smollm2.path
    assert (native.n_ctx, native.n_ctx_total, native.n_parallel, native.n_ctx_retrieval) == (0, 2 * 8192, 2, 0)
    assert (native.n_threads, native.n_threads_batch) == (3, 3)
    assert (native.n_gpu_layers, native.thinking, native.context_shift) == (-1, -1, False)
    assert native.llama_args == []


def test_user_options_are_kept(smollm2: _native.ModelFile) -> None:
    options = EngineOptions(
        model="m", n_ctx=512, n_parallel=3, n_threads=1, n_threads_batch=2, n_gpu_layers="all",
        thinking=False, on_overflow="shift",
        chat_template="{{ t }}", pooling="mean", tensor_split=(1.0, 2.0), llama_args=("--mlock",), cache_type_k="q8_0",
    )  # fmt: skip
    native = opening.native_params(options, "m", smollm2)
    assert (native.n_ctx, native.n_ctx_total, native.n_ctx_retrieval) == (512, 3 * 512, 512)
    assert (native.n_threads, native.n_threads_batch) == (1, 2)
    assert (native.n_gpu_layers, native.thinking, native.context_shift) == (-2, 0, True)
    assert (native.chat_template, native.pooling, native.cache_type_k) == ("{{ t }}", "mean", "q8_0")
    assert (list(native.tensor_split), native.llama_args) == ([1.0, 2.0], ["--mlock"])


def test_every_option_of_the_engine_reaches_the_native_parameters() -> None:
    native = {name for name in vars(_native.EngineParams) if not name.startswith("_")}
    otherwise_named = {
        "model": "model_path",
        "on_overflow": "context_shift",
        "speculation": "llama_args",
        "control_vector_layers": "control_vector_first_layer",
    }
    not_native = {"allow_local_media", "allow_remote_media"}
    assert {otherwise_named.get(name, name) for name in EngineOptions.model_fields.keys() - not_native} <= native


def test_function_is_reported_to_as_it_is() -> None:
    seen: list[float] = []
    report = opening.progress_reporter(seen.append, "m")
    assert report is not None
    report(0.5)
    assert seen == [0.5]


def test_no_bar_is_shown_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert opening.progress_reporter(False, "m") is None
    assert opening.progress_reporter(None, "m") is None
    report = opening.progress_reporter(True, "m")
    assert report is not None
    report(0.5)
    report(1.0)
    assert capsys.readouterr().out == ""


def test_engines_open_at_same_time() -> None:
    """llama.cpp swapped the process's logger while it measured a model; another thread called the one that was gone."""
    program = """
import threading
options = dict(n_ctx=256, n_parallel=1, n_threads=1, warmup=False)
threads = [threading.Thread(target=lambda: xlc.Engine("smollm2-135m-instruct", **options).close()) for _ in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("opened")
"""
    for _ in range(3):
        assert run_child(program).strip() == "opened"
