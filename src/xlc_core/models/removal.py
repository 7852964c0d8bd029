"""Removing fetched models from this disk."""

from __future__ import annotations

import os
from pathlib import Path

from xlc_core.errors import InvalidRequestError, ModelNotFoundError
from xlc_core.models import catalog, hub
from xlc_core.models.folders import find_cache_dir

__all__ = ["remove_model"]


def remove_model(name: str) -> int:
    """Remove the files of a model that xllama or huggingface_hub has fetched; return the bytes that are free again.

    The download that a requantised model was made from stays.

    Raises:
        ModelNotFoundError: the model is unknown, or not on this disk.
        InvalidRequestError: the file was not fetched: it is the user's own, or part of a package.
    """
    path = catalog.find_local(name)
    entry = catalog.entries().get(name)
    if path is None:
        catalog.cached_path(name)  # an unnamed model is another error
        if entry is None and not name.startswith("hf:"):
            raise ModelNotFoundError(f"model {name!r} is not in the catalog; `xllama models list` shows all")
        raise ModelNotFoundError(f"model {name!r} is not on this disk")
    if entry is not None and entry.source.startswith("package:"):
        package = entry.source.removeprefix("package:").partition("/")[0].replace("_", "-")
        raise InvalidRequestError(f"model {name!r} is part of a package; run `pip uninstall {package}`")
    if name.startswith("hf:") or (entry is not None and entry.source.startswith("hf:")):
        return sum(_remove_linked(part) for part in hub.model_parts(path))
    folder = find_cache_dir()
    if entry is None or folder is None or not path.is_relative_to(folder):
        raise InvalidRequestError(f"{path} was not fetched by xllama; remove the file yourself")
    return _remove_stored(path)


def _remove_linked(link: Path) -> int:
    """Remove a file of huggingface_hub's cache, which is a link to the bytes where the system has links."""
    content = Path(os.path.realpath(link))
    n_bytes = content.stat().st_size
    link.unlink()
    snapshots = content.parent.parent / "snapshots"
    if any(os.path.realpath(other) == str(content) for other in snapshots.rglob(link.name)):
        return 0  # another revision has the same file
    content.unlink(missing_ok=True)
    return n_bytes


def _remove_stored(path: Path) -> int:
    """Remove a file of xllama's cache and its record; the record last, which says that the file is whole."""
    n_bytes = path.stat().st_size
    path.with_name(f"{path.name}.json").unlink(missing_ok=True)
    path.unlink()
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    return n_bytes
