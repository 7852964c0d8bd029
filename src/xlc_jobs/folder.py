"""The folder of a job's results: a manifest, and a Parquet file for each piece of the input.

A piece is done when its file is there, and a file is there when it is whole: it is written under another name, flushed
to the disk, and renamed. So a job that is started again does what is left, whatever ended it, and a piece that two
workers compute is written twice under one name.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
from filelock import FileLock, Timeout

from xlc_core import InvalidRequestError
from xlc_core.texts import show_value
from xlc_jobs.tables import Piece

__all__ = ["JobFolder", "JobReport", "PartReport"]

MANIFEST = "_job.json"  # programs that read a folder of Parquet files skip names that begin like this
_FORM = 1
_NOTE = b"xllama"
_UNFINISHED = ".unfinished-"


@dataclass(frozen=True)
class PartReport:
    """The rows and the time of a part of a job.

    Attributes:
        n_rows: its rows.
        n_errors: rows without a result.
        seconds: the time of computing it, without reading and writing; parts of one worker may overlap.
    """

    n_rows: int
    n_errors: int
    seconds: float


@dataclass(frozen=True)
class JobReport:
    """The state of a job.

    Attributes:
        n_parts: parts of the whole job.
        n_done: parts that are written.
        n_rows: rows of these.
        n_errors: rows of these without a result.
        seconds: time of computing them, the sum over all workers.
    """

    n_parts: int
    n_done: int
    n_rows: int
    n_errors: int
    seconds: float


class JobFolder:
    """The folder of a job's results; plain data, so that workers on other machines may have it."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser().absolute()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder, and keep other processes of this machine from running the same job.

        Raises:
            InvalidRequestError: another process runs it, or the folder cannot be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / ".lock", timeout=0)
            lock.acquire()
        except Timeout:
            raise InvalidRequestError(f"another process runs the job in {self.path}; wait for it or end it") from None
        except OSError as error:
            raise InvalidRequestError(f"{self.path} cannot be written: {error}") from None
        try:
            yield
        finally:
            lock.release()

    def begin(self, manifest: Mapping[str, Any]) -> None:
        """Write the manifest, or check that the folder has the same one; remove what a killed process left.

        Raises:
            InvalidRequestError: the folder has results of another job, or other files.
        """
        wanted = json.loads(json.dumps({"form": _FORM, **manifest}))
        if (known := self.manifest()) is not None:
            _require_equal(known, wanted, self.path)
        elif any(not name.startswith(".") for name in os.listdir(self.path)):
            raise InvalidRequestError(f"{self.path} has files but no {MANIFEST}; name an empty or a new folder")
        else:
            self._write(MANIFEST, lambda path: path.write_text(json.dumps(wanted, indent=1) + "\n", "utf-8"))
        for path in self.path.glob(f"{_UNFINISHED}*"):
            path.unlink(missing_ok=True)

    def manifest(self) -> dict[str, Any] | None:
        """Return the manifest, or None before the job has begun.

        Raises:
            InvalidRequestError: it is damaged.
        """
        path = self.path / MANIFEST
        try:
            found = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise InvalidRequestError(f"{path} cannot be read: {error}") from None
        if not isinstance(found, dict):
            raise InvalidRequestError(f"{path} is not a job's manifest")
        return found

    def done(self) -> set[int]:
        """Return the numbers of the pieces that are written."""
        names = (path.stem.removeprefix("part-") for path in self.path.glob("part-*.parquet"))
        return {int(name) for name in names if name.isdecimal()}

    def is_done(self, piece: Piece) -> bool:
        """Return whether a piece is written."""
        return (self.path / _name(piece.number)).exists()

    def write(self, piece: Piece, table: Any, report: PartReport) -> None:
        """Write the results of a piece, with the report in the file's metadata."""
        note = json.dumps(asdict(report)).encode()
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), _NOTE: note})
        self._write(_name(piece.number), lambda path: pyarrow.parquet.write_table(table, path))

    def report(self) -> JobReport:
        """Return the sum of the reports in all files.

        Raises:
            InvalidRequestError: there is no job in the folder.
        """
        manifest = self.manifest()
        if manifest is None:
            raise InvalidRequestError(f"there is no job in {self.path}: {MANIFEST} is missing")
        numbers = self.done()
        parts = [self.read_report(number) for number in numbers]
        return JobReport(
            n_parts=manifest["n_parts"],
            n_done=len(numbers),
            n_rows=sum(part.n_rows for part in parts),
            n_errors=sum(part.n_errors for part in parts),
            seconds=sum(part.seconds for part in parts),
        )

    def read_report(self, number: int) -> PartReport:
        """Return the report of a piece that is written.

        Raises:
            InvalidRequestError: the file is not a part of this job.
        """
        path = self.path / _name(number)
        try:
            metadata = pyarrow.parquet.read_schema(path).metadata or {}
            return PartReport(**json.loads(metadata[_NOTE]))
        except (OSError, ValueError, KeyError, TypeError, pyarrow.ArrowException) as error:
            raise InvalidRequestError(f"{path} is not a part of this job: {error!r}; move it away") from None

    def _write(self, name: str, fill: Any) -> None:
        unfinished = self.path / f"{_UNFINISHED}{uuid.uuid4().hex}"
        try:
            fill(unfinished)
            _flush(unfinished)
            os.replace(unfinished, self.path / name)
        finally:
            unfinished.unlink(missing_ok=True)
        if os.name == "posix":  # the name is on the disk too
            _flush(self.path)


def _name(number: int) -> str:
    return f"part-{number:06d}.parquet"


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _require_equal(known: Mapping[str, Any], wanted: Mapping[str, Any], path: Path) -> None:
    for name in sorted({*known, *wanted}):
        old, new = known.get(name), wanted.get(name)
        if old != new:
            if isinstance(old, dict) and isinstance(new, dict):
                _require_equal(old, new, path)
            raise InvalidRequestError(
                f"the job in {path} was begun with {name}={show_value(old)}, not {show_value(new)}; "
                "use the same options to go on, or name another folder"
            )
