"""Files of texts, and files of vectors, for any number of lines in constant memory."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from typing_extensions import Self

from xlc_core.errors import InvalidRequestError
from xlc_core.terminal import is_terminal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]

__all__ = ["Lines", "VectorWriter", "open_writer"]


class Lines:
    """The lines of a file or of piped input, which may be read more than once.

    Attributes:
        n_lines: their number.
    """

    def __init__(self, source: Path | None) -> None:
        """Count the lines. Piped input is copied into a temporary file.

        Raises:
            InvalidRequestError: the input is missing, or it is not UTF-8.
        """
        self._copy: Path | None = None
        if source is None:
            source = self._copy = _copy_of_stdin()
        self._path = source
        self._name = "piped input" if self._copy else str(source)
        try:
            self.n_lines = sum(1 for _ in self)
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[str]:
        with self._path.open(encoding="utf-8-sig") as file:
            n_read = 0
            try:
                for line in file:
                    n_read += 1
                    yield line.rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise InvalidRequestError(f"{self._name} is not UTF-8 after line {n_read}: {error}") from None

    def close(self) -> None:
        """Remove the temporary file."""
        if self._copy is not None:
            self._copy.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _copy_of_stdin() -> Path:
    if sys.stdin is None or is_terminal(sys.stdin):
        raise InvalidRequestError("texts are missing: name a file with --input, or pipe them")
    with tempfile.NamedTemporaryFile("wb", prefix="xllama-", suffix=".txt", delete=False) as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy)
    return Path(copy.name)


class VectorWriter(Protocol):
    """A file that takes vectors in pieces."""

    def write(self, texts: Sequence[str], vectors: Vectors) -> None:
        """Add a vector for each text: an array (texts, dimensions)."""


class _JsonLines:
    def __init__(self, path: Path | None) -> None:
        self._file = sys.stdout if path is None else path.open("w", encoding="utf-8")

    def write(self, texts: Sequence[str], vectors: Vectors) -> None:
        for text, vector in zip(texts, vectors, strict=True):
            numbers = [float(f"{number:.7g}") for number in vector]
            self._file.write(json.dumps({"text": text, "embedding": numbers}, ensure_ascii=False) + "\n")

    def close(self) -> None:
        if self._file is not sys.stdout:
            self._file.close()


class _Npy:
    def __init__(self, path: Path, n_lines: int) -> None:
        self._path = path
        self._n_lines = n_lines
        self._array: Any = None
        self._n_written = 0

    def write(self, texts: Sequence[str], vectors: Vectors) -> None:
        if self._array is None:
            self._open(vectors.shape[1])
        self._array[self._n_written : self._n_written + len(texts)] = vectors
        self._n_written += len(texts)

    def _open(self, n_dimensions: int) -> None:
        from numpy.lib.format import open_memmap

        shape = (self._n_lines, n_dimensions)
        self._array = open_memmap(self._path, mode="w+", dtype="float32", shape=shape)

    def close(self) -> None:
        if self._array is not None:
            self._array.flush()
            self._array = None


class _Parquet:
    def __init__(self, path: Path) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise InvalidRequestError(".parquet needs pyarrow: pip install pyarrow") from None
        self._arrow = pyarrow
        self._path = path
        self._writer: Any = None

    def write(self, texts: Sequence[str], vectors: Vectors) -> None:
        arrow = self._arrow
        numbers = arrow.FixedSizeListArray.from_arrays(arrow.array(vectors.reshape(-1)), vectors.shape[1])
        table = arrow.table({"text": arrow.array(texts, arrow.string()), "embedding": numbers})
        if self._writer is None:
            self._writer = arrow.parquet.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def _new_writer(path: Path, ending: str, n_lines: int) -> _JsonLines | _Npy | _Parquet:
    if ending == ".npy":
        return _Npy(path, n_lines)
    return _JsonLines(path) if ending == ".jsonl" else _Parquet(path)


@contextlib.contextmanager
def open_writer(path: Path | None, n_lines: int) -> Iterator[VectorWriter]:
    """Open a file for vectors. It appears under its name only when it is whole; without lines it does not.

    Args:
        path: a ``.npy``, ``.jsonl`` or ``.parquet`` file; None: JSON lines to stdout.
        n_lines: vectors that it will have.

    Raises:
        InvalidRequestError: its name ends otherwise, or it needs a package that is not installed.
    """
    if path is None:
        yield _JsonLines(None)
        return
    ending = path.suffix.lower()
    if ending not in (".npy", ".jsonl", ".parquet"):
        raise InvalidRequestError(f"{path} must end in .npy, .jsonl or .parquet")
    part = path.with_name(f".{path.name}.part")
    try:
        writer = _new_writer(part, ending, n_lines)
        try:
            yield writer
        finally:
            writer.close()
        if part.exists():
            os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
