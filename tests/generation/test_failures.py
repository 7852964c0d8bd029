"""The failure of one request is its own: the requests beside it go on, and the engine stays usable."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import xlc_core as xlc

MODELS = Path(__file__).parents[1] / "model_files"


def test_full_cache_ends_largest_request_only() -> None:
    """Two requests need more than the cache that they share; llama.cpp ends both."""
    options = {"n_ctx": 512, "n_ctx_total": 512, "n_parallel": 2, "kv_unified": True, "n_threads": 1, "warmup": False}
    with xlc.Engine(MODELS / "llama.gguf", **options) as engine:
        large = engine.stream_complete("b" * 200, max_tokens=300, ignore_eos=True, temperature=0.0)
        small = engine.stream_complete("a", max_tokens=250, ignore_eos=True, temperature=0.0)
        results: list[xlc.Completion] = []
        reader = threading.Thread(target=lambda: results.append(small.result()))
        reader.start()
        with pytest.raises(xlc.EngineFailedError, match="KV cache is full"):
            large.result()
        reader.join()
        alone = engine.complete("a", max_tokens=250, ignore_eos=True, temperature=0.0)
        assert results[0].usage.completion_tokens == 250
        assert results[0].text[:100] == alone.text[:100]  # later, other cells of the cache round differently
        assert engine.metrics().requests_running == 0
