"""The Parquet files that a job reads, and the pieces into which they are divided."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xlc_core import InvalidRequestError

try:
    import pyarrow
    import pyarrow.parquet
except ImportError as error:
    raise ImportError("jobs on files need pyarrow: pip install pyarrow") from error

__all__ = ["InputFile", "Piece", "divide", "open_inputs", "read_piece"]


@dataclass(frozen=True)
class InputFile:
    """A Parquet file that is read.

    Attributes:
        path: its absolute path, which is the same on every node.
        n_rows: its rows.
        size: its bytes.
        columns: its columns and their types.
    """

    path: str
    n_rows: int
    size: int
    columns: dict[str, str]


@dataclass(frozen=True)
class Piece:
    """Rows of one file, which become one file of the output.

    Attributes:
        number: its place among all pieces, from 0.
        path: the file.
        start: its first row.
        stop: the row behind its last.
    """

    number: int
    path: str
    start: int
    stop: int


def open_inputs(source: str | Path) -> list[InputFile]:
    """Return the Parquet files of a path: one file, or those in a folder, in the order of their names.

    Raises:
        InvalidRequestError: there is not any, one cannot be read, or their columns differ.
    """
    path = Path(source).expanduser().absolute()
    if path.is_dir():
        found = sorted(file for file in path.rglob("*.parquet") if not file.name.startswith((".", "_")))
    else:
        found = [path]
    if not found:
        raise InvalidRequestError(f"there is no .parquet file in {path}")
    files = [_describe(file) for file in found]
    for file in files:
        if file.columns != files[0].columns:
            raise InvalidRequestError(f"{file.path} has other columns than {files[0].path}; make them alike first")
    return files


def _describe(path: Path) -> InputFile:
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            columns = {field.name: str(field.type) for field in file.schema_arrow}
            return InputFile(str(path), file.metadata.num_rows, path.stat().st_size, columns)
    except (OSError, pyarrow.ArrowException) as error:
        raise InvalidRequestError(f"{path} cannot be read as Parquet: {error}") from None


def divide(files: Sequence[InputFile], rows_per_part: int) -> Iterator[Piece]:
    """Yield the pieces of files, of so many rows at most."""
    number = 0
    for file in files:
        for start in range(0, file.n_rows, rows_per_part):
            yield Piece(number, file.path, start, min(start + rows_per_part, file.n_rows))
            number += 1


def read_piece(piece: Piece, columns: Sequence[str]) -> Any:
    """Return some columns of a piece as a pyarrow table.

    Raises:
        OSError: the file cannot be read.
    """
    tables = []
    first = 0
    for group, n_rows in enumerate(_group_sizes(piece.path)):
        start, stop = max(piece.start, first), min(piece.stop, first + n_rows)
        if start < stop:
            tables.append(_read_group(piece.path, group, tuple(columns)).slice(start - first, stop - start))
        first += n_rows
    return pyarrow.concat_tables(tables).combine_chunks()


@functools.lru_cache(maxsize=64)
def _group_sizes(path: str) -> tuple[int, ...]:
    with pyarrow.parquet.ParquetFile(path) as file:
        return tuple(file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups))


@functools.lru_cache(maxsize=2)  # neighbouring pieces are in the same group, or in the next one
def _read_group(path: str, group: int, columns: tuple[str, ...]) -> Any:
    with pyarrow.parquet.ParquetFile(path) as file:
        return file.read_row_group(group, columns=list(columns))
