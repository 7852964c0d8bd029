"""Where the user's catalog and fetched models are. A service may run without a home folder."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from xlc_core.errors import ModelNotFoundError

__all__ = ["cache_dir", "expand_home", "find_cache_dir", "find_config_dir", "missing_reason"]


def expand_home(path: str | Path) -> Path:
    """Return a path with ``~`` expanded. A home folder that does not exist is left as it is, as in a shell."""
    return Path(os.path.expanduser(path))


def missing_reason(path: Path, what: str) -> str:
    """Return why a file cannot be used, for an error: that it is missing, or that the system refuses to look at it.

    Args:
        path: the file.
        what: what kind of file it is, such as "LoRA adapter".
    """
    try:
        os.stat(path)
    except FileNotFoundError:
        return f"there is no {what} at '{path}'"
    except (OSError, ValueError) as error:
        return f"the {what} '{path}' cannot be opened: {getattr(error, 'strerror', None) or error}"
    return f"'{path}' is not a file"


def cache_dir() -> Path:
    """Return the folder of the fetched models: ``$XLLAMA_CACHE``, or else the user's cache folder.

    Models from the hub are not in it, but in huggingface_hub's cache, which other programs share.

    Raises:
        ModelNotFoundError: neither is known, because the user does not have a home folder.
    """
    if (found := find_cache_dir()) is None:
        raise ModelNotFoundError(
            "the folder for fetched models is not known, because this user does not have a home folder; set "
            "XLLAMA_CACHE to a folder, or pass the path of a model file"
        )
    return found


def find_cache_dir() -> Path | None:
    """Return the folder of the fetched models, or None; see ``cache_dir``."""
    if chosen := os.environ.get("XLLAMA_CACHE"):
        return expand_home(chosen)
    try:
        return _absolute(platformdirs.user_cache_path("xllama") / "models")
    except RuntimeError:  # older versions return a path that begins with ~
        return None


def find_config_dir() -> Path | None:
    """Return the folder of the user's catalog, or None if the user does not have a home folder."""
    try:
        return _absolute(platformdirs.user_config_path("xllama"))
    except RuntimeError:
        return None


def _absolute(path: Path) -> Path | None:
    return path if path.is_absolute() else None
