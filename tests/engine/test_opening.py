"""Defaults that depend on the model and the machine."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from xlc_core import _native, hardware
from xlc_core.engine import opening
from xlc_core.options.options import EngineOptions

GIB = 1 << 30


def model_file(n_ctx_train: int = 8192, kv_bytes_per_token: int = 1 << 20) -> Any:
    return SimpleNamespace(n_ctx_train=n_ctx_train, kv_bytes_per_token=kv_bytes_per_token)


@pytest.mark.parametrize(
    ("file", "n_parallel", "free", "n_ctx"),
    [
        (model_file(), 1, None, 8192),
        (model_file(), 4, None, 4 * 8192),
        (model_file(), 1, 64 * GIB, 8192),
        (model_file(), 1, 8 * GIB, 2048),  # a quarter of 8 GiB at 1 MiB per token
        (model_file(), 2, 8 * GIB, 2 * 1024),
        (model_file(), 1, 8 * GIB + 300 * (1 << 20), 2048),  # in steps of 256
        (model_file(), 1, 1, 512),
        (model_file(), 4, 0, 4 * 512),
        (model_file(n_ctx_train=256), 1, 0, 256),
        (model_file(n_ctx_train=0), 1, None, 4096),
        (model_file(kv_bytes_per_token=0), 2, 0, 2 * 8192),
    ],
)
def test_each_slot_gets_what_the_model_knows_and_memory_allows(
    file: Any, n_parallel: int, free: int | None, n_ctx: int
) -> None:
    assert opening.default_n_ctx(file, n_parallel, free) == n_ctx


@pytest.fixture
def smollm2(smollm2_path: Path) -> _native.ModelFile:
    return _native.read_model_file(str(smollm2_path))


def test_what_the_user_left_open_is_decided(smollm2: _native.ModelFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "available_cores", lambda: 3)
    monkeypatch.setattr(hardware, "available_memory", lambda: None)
    native = opening.native_params(EngineOptions(model="m", n_parallel=2), "the name", smollm2)
    assert native.model_name == "the name"
    assert native.model_path == smollm2.path
    assert (native.n_ctx, native.n_ctx_retrieval) == (2 * 8192, 0)
    assert (native.n_threads, native.n_threads_batch) == (3, 3)
    assert (native.n_gpu_layers, native.thinking, native.context_shift) == (-1, -1, False)
    assert native.llama_args == []


def test_what_the_user_said_stands(smollm2: _native.ModelFile) -> None:
    options = EngineOptions(
        model="m", n_ctx=512, n_threads=1, n_threads_batch=2, n_gpu_layers="all", thinking=False, on_overflow="shift",
        chat_template="t", pooling="mean", tensor_split=(1.0, 2.0), llama_args=("--mlock",), cache_type_k="q8_0",
    )  # fmt: skip
    native = opening.native_params(options, "m", smollm2)
    assert (native.n_ctx, native.n_ctx_retrieval, native.n_threads, native.n_threads_batch) == (512, 512, 1, 2)
    assert (native.n_gpu_layers, native.thinking, native.context_shift) == (-2, 0, True)
    assert (native.chat_template, native.pooling, native.cache_type_k) == ("t", "mean", "q8_0")
    assert (list(native.tensor_split), native.llama_args) == ([1.0, 2.0], ["--mlock"])


def test_every_option_of_the_engine_reaches_the_native_parameters() -> None:
    native = {name for name in vars(_native.EngineParams) if not name.startswith("_")}
    otherwise_named = {
        "model": "model_path",
        "on_overflow": "context_shift",
        "speculation": "llama_args",
        "control_vector_layers": "control_vector_first_layer",
    }
    not_native = {"allow_remote_media"}
    assert {otherwise_named.get(name, name) for name in EngineOptions.model_fields.keys() - not_native} <= native


def test_a_function_is_reported_to_as_it_is() -> None:
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
