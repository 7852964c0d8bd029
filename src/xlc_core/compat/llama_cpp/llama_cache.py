"""LlamaCache, as in llama-cpp-python, for programs that ask for it. The engine caches prompts by itself."""

from __future__ import annotations

__all__ = ["BaseLlamaCache", "LlamaCache", "LlamaDiskCache", "LlamaRAMCache"]

_DEFAULT_BYTES = 2 << 30


class BaseLlamaCache:
    """Base of caches.

    Args:
        capacity_bytes: bytes that it may take; has no effect: ``Llama(cache_ram_mib=…)`` sets the size, in MiB, when
            the model is opened [1024].
    """

    def __init__(self, capacity_bytes: int = _DEFAULT_BYTES) -> None:
        self.capacity_bytes = capacity_bytes


class LlamaRAMCache(BaseLlamaCache):
    """The engine's own cache of prompts in memory, which is always on."""


LlamaCache = LlamaRAMCache
"""Another name of LlamaRAMCache."""


class LlamaDiskCache(BaseLlamaCache):
    """Not available: conversations on disk are files of their own.

    Args:
        cache_dir: the folder.
        capacity_bytes: bytes that it may take.

    Raises:
        NotImplementedError: always.
    """

    def __init__(self, cache_dir: str = ".cache/llama_cache", capacity_bytes: int = _DEFAULT_BYTES) -> None:
        raise NotImplementedError(
            "LlamaDiskCache is not available; Llama.engine.save_session(path, …) and load_session(path) keep a "
            "conversation in a file"
        )
