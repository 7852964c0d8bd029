"""The folder of fetched models. A file appears in it only when it is complete.

Every file has a record beside it (``model.gguf.json``) with its source. If the record differs from the
catalog, the file is out of date and is made again.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from xlc_core.errors import ModelNotFoundError
from xlc_core.models.checksums import file_sha256

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Record", "check_file", "is_stored", "store"]

Record = dict[str, str | None]
"""The source of a stored file, as plain text. Records are compared as a whole."""


def check_file(path: Path, *, sha256: str | None = None, size_bytes: int | None = None, again: bool = False) -> None:
    """Check that a file is the one in the catalog. A value of None is not checked.

    A checksum is computed once for a file as it is now, whether it is right or wrong.

    Args:
        path: the file.
        sha256: its checksum.
        size_bytes: its size.
        again: compute the checksum even if it is known.

    Raises:
        ModelNotFoundError: the file is another one or damaged; the message has both values.
    """
    if size_bytes is not None and (size := path.stat().st_size) != size_bytes:
        raise ModelNotFoundError(
            f"{path.name} has {size} bytes but the catalog says {size_bytes}: the file is damaged "
            f"or another one; fetch or install it again ({path})"
        )
    if sha256 is not None and (digest := file_sha256(path, again=again)) != sha256:
        raise ModelNotFoundError(
            f"{path.name} has sha256 {digest} but the catalog says {sha256}: the file is damaged "
            f"or another one; fetch or install it again, or correct its catalog entry ({path})"
        )


def is_stored(target: Path, record: Record) -> bool:
    """Return whether ``target`` exists and was made from the source in ``record``."""
    try:
        return target.is_file() and json.loads(_record_path(target).read_text("utf-8")) == record
    except (OSError, ValueError):  # the record is missing or cannot be read: make the file again
        return False


def store(
    target: Path,
    record: Record,
    produce: Callable[[Path], Path],
    *,
    sha256: str | None = None,
) -> None:
    """Make ``target`` unless it is stored already. If two processes call this at once, it is made once.

    Args:
        target: path of the file.
        record: its source.
        produce: receives an empty folder to work in, and returns the finished file in it.
        sha256: the checksum that the finished file must have.

    Raises:
        ModelNotFoundError: the sha256 differs, or the file cannot be written. Nothing is left behind.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if not is_stored(target, record):
                _store_locked(target, record, produce, sha256)
    except (OSError, NotImplementedError) as error:  # the latter: a network folder without locks
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
    shutil.rmtree(workshop, ignore_errors=True)  # left by a process that was killed
    workshop.mkdir()
    try:
        made = produce(workshop)
        check_file(made, sha256=sha256, again=True)
        note = workshop / "record.json"
        note.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
        _flush_to_disk(made)
        # If this process ends between the two steps, an old record must not remain beside the new file.
        _record_path(target).unlink(missing_ok=True)
        os.replace(made, target)
        os.replace(note, _record_path(target))
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def _record_path(target: Path) -> Path:
    return target.with_name(f"{target.name}.json")


def _flush_to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
