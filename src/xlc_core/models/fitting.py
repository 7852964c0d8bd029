"""An estimate of a model's memory before it is fetched or opened, without llama.cpp."""

from __future__ import annotations

from pathlib import Path

from xlc_core.models import catalog, hub

__all__ = ["download_size", "estimated_memory", "file_size", "fits_memory", "model_size"]

# Beside the weights: the context and the buffers, which grow with the model, and the program itself.
_SHARE = 1.2
_FIXED = 500_000_000


def file_size(path: Path) -> int:
    """Return the bytes of a model's file, with all parts of a split model."""
    return sum(part.stat().st_size for part in hub.model_parts(path))


def download_size(entry: catalog.CatalogEntry) -> int | None:
    """Return about the bytes of a model's download, if the catalog knows them."""
    return entry.size_bytes or entry.approx_size


def model_size(entry: catalog.CatalogEntry) -> int | None:
    """Return the bytes of a model's files if they are on this disk, else about those of its download, if known."""
    path = catalog.present_path(entry)
    if path is not None:
        return file_size(path)
    return download_size(entry)


def estimated_memory(size: int) -> int:
    """Return about the bytes of memory that an engine with default options needs.

    Args:
        size: bytes of the model's files.
    """
    return round(size * _SHARE) + _FIXED


def fits_memory(size: int | None, free: int | None) -> bool | None:
    """Return whether a model fits into main memory; None if a size is unknown.

    ``Engine.estimate`` knows more, such as the memory of GPUs, but needs the file.

    Args:
        size: bytes of the model's files.
        free: bytes of main memory, from ``hardware.available_memory``.
    """
    return None if size is None or free is None else estimated_memory(size) <= free
