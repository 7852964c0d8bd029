"""How large the context becomes: for each request, for all slots together, and how many slots there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xlc_core import _native
from xlc_core.options.engine import CacheType, EngineOptions

__all__ = ["ContextSize", "context_size", "exceeds_training"]

_N_SLOTS = 4
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
    """

    n_ctx: int
    n_ctx_total: int
    n_parallel: int

    def usable_n_ctx(self, file: _native.ModelFile) -> int:
        """Return llama.cpp's value for ``n_ctx``: rounded up, but not above the context of the model's training."""
        return min(_rounded_up(self.n_ctx), file.n_ctx_train or _UNKNOWN_N_CTX_TRAIN)


def context_size(options: EngineOptions, file: _native.ModelFile, free_memory: int | None) -> ContextSize:
    """Return the user's sizes, with values for those that are not set.

    Without the user's sizes the cache takes at most a quarter of the free memory. If it would need more, the number of
    slots is reduced first, down to 1, until a request may hold ``n_ctx``, or 4096 tokens if that is not set; then
    ``n_ctx`` is reduced, down to 512. With ``kv_unified`` the slots share the cache, and the total is reduced first.

    Args:
        options: the user's options.
        file: the model file.
        free_memory: bytes that may be allocated; None when unknown.
    """
    trained = file.n_ctx_train or _UNKNOWN_N_CTX_TRAIN
    given = options.n_ctx
    if given is not None and exceeds_training(options, file):
        given = file.n_ctx_train
    wanted = given or min(trained, _USEFUL_N_CTX)
    if options.n_ctx_total is not None:
        budget, least, step = options.n_ctx_total, 1, 1
    else:
        budget, least, step = _affordable_tokens(options, file, free_memory), _MIN_N_CTX, _STEP
    fitting_slots = _N_SLOTS if options.kv_unified else max(1, min(_N_SLOTS, budget // wanted))
    n_parallel = options.n_parallel or fitting_slots
    share = budget if options.kv_unified else budget // n_parallel
    n_ctx = given or min(trained, max(least, share // step * step))
    total = n_ctx * n_parallel
    return ContextSize(n_ctx, min(total, max(n_ctx, budget)) if options.kv_unified else total, n_parallel)


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
