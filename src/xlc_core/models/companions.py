"""Files that belong to a model: LoRA adapters, control vectors, projectors."""

from __future__ import annotations

import os
from pathlib import Path

from xlc_core.errors import ModelNotFoundError
from xlc_core.models import catalog
from xlc_core.models.folders import expand_home, missing_reason

__all__ = ["find_file"]


def find_file(path: str | Path, what: str) -> str:
    """Return the path of a file that belongs to a model. A file on the hub is fetched first.

    Raises:
        ModelNotFoundError: the file does not exist.
    """
    if isinstance(path, str) and path.startswith("hf:"):
        return str(catalog.resolve(path).path)
    found = expand_home(path)
    if not os.path.isfile(found):
        raise ModelNotFoundError(
            f"{missing_reason(found, what)}; pass the path of its GGUF file, or hf:owner/repo:file"
        )
    return str(found)
