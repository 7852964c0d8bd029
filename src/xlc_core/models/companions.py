"""Files that go with a model: LoRA adapters, control vectors, projectors."""

from __future__ import annotations

from pathlib import Path

from xlc_core.errors import ModelNotFoundError
from xlc_core.models import catalog

__all__ = ["find_file"]


def find_file(path: str | Path, what: str) -> str:
    """Return where a file lies that goes with a model, fetching it first where it is the hub's.

    Raises:
        ModelNotFoundError: it is not there.
    """
    if isinstance(path, str) and path.startswith("hf:"):
        return str(catalog.resolve(path).path)
    found = Path(path).expanduser()
    if not found.is_file():
        raise ModelNotFoundError(
            f"there is no {what} at '{found}'; give the path of its GGUF file, or hf:owner/repo:file"
        )
    return str(found)
