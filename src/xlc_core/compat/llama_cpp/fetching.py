"""Files from the Hugging Face hub, chosen by patterns."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Sequence
from pathlib import Path

from xlc_core.models.hub import model_parts

__all__ = ["fetch_files"]

Folder = str | Path | None


def fetch_files(repo: str, patterns: Sequence[str], *, local_dir: Folder, cache_dir: Folder) -> str:
    """Fetch files of a repository and return the path of the first.

    Args:
        repo: the repository.
        patterns: names of files, or patterns with ``*`` that fit one file each.
        local_dir: folder for the files; None: huggingface_hub's cache.
        cache_dir: another folder for the cache.

    Raises:
        ValueError: no file or several fit a pattern.
    """
    from huggingface_hub import HfApi, hf_hub_download  # slow to import

    endpoint = os.environ.get("HF_ENDPOINT")
    names = [sibling.rfilename for sibling in HfApi(endpoint=endpoint).model_info(repo).siblings or ()]
    files = [part for pattern in patterns for part in model_parts(Path(_only_match(repo, names, pattern)))]
    paths = [
        hf_hub_download(repo, file.as_posix(), local_dir=local_dir, cache_dir=cache_dir, endpoint=endpoint)
        for file in files
    ]
    return paths[0]


def _only_match(repo: str, names: list[str], pattern: str) -> str:
    matches = [name for name in names if fnmatch.fnmatch(name, pattern)]
    if len(matches) != 1:
        found = "No file" if not matches else "Multiple files"
        listed = "\n  ".join(matches or names)
        raise ValueError(f"{found} found in {repo} that match {pattern}; there are:\n  {listed}")
    return matches[0]
