"""How large the context becomes, for a request and for all slots."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest

import xlc_core as xlc
from helpers.tiny_models import write_byte_llama
from xlc_core import _native
from xlc_core.engine.context_size import ContextSize, context_size
from xlc_core.options.engine import CacheType, EngineOptions

GIB = 1 << 30


def model_file(n_ctx_train: int = 8192, kv_bytes_per_token: int = 1 << 20, **facts: Any) -> Any:
    known = {"shares_cache": True, "n_window": 0, **facts}
    return SimpleNamespace(n_ctx_train=n_ctx_train, kv_bytes_per_token=kv_bytes_per_token, **known)


def size_of(file: Any, free: int | None, **options: Any) -> tuple[int, int, int]:
    size = context_size(EngineOptions(model="m", **options), file, free)
    return size.n_ctx, size.n_ctx_total, size.n_parallel


@pytest.mark.parametrize(
    ("file", "n_parallel", "free", "n_ctx"),
    [
        (model_file(), 1, None, 8192),
        (model_file(), 4, None, 8192),
        (model_file(), 1, 64 * GIB, 8192),
        (model_file(), 1, 8 * GIB, 2048),  # a quarter of 8 GiB at 1 MiB per token
        (model_file(), 2, 8 * GIB, 1024),
        (model_file(), 1, 8 * GIB + 300 * (1 << 20), 2048),  # in steps of 256
        (model_file(), 1, 1, 512),
        (model_file(), 4, 0, 512),
        (model_file(n_ctx_train=256), 1, 0, 256),
        (model_file(n_ctx_train=0), 1, None, 4096),
        (model_file(kv_bytes_per_token=0), 2, 0, 8192),
    ],
)
def test_slot_context_is_limited_by_model_and_memory(file: Any, n_parallel: int, free: int | None, n_ctx: int) -> None:
    size = size_of(file, free, n_parallel=n_parallel, kv_unified=False)
    assert size == (n_ctx, n_ctx * n_parallel, n_parallel)


@pytest.mark.parametrize(
    ("free", "options", "expected"),
    [
        (None, {}, (8192, 4 * 8192, 4)),
        (64 * GIB, {}, (4096, 4 * 4096, 4)),
        (40 * GIB, {}, (5120, 2 * 5120, 2)),  # slots give way before a request holds less than 4096
        (8 * GIB, {}, (2048, 2048, 1)),
        (0, {}, (512, 512, 1)),
        (64 * GIB, {"n_ctx": 8192}, (8192, 2 * 8192, 2)),  # slots give way to what the user gave
        (1, {"n_ctx": 8192}, (8192, 8192, 1)),
        (1, {"n_ctx": 8192, "n_parallel": 4}, (8192, 4 * 8192, 4)),
        (1, {"n_ctx": 100}, (100, 100, 1)),
    ],
)
def test_slots_give_way_before_the_context(
    free: int | None, options: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    assert size_of(model_file(), free, kv_unified=False, **options) == expected
    assert size_of(model_file(shares_cache=False), free, **options) == expected


@pytest.mark.parametrize(("cache_type", "n_ctx"), [("f32", 1024), ("f16", 2048), ("q8_0", 3840), ("q4_0", 7168)])
def test_smaller_type_of_the_cache_makes_room(cache_type: str, n_ctx: int) -> None:
    types = {"cache_type_k": cache_type, "cache_type_v": cache_type}
    assert size_of(model_file(), 8 * GIB, n_parallel=1, **types) == (n_ctx, n_ctx, 1)


@pytest.mark.parametrize("cache_type", get_args(CacheType))
def test_bytes_of_a_type_are_llama_cpp_s(smollm2_path: Path, cache_type: Any) -> None:
    options: dict[str, Any] = {"cache_type_k": cache_type, "cache_type_v": cache_type, "flash_attn": "on"}
    file = _native.read_model_file(str(smollm2_path))
    taken = xlc.Engine.estimate(smollm2_path, n_ctx=1024, n_parallel=1, **options).context
    assert size_of(file, 4 * taken, n_parallel=1, **options) == (1024, 1024, 1)
    assert size_of(file, 4 * taken - 4096, n_parallel=1, **options) == (768, 768, 1)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"n_ctx_total": 8192}, (4096, 8192, 2)),
        ({"n_ctx_total": 8192, "n_parallel": 4}, (2048, 8192, 4)),
        ({"n_ctx_total": 300, "n_parallel": 1}, (300, 300, 1)),
        ({"n_ctx_total": 2**20, "n_parallel": 2}, (8192, 2 * 8192, 2)),  # no request could use the rest
        ({"n_ctx_total": 8192, "n_ctx": 2048}, (2048, 8192, 4)),
        ({"n_ctx_total": 8192, "n_ctx": 8192}, (8192, 8192, 1)),
        ({"n_ctx_total": 9000, "n_ctx": 2048, "n_parallel": 4}, (2048, 8192, 4)),
    ],
)
def test_total_is_shared_regardless_of_memory(options: dict[str, Any], expected: tuple[int, int, int]) -> None:
    assert size_of(model_file(), 1, kv_unified=False, **options) == expected


@pytest.mark.parametrize(
    ("free", "options", "expected"),
    [
        (None, {}, (8192, 4 * 8192, 16)),
        (40 * GIB, {}, (8192, 10240, 16)),  # the pool gives way, and then what a request may hold
        (8 * GIB, {}, (2048, 2048, 16)),
        (8 * GIB, {"n_ctx": 4096}, (4096, 4096, 16)),
        (8 * GIB, {"n_ctx": 4096, "n_parallel": 2}, (4096, 4096, 2)),
        (8 * GIB, {"n_ctx": 4096, "n_ctx_total": 6000}, (4096, 6000, 16)),
        (None, {"n_ctx": 4096, "n_parallel": 8}, (4096, 8 * 4096, 8)),
        (None, {"n_ctx": 4096, "n_ctx_total": 8 * 4096}, (4096, 8 * 4096, 16)),
        (8 * GIB, {"n_ctx_total": 300}, (300, 300, 16)),
        (8 * GIB, {"n_ctx": 100, "n_ctx_total": 2**20, "n_parallel": 2}, (100, 200, 2)),
    ],
)
def test_pool_gives_way_itself(free: int | None, options: dict[str, Any], expected: tuple[int, int, int]) -> None:
    assert size_of(model_file(), free, **options) == expected
    assert size_of(model_file(shares_cache=False), free, kv_unified=True, **options) == expected


def test_slots_of_sliding_windows_take_memory() -> None:
    assert size_of(model_file(n_window=512), None) == (8192, 4 * 8192, 4)


def test_slots_without_pool_need_their_share() -> None:
    with pytest.raises(xlc.InvalidRequestError, match="gives each of 4 slots 1024 tokens instead of n_ctx=2048"):
        size_of(model_file(shares_cache=False), None, n_ctx=2048, n_ctx_total=4096, n_parallel=4)
    assert size_of(model_file(), None, n_ctx=2048, n_ctx_total=4096, n_parallel=4) == (2048, 4096, 4)


@pytest.mark.parametrize("name", ["recurrent", "hybrid", "multi-token-hybrid"])
def test_recurrent_layers_are_known_from_the_file(name: str) -> None:
    models = Path(__file__).parents[1] / "model_files"
    assert not _native.read_model_file(str(models / f"{name}.gguf")).shares_cache
    assert _native.read_model_file(str(models / "llama.gguf")).shares_cache
    assert _native.read_model_file(str(models / "gemma3-vision.gguf")).n_window == 64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"n_ctx": 2048, "n_ctx_total": 4096, "n_parallel": 4, "kv_unified": False},
            "gives each of 4 slots 1024 tokens instead of n_ctx=2048; raise n_ctx_total to 8192, .*kv_unified=True",
        ),
        ({"n_ctx": 2048, "n_ctx_total": 1024}, "n_ctx_total=1024 is less than one request may hold"),
        ({"n_ctx": 2048, "n_ctx_total": 1024, "n_parallel": 4}, "raise it to n_ctx=2048"),
        ({"n_ctx": 2**24, "n_parallel": 256}, "exceed llama.cpp's limit"),
    ],
)
def test_sizes_that_contradict_each_other_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(xlc.InvalidRequestError, match=message):
        EngineOptions.checked(model="m", **options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"n_ctx": 512, "n_parallel": 3}, (512, 1536, 3)),
        ({"n_ctx": 300, "n_parallel": 2}, (512, 768, 2)),  # llama.cpp's steps of 256
        ({"n_ctx": 512, "n_parallel": 3, "n_ctx_total": 1024}, (512, 1024, 3)),
        ({"n_ctx_total": 1024, "n_parallel": 2, "kv_unified": False}, (512, 1024, 2)),
        ({"n_ctx_total": 1024, "n_parallel": 2}, (1024, 1024, 2)),
        ({"n_ctx": 512, "n_parallel": 2, "llama_args": ["--ctx-size", "2048"]}, (512, 2048, 2)),
        ({"n_parallel": 2, "llama_args": ["--ctx-size", "1024"]}, (1024, 1024, 2)),
    ],
)
def test_engine_has_these_sizes(tiny_path: Path, options: dict[str, Any], expected: tuple[int, int, int]) -> None:
    with xlc.Engine(tiny_path, n_threads=1, warmup=False, **options) as engine:
        info = engine.info
        assert (info.n_ctx, info.n_ctx_total, info.n_parallel) == expected
        assert f"{info.n_parallel} slots of {info.n_ctx} tokens" in repr(engine)
        with pytest.raises(xlc.ContextOverflowError) as caught:
            engine.complete("a" * info.n_ctx, max_tokens=1)
        assert caught.value.n_ctx == info.n_ctx
        assert engine.complete("a" * (info.n_ctx - 10), max_tokens=1).usage.completion_tokens == 1


def test_more_than_the_model_was_trained_with_is_a_warning(tiny_path: Path) -> None:
    options: dict[str, Any] = {"n_ctx": 4096, "n_parallel": 2, "n_threads": 1, "warmup": False}
    with (
        pytest.warns(UserWarning, match="n_ctx=4096 is more than the 2048 tokens that 'tiny' was trained with") as seen,
        xlc.Engine(tiny_path, **options) as engine,
    ):
        assert (engine.info.n_ctx, engine.info.n_ctx_total) == (2048, 4096)
    assert seen[0].filename == __file__
    longer = ["--override-kv", "llama.context_length=int:8192"]
    with xlc.Engine(tiny_path, **options, llama_args=longer) as engine:
        assert (engine.info.n_ctx, engine.info.n_ctx_total) == (4096, 8192)


@pytest.mark.parametrize("args", [["--ctx-size", "512"], ["--parallel", "8"]])
def test_llama_args_cannot_reduce_n_ctx(tiny_path: Path, args: list[str]) -> None:
    with pytest.raises(xlc.InvalidRequestError, match=r"llama_args: .* n_ctx=512 is required"):
        xlc.Engine(tiny_path, n_ctx=512, n_parallel=2, n_threads=1, kv_unified=False, llama_args=args)


def test_usable_context_is_rounded_and_capped() -> None:
    assert ContextSize(300, 600, 2).usable_n_ctx(model_file()) == 512
    assert size_of(model_file(), None, n_ctx=9000, n_parallel=2) == (8192, 2 * 8192, 2)
    assert ContextSize(9000, 9000, 1).usable_n_ctx(model_file()) == 8192


@pytest.fixture(scope="module")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_byte_llama(tmp_path_factory.mktemp("models") / "tiny.gguf")
