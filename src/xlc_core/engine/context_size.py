"""How large the context becomes: for each request, for all slots together, and how many slots there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xlc_core import _native
from xlc_core.options.engine import CacheType, EngineOptions

__all__ = ["ContextSize", "context_size", "exceeds_training"]

_N_SLOTS = 4
_N_POOL_SLOTS = 16  # slots of a pool take no memory of their own
_N_FULL_REQUESTS = 4  # by default a pool holds this many requests of full length
_KV_SHARE = 4  # by default the cache uses at most a quarter of the free memory
_USEFUL_N_CTX = 4096  # the number of slots gives way until a request may hold this much
_MIN_N_CTX = 512
_STEP = 256  # llama.cpp rounds the context up to a multiple of this
_UNKNOWN_N_CTX_TRAIN = 4096
_UNLIMITED = 2**62

# Size of a number in sixteenths of a bit, with its share of a scale. ModelFile counts with f16.
_BITS: Mapping[CacheType, int] = {
    "f32": 512, "f16": 256, "bf16": 256, "q8_0": 136, "q5_1": 96, "q5_0": 88, "q4_1": 80, "q4_0": 72, "iq4_nl": 72,
}  # fmt: skip


@dataclass(frozen=True)
class ContextSize:
    """The sizes that an engine is opened with.

    Attributes:
        n_ctx: tokens that one request may hold, prompt and answer together.
        n_ctx_total: tokens of KV cache for all slots together.
        n_parallel: slots.
        kv_unified: whether all requests share one pool of cache.
    """

    n_ctx: int
    n_ctx_total: int
    n_parallel: int
    kv_unified: bool = True

    def usable_n_ctx(self, file: _native.ModelFile) -> int:
        """Return llama.cpp's value for ``n_ctx``: rounded up, but not above the context of the model's training."""
        return min(_rounded_up(self.n_ctx), file.n_ctx_train or _UNKNOWN_N_CTX_TRAIN)


def context_size(options: EngineOptions, file: _native.ModelFile, free_memory: int | None) -> ContextSize:
    """Return the user's sizes, with values for those that are not set.

    Without the user's sizes the cache takes at most a quarter of the free memory. If it would need more, a pool is
    reduced first, then ``n_ctx``, down to 512. Without a pool the number of slots is reduced first, down to 1, until a
    request may hold ``n_ctx``, or 4096 tokens if that is not set.

    Args:
        options: the user's options.
        file: the model file.
        free_memory: bytes that may be allocated; None when unknown.

    Raises:
        InvalidRequestError: ``n_ctx_total`` does not give every slot ``n_ctx`` tokens, and this model has no pool.
    """
    trained = file.n_ctx_train or _UNKNOWN_N_CTX_TRAIN
    given = options.n_ctx
    if given is not None and exceeds_training(options, file):
        given = file.n_ctx_train
    if options.n_ctx_total is not None:
        budget, least, step = options.n_ctx_total, 1, 1
    else:
        budget, least, step = _affordable_tokens(options, file, free_memory), _MIN_N_CTX, _STEP
    shares = file.shares_cache if options.kv_unified is None else options.kv_unified
    if not shares:
        options.require_room_for_all()
        n_parallel = options.n_parallel or max(1, min(_N_SLOTS, budget // (given or min(trained, _USEFUL_N_CTX))))
        n_ctx = given or min(trained, max(least, budget // n_parallel // step * step))
        return ContextSize(n_ctx, n_ctx * n_parallel, n_parallel, kv_unified=False)
    n_parallel = options.n_parallel or (_N_SLOTS if file.n_window else _N_POOL_SLOTS)
    n_ctx = given or min(trained, max(least, budget // step * step))
    most = n_parallel if options.n_parallel or options.n_ctx_total else min(n_parallel, _N_FULL_REQUESTS)
    return ContextSize(n_ctx, min(n_ctx * most, max(n_ctx, budget)), n_parallel)


def exceeds_training(options: EngineOptions, file: _native.ModelFile) -> bool:
    """Return whether ``n_ctx`` is more than llama.cpp gives a request: as many tokens as the model was trained with.

    Args:
        options: how the engine is opened; ``llama_args`` may change that number.
        file: the model file.
    """
    changed = any("context_length" in argument for argument in options.llama_args)
    return options.n_ctx is not None and not changed and 0 < file.n_ctx_train < options.n_ctx


def _affordable_tokens(options: EngineOptions, file: _native.ModelFile, free_memory: int | None) -> int:
    if free_memory is None or file.kv_bytes_per_token <= 0:
        return _UNLIMITED
    bits = _BITS[options.cache_type_k] + _BITS[options.cache_type_v]
    return free_memory // _KV_SHARE * 2 * _BITS["f16"] // (file.kv_bytes_per_token * bits)


def _rounded_up(n_ctx: int) -> int:
    return -(-n_ctx // _STEP) * _STEP
