"""The memory that engines take, and the estimate of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import xlc_core as xlc
from helpers.tiny_media import write_mmproj
from helpers.tiny_models import write_byte_llama

CHAT = "smollm2-135m-instruct"
SMALL: dict[str, Any] = {"n_ctx": 512, "n_parallel": 2}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cache_type_k": "q8_0", "cache_type_v": "q8_0", "flash_attn": "on"},
        {"n_batch": 64, "n_ubatch": 64},
        {"use_mmap": False, "kv_unified": True, "n_parallel": 3},
        {"kv_unified": True, "n_parallel": 3, "n_ctx_total": 1024},
        {"speculation": xlc.DraftModel(CHAT)},
        {"llama_args": ["--ctx-size", "2048", "--no-repack"]},
    ],
)
def test_estimate_equals_memory_of_open_engine(options: dict[str, Any]) -> None:
    settings = {**SMALL, **options}
    estimate = xlc.Engine.estimate(CHAT, **settings)
    with xlc.Engine(CHAT, **settings) as engine:
        memory, info = engine.memory(), engine.info
    assert [device.device for device in estimate.devices] == [device.device for device in memory.devices]
    for part in ("model", "context", "compute", "total"):
        assert getattr(estimate, part) == pytest.approx(getattr(memory, part), rel=0.02)
    for size in ("n_ctx", "n_ctx_total", "n_parallel"):
        assert getattr(estimate, size) == getattr(info, size)
    assert estimate.fits
    assert not memory.asleep


def test_projector_is_counted(tmp_path: Path) -> None:
    model = write_byte_llama(tmp_path / "model.gguf")
    mmproj = write_mmproj(tmp_path / "mmproj.gguf")
    without = xlc.Engine.estimate(model, **SMALL)
    estimate = xlc.Engine.estimate(model, mmproj=mmproj, **SMALL)
    assert estimate.total > without.total + 0.9 * (mmproj.stat().st_size - 10_000)
    with xlc.Engine(model, mmproj=mmproj, **SMALL) as engine:
        assert engine.memory().total == pytest.approx(estimate.total, rel=0.02)


@pytest.mark.parametrize("model", ["all-minilm-l6-v2", "xllama-rerank-mini"])
@pytest.mark.parametrize("encoder", ["auto", "llama.cpp"])
def test_estimate_of_an_encoder_too(model: str, encoder: Any) -> None:
    estimate = xlc.Engine.estimate(model, encoder=encoder)
    with xlc.Engine(model, encoder=encoder) as engine:
        assert estimate.model == pytest.approx(engine.memory().model, rel=0.03)
    assert (estimate.n_ctx, estimate.n_ctx_total, estimate.n_parallel, estimate.context) == (0, 0, 0, 0)


def test_memory_parts_match_model_and_cache() -> None:
    # A processor's own format of the weights may take more than the file.
    with xlc.Engine(CHAT, n_ctx=2048, n_parallel=4, llama_args=["--no-repack"]) as engine:
        memory, size_bytes = engine.memory(), engine.info.size_bytes
    assert [device.device for device in memory.devices][-1] == "CPU"
    assert memory.model == pytest.approx(size_bytes, rel=0.05)
    # 30 layers of 3 heads of 64 keys and values of two bytes for each of 8192 tokens.
    assert memory.context >= 30 * 3 * 64 * 2 * 2 * 8192
    assert memory.compute > 1_000_000
    assert memory.total == memory.model + memory.context + memory.compute
    assert memory.total == sum(device.total for device in memory.devices)


def test_twice_the_context_takes_twice_the_cache() -> None:
    small, large = (xlc.Engine.estimate(CHAT, n_ctx=n_ctx, n_parallel=2) for n_ctx in (512, 1024))
    assert (small.n_ctx, small.n_ctx_total) == (512, 1024)
    assert (large.n_ctx, large.n_ctx_total) == (1024, 2048)
    assert large.context == 2 * small.context
    assert large.model == small.model


def test_estimate_detects_models_that_do_not_fit() -> None:
    estimate = xlc.Engine.estimate(xlc.EngineOptions(model=CHAT, n_ctx=8192, n_parallel=256, kv_unified=False))
    assert estimate.context == 256 * 8192 * 30 * 3 * 64 * 2 * 2
    free = estimate.devices[-1].free
    assert free is None or estimate.fits == (estimate.total <= free)


def test_estimate_and_opening_refuse_alike(tmp_path: Path) -> None:
    with pytest.raises(xlc.InvalidRequestError, match="unknown option 'n_ctxx'"):
        xlc.Engine.estimate(CHAT, n_ctxx=1)  # type: ignore[call-arg]
    with pytest.raises(xlc.ModelNotFoundError):
        xlc.Engine.estimate(tmp_path / "none.gguf")
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(write_byte_llama(tmp_path / "whole.gguf").read_bytes()[:20_000])
    with pytest.raises(xlc.ModelLoadError):
        xlc.Engine.estimate(broken)


def test_retrieval_adds_a_context_of_its_own(tmp_path: Path) -> None:
    path = write_byte_llama(tmp_path / "tiny.gguf")
    with xlc.Engine(path, n_ctx=512, n_parallel=1, n_threads=1) as engine:
        before = engine.memory()
        engine.embed(["the hat"])
        after = engine.memory()
        assert after.model == before.model
        assert after.context > before.context
        assert after.compute > before.compute


def test_prompt_cache_is_counted(tmp_path: Path) -> None:
    path = write_byte_llama(tmp_path / "tiny.gguf")
    with xlc.Engine(path, n_ctx=512, n_parallel=1, n_threads=1) as engine:
        engine.complete("a" * 100, max_tokens=1)
        assert engine.memory().prompt_cache == 0
        engine.complete("b", max_tokens=1)
        # Two layers of 64 keys and values, two bytes each, for each token.
        assert engine.memory().prompt_cache >= 100 * 2 * 64 * 2 * 2


def test_memory_can_be_read_while_the_engine_works_and_from_a_loop(engine: xlc.Engine) -> None:
    with engine.stream_complete("a", max_tokens=200, ignore_eos=True) as stream:
        next(stream)
        memory = asyncio.run(engine.amemory())
        assert memory.total == engine.memory().total
        assert engine.metrics().requests_running == 1


def test_memory_of_closed_engine_is_an_error(tmp_path: Path) -> None:
    engine = xlc.Engine(write_byte_llama(tmp_path / "tiny.gguf"), n_ctx=512, n_threads=1)
    engine.close()
    with pytest.raises(xlc.EngineClosedError):
        engine.memory()
