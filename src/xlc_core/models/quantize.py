"""Writing a copy of a model with smaller weights, with llama.cpp's quantiser."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from xlc_core import _native
from xlc_core.errors import InvalidRequestError, ModelNotFoundError
from xlc_core.models import catalog
from xlc_core.options.engine import EngineOptions
from xlc_core.texts import native_path

__all__ = ["QUANTIZATION_TYPES", "quantize_model"]

QUANTIZATION_TYPES: tuple[str, ...] = tuple(_native.quantization_types())
"""Types of weights that do not need an importance matrix, by llama.cpp's names."""


def quantize_model(
    source: str | Path,
    target: str | Path,
    weights: str,
    *,
    n_threads: int | None = None,
    overwrite: bool = False,
    progress: Callable[[float], object] | None = None,
) -> Path:
    """Write a copy of a model with weights of another type.

    From F16 or BF16 the result is as good as possible. From quantised weights it loses a little more, but the new type
    may be faster on this processor. Blocks as long as computing and writing the weights takes, without the GIL.

    Args:
        source: a GGUF file, a catalog name or an ``hf:`` name.
        target: the file to write; it appears only when it is complete.
        weights: one of QUANTIZATION_TYPES, in upper or lower case, such as ``"Q4_K_M"``.
        n_threads: threads to compute with, at most 512; None: all cores.
        overwrite: whether the target may exist.
        progress: called with 0 … 1 now and then; an exception in it ends the work. None: it is not reported.

    Returns:
        the target.

    Raises:
        InvalidRequestError: the type does not exist, the target exists or is the source, or ``n_threads`` is wrong.
        ModelNotFoundError: the source or the target's folder does not exist, or the source could not be fetched.
        ModelLoadError: llama.cpp cannot read or quantise the source; the message carries its reason.
    """
    kind = weights.upper()
    if kind not in QUANTIZATION_TYPES:
        raise InvalidRequestError(f"unknown type of weights {weights!r}; choose one of {', '.join(QUANTIZATION_TYPES)}")
    EngineOptions.checked(n_threads=n_threads)
    path, target = catalog.resolve(source).path, Path(target)
    if target.exists() and (not overwrite or target.samefile(path)):
        raise InvalidRequestError(f"{target} exists; choose another name" + ("" if overwrite else " or overwrite it"))
    if not target.parent.is_dir():
        raise ModelNotFoundError(f"there is no folder {target.parent} to write {target.name} to")
    with tempfile.TemporaryDirectory(prefix=".xllama-", dir=target.parent) as folder:
        made = Path(folder) / target.name
        _native.quantize(
            native_path(path, "the source"), native_path(made, "the target"), kind, n_threads or 0, progress
        )
        os.replace(made, target)
    return target
