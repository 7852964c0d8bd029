"""Checksums of files that are computed once: of model files in folders that other programs write to as well.

A checksum is remembered with the file's path, size, time of change and number (inode), in the cache folder for all
processes. If one of these differs, the file is read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from xlc_core.models.folders import find_cache_dir

__all__ = ["file_sha256"]

_FILE = "checksums.json"
_MOST_FILES = 1000  # that are remembered, the ones read last
_LOCK_SECONDS = 10.0

_lock = threading.Lock()
_known: dict[str, list[Any]] = {}


def file_sha256(path: Path, *, again: bool = False) -> str:
    """Return a file's sha256 as 64 hexadecimal digits.

    Args:
        path: the file.
        again: read the file even if its checksum is known.

    Raises:
        OSError: it cannot be read.
    """
    real = Path(os.path.realpath(path))
    identity = _identity(real)
    if not again and (digest := _remembered(str(real), identity)) is not None:
        return digest
    digest = _compute(real)
    if _identity(real) == identity:  # else it was changed meanwhile
        _remember(str(real), [*identity, digest])
    return digest


def _identity(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev]


def _compute(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _remembered(path: str, identity: list[int]) -> str | None:
    for known in (_known, _stored()):
        entry = known.get(path)
        if isinstance(entry, list) and entry[:-1] == identity and isinstance(entry[-1], str):
            return entry[-1]
    return None


def _remember(path: str, entry: list[Any]) -> None:
    with _lock:
        _known[path] = entry
    if (folder := find_cache_dir()) is None:
        return
    with contextlib.suppress(OSError, Timeout, NotImplementedError):  # a cache that cannot be written only costs time
        folder.mkdir(parents=True, exist_ok=True)
        stored = folder / _FILE
        with FileLock(f"{stored}.lock", timeout=_LOCK_SECONDS):
            entries = _stored()
            entries.pop(path, None)
            entries[path] = entry
            kept = {file: entries[file] for file in list(entries)[-_MOST_FILES:] if os.path.exists(file)}
            number, name = tempfile.mkstemp(dir=folder, prefix=".checksums-")
            with os.fdopen(number, "w", encoding="utf-8") as file:
                json.dump(kept, file, indent=1)
            os.replace(name, stored)


def _stored() -> dict[str, Any]:
    if (folder := find_cache_dir()) is None:
        return {}
    try:
        entries = json.loads((folder / _FILE).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return entries if isinstance(entries, dict) else {}
