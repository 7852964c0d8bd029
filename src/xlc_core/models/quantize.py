"""Writing a model again with smaller weights, by llama.cpp's own quantiser."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from xlc_core import _native
from xlc_core.errors import InvalidRequestError, ModelNotFoundError
from xlc_core.models import catalog

__all__ = ["QUANTIZATION_TYPES", "quantize_model"]

QUANTIZATION_TYPES: tuple[str, ...] = tuple(_native.quantization_types())
"""Types of weights that a model can be written with and that need no importance matrix, by llama.cpp's names."""


def quantize_model(
    source: str | Path,
    target: str | Path,
    weights: str,
    *,
    n_threads: int | None = None,
    overwrite: bool = False,
    progress: Callable[[float], object] | None = None,
) -> Path:
    """Write a model again with weights of another type.

    From F16 or BF16 the result is as good as it can be; from weights that are quantised already it loses a little more,
    but a type may be faster on this processor than the one a file came with.

    Args:
        source: a GGUF file, a catalog name or an ``hf:`` name.
        target: the file to write; nothing half written is ever seen under this name.
        weights: one of QUANTIZATION_TYPES, in any case, such as ``"Q4_K_M"``.
        n_threads: threads to compute with; None: all cores.
        overwrite: whether the target may exist.
        progress: called with 0 … 1 now and then; what it raises ends the work.

    Returns:
        the target.

    Raises:
        InvalidRequestError: no such type, or the target exists or is the source.
        ModelNotFoundError: there is no such source, or no folder for the target.
        ModelLoadError: llama.cpp cannot read or quantise the source; the message carries its reason.
    """
    kind = weights.upper()
    if kind not in QUANTIZATION_TYPES:
        raise InvalidRequestError(f"unknown type of weights {weights!r}; choose one of {', '.join(QUANTIZATION_TYPES)}")
    path, target = catalog.resolve(source).path, Path(target)
    if target.exists() and (not overwrite or target.samefile(path)):
        raise InvalidRequestError(f"{target} exists; choose another name" + ("" if overwrite else " or overwrite it"))
    if not target.parent.is_dir():
        raise ModelNotFoundError(f"there is no folder {target.parent} to write {target.name} to")
    with tempfile.TemporaryDirectory(prefix=".xllama-", dir=target.parent) as folder:
        made = Path(folder) / target.name
        _native.quantize(str(path), str(made), kind, n_threads or 0, progress)
        os.replace(made, target)
    return target
