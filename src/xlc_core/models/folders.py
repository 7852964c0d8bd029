"""Where fetched models are."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

__all__ = ["cache_dir"]


def cache_dir() -> Path:
    """Return the folder of the fetched models: ``$XLLAMA_CACHE``, or else the user's cache folder.

    Models from the hub are not in it, but in huggingface_hub's cache, which other programs share.
    """
    if chosen := os.environ.get("XLLAMA_CACHE"):
        return Path(chosen).expanduser()
    return platformdirs.user_cache_path("xllama") / "models"
