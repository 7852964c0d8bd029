"""Files that belong to a model: LoRA adapters, control vectors, projectors."""

from __future__ import annotations

from pathlib import Path

from xlc_core.errors import ModelNotFoundError
from xlc_core.models import catalog

__all__ = ["find_file"]


def find_file(path: str | Path, what: str) -> str:
    """Return the path of a file that belongs to a model. A file on the hub is fetched first.

    Raises:
        ModelNotFoundError: the file does not exist.
    """
    if isinstance(path, str) and path.startswith("hf:"):
        return str(catalog.resolve(path).path)
    found = Path(path).expanduser()
    if not found.is_file():
        raise ModelNotFoundError(
            f"there is no {what} at '{found}'; pass the path of its GGUF file, or hf:owner/repo:file"
        )
    return str(found)
