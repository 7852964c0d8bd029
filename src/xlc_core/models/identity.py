"""Identifies the weights behind a model's name, for caches that must not confuse two models."""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path

from xlc_core.models.catalog import cached_path
from xlc_core.models.hub import model_parts

__all__ = ["model_identity"]

_SAMPLE = 1 << 20  # bytes read at the start, the middle and the end of the file


def model_identity(model: str | Path | None) -> str | None:
    """Return a short text that is equal for equal model files, wherever they are, and different for others.

    It consists of the file's size and a hash of its header and samples of its weights, so it takes milliseconds even
    for a large file; of a model that is split into several files, all of them count. Never uses the network.

    Args:
        model: a path, a name of the catalog, or ``hf:owner/repo[:quant-or-file]``; None: the value of ``XLLAMA_MODEL``.

    Returns:
        the text; None if the model is not on this disk.

    Raises:
        ModelNotFoundError: no model was named.
    """
    path = cached_path(model)
    if path is None:
        return None
    parts = [part for part in model_parts(path) if part.exists()]
    identities = []
    for part in parts:
        stat = part.stat()
        identities.append(_sampled(os.fspath(part), stat.st_size, stat.st_mtime_ns))
    return "+".join(identities)


@functools.lru_cache(maxsize=64)
def _sampled(path: str, size: int, modified_ns: int) -> str:
    digest = hashlib.sha256(str(size).encode())
    with open(path, "rb") as file:
        for start in (0, size // 2, max(0, size - _SAMPLE)):
            file.seek(start)
            digest.update(file.read(_SAMPLE))
    return f"{size}-{digest.hexdigest()[:16]}"
