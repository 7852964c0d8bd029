"""A description of a model for people: the catalog's facts, and those of its file if it is on this disk."""

from __future__ import annotations

from typing import Any

from xlc_core import _native, hardware
from xlc_core.engine.engine import Engine
from xlc_core.models import catalog
from xlc_core.models.fitting import download_size, estimated_memory, file_size, fits_memory
from xlc_core.texts import native_path, python_path

__all__ = ["describe_model"]


def describe_model(name: str) -> dict[str, Any]:
    """Return facts about a model, by their names. Never uses the network.

    Sizes are in bytes. ``memory_needed`` and ``fits`` are for an engine with default options now. If the model is not
    on this disk, they and ``size`` are estimates from its catalog entry and the main memory, ``approximate`` is True,
    and facts that only the file has are None.

    Raises:
        ModelNotFoundError: the name is neither in the catalog nor a file.
        ModelLoadError: the file is not a GGUF file.
    """
    entry = catalog.entries().get(name)
    path = catalog.find_local(name)
    if entry is None and path is None and not name.startswith("hf:"):
        catalog.is_cached(name)  # raises with the names that are near
    found: dict[str, Any] = {
        "name": name,
        "kind": entry.kind if entry else None,
        "description": entry.description if entry else None,
        "license": entry.license if entry else None,
        "source": entry.source if entry else None,
        "path": None,
        **_expected(entry),
    }
    if path is not None:
        file = _native.read_model_file(native_path(path, "the model"))
        estimate = Engine.estimate(path)
        free = [device.free for device in estimate.devices]
        found |= {
            "kind": found["kind"] or _kind(file),
            "path": python_path(file.path),
            "size": file_size(path),
            "architecture": file.architecture,
            "context": file.n_ctx_train,
            "memory_needed": estimate.total,
            "memory_free": None if None in free else sum(n for n in free if n is not None),
            "fits": estimate.fits,
            "approximate": False,
        }
    return found


def _expected(entry: catalog.CatalogEntry | None) -> dict[str, Any]:
    """Return the facts of a file that is not on this disk, as far as the catalog knows them."""
    size = download_size(entry) if entry else None
    free = hardware.available_memory()
    return {
        "size": size,
        "architecture": None,
        "context": entry.n_ctx if entry else None,
        "memory_needed": None if size is None else estimated_memory(size),
        "memory_free": free,
        "fits": fits_memory(size, free),
        "approximate": True,
    }


def _kind(file: _native.ModelFile) -> str:
    if file.has_rank_head:
        return "reranker"
    return "chat" if file.causal else "embedding"
