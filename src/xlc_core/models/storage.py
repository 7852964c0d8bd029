"""Where fetched models are kept, and how a file gets there whole or not at all.

Every file has a record beside it (``model.gguf.json``) that says what it was made from. A file
whose record differs from what the catalog says today is stale and made anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
from filelock import FileLock

from xlc_core.errors import ModelNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Record", "cache_dir", "check_file", "is_stored", "store"]

Record = dict[str, str | None]
"""What a stored file was made from: plain text that is compared as a whole."""


def cache_dir() -> Path:
    """Return the folder of the fetched models: ``$XLLAMA_CACHE``, or else the user's cache folder.

    Models from the hub are not here but in huggingface_hub's own cache, which other programs share.
    """
    if chosen := os.environ.get("XLLAMA_CACHE"):
        return Path(chosen).expanduser()
    return platformdirs.user_cache_path("xllama") / "models"


def check_file(path: Path, *, sha256: str | None = None, size_bytes: int | None = None) -> None:
    """Check that a file is the one that the catalog means. What is None is not checked.

    Raises:
        ModelNotFoundError: it is another, or it is damaged; the message gives both values.
    """
    if size_bytes is not None and (size := path.stat().st_size) != size_bytes:
        raise ModelNotFoundError(
            f"{path.name} has {size} bytes but the catalog says {size_bytes}: the file is damaged "
            f"or another one; fetch or install it again ({path})"
        )
    if sha256 is not None and (digest := _sha256(path)) != sha256:
        raise ModelNotFoundError(
            f"{path.name} has sha256 {digest} but the catalog says {sha256}: the file is damaged "
            f"or another one; fetch or install it again, or correct its catalog entry ({path})"
        )


def is_stored(target: Path, record: Record) -> bool:
    """Say whether ``target`` is there and was made from what ``record`` says."""
    try:
        return target.is_file() and json.loads(_record_path(target).read_text("utf-8")) == record
    except (OSError, ValueError):  # no record, or one that cannot be read: made anew
        return False


def store(
    target: Path,
    record: Record,
    produce: Callable[[Path], Path],
    *,
    sha256: str | None = None,
) -> None:
    """Make ``target`` unless it is stored already. Two processes that ask at once make it once.

    Args:
        target: where the file shall be.
        record: what it is made from.
        produce: is given an empty folder to work in, and returns the finished file in it.
        sha256: what the finished file must have.

    Raises:
        ModelNotFoundError: the sha256 differs, or the file cannot be written. Nothing is left
            behind.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if not is_stored(target, record):
                _store_locked(target, record, produce, sha256)
    except OSError as error:
        raise ModelNotFoundError(
            f"{target.name} could not be written to {target.parent}: {error}; make room or give "
            "rights there, or set XLLAMA_CACHE to another folder"
        ) from error


def _store_locked(
    target: Path,
    record: Record,
    produce: Callable[[Path], Path],
    sha256: str | None,
) -> None:
    workshop = target.with_name(f".{target.name}.part")
    shutil.rmtree(workshop, ignore_errors=True)  # left over by a process that was killed
    workshop.mkdir()
    try:
        made = produce(workshop)
        check_file(made, sha256=sha256)
        note = workshop / "record.json"
        note.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
        _flush_to_disk(made)
        # An old record must never vouch for the new file, should this process end between the two.
        _record_path(target).unlink(missing_ok=True)
        os.replace(made, target)
        os.replace(note, _record_path(target))
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def _record_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.json")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _flush_to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
