"""Columns of a batch, in the form that the batch has: a mapping of arrays, a pyarrow table, or a pandas frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from xlc_core import InvalidRequestError
from xlc_core.texts import show_value

__all__ = ["Column", "Texts", "Vectors", "add_columns", "is_missing", "read_column", "read_text"]


@dataclass(frozen=True)
class Vectors:
    """A vector for each row, of which some may be missing.

    Attributes:
        values: an array (rows, dimensions); zeros where a row does not have a vector.
        missing: an array (rows,) of bool.
    """

    values: npt.NDArray[Any]
    missing: npt.NDArray[np.bool_]

    def to_arrow(self) -> Any:
        """Return a list of fixed size for each row, null where it is missing."""
        import pyarrow

        flat = pyarrow.array(np.ascontiguousarray(self.values).reshape(-1))
        kind = pyarrow.list_(flat.type, self.values.shape[1])
        return pyarrow.FixedSizeListArray.from_arrays(flat, type=kind, mask=pyarrow.array(self.missing))

    def to_list(self) -> list[Any]:
        """Return an array for each row, None where it is missing."""
        return [None if missing else row for row, missing in zip(self.values, self.missing, strict=True)]

    def to_numpy(self) -> npt.NDArray[Any]:
        """Return an array (rows, dimensions); NaN where a row is missing, or zeros if the numbers are integers."""
        values: npt.NDArray[Any] = self.values
        if self.missing.any() and np.issubdtype(values.dtype, np.floating):
            values = values.copy()
            values[self.missing] = np.nan
        return values


@dataclass(frozen=True)
class Texts:
    """A text, a number or a list of numbers for each row, or None.

    Attributes:
        values: the values.
        kind: their type.
    """

    values: Sequence[Any]
    kind: Literal["text", "integer", "numbers"] = "text"

    def to_arrow(self) -> Any:
        """Return an array of the type, null where the value is None."""
        import pyarrow

        kinds = {"text": pyarrow.string(), "integer": pyarrow.int32(), "numbers": pyarrow.list_(pyarrow.float32())}
        return pyarrow.array(self.values, kinds[self.kind])

    def to_list(self) -> list[Any]:
        """Return the values."""
        return list(self.values)

    def to_numpy(self) -> npt.NDArray[Any]:
        """Return an array of objects."""
        array = np.empty(len(self.values), dtype=object)
        array[:] = self.values
        return array


Column = Vectors | Texts


def read_column(batch: Any, name: str) -> list[Any]:
    """Return the values of a batch's column as Python's own.

    Raises:
        InvalidRequestError: the batch does not have the column, or is not a table.
    """
    try:
        names = list(_names(batch))
        values = batch[name] if name in names else None
    except TypeError:
        raise InvalidRequestError(
            f"a batch is a mapping of columns, a pyarrow table or a pandas frame, not {type(batch).__name__}"
        ) from None
    if values is None:
        raise InvalidRequestError(f"there is no column {name!r}; the columns are {', '.join(map(str, names))}")
    if hasattr(values, "to_pylist"):
        return list(values.to_pylist())
    return [_plain(value) for value in (values.tolist() if hasattr(values, "tolist") else values)]


def add_columns(batch: Any, columns: Mapping[str, Column]) -> Any:
    """Return a batch of the same form with further columns.

    Raises:
        InvalidRequestError: it has a column of such a name already.
    """
    for name in columns:
        if name in _names(batch):
            raise InvalidRequestError(f"the table has a column {name!r} already; choose another name with `output`")
    if isinstance(batch, Mapping):
        return {**batch, **{name: column.to_numpy() for name, column in columns.items()}}
    if hasattr(batch, "append_column"):
        for name, column in columns.items():
            batch = batch.append_column(name, column.to_arrow())
        return batch
    return batch.assign(**{name: column.to_list() for name, column in columns.items()})


def is_missing(value: Any) -> bool:
    """Return whether a value stands for a missing one: None, or NaN as pandas has it."""
    return value is None or (isinstance(value, float) and value != value)


def read_text(value: Any, name: str) -> str:
    """Return a value if it is a text.

    Args:
        value: the value of a column.
        name: its name in the message, such as ``"the prompt"``.

    Raises:
        InvalidRequestError: it is missing or something else.
    """
    if isinstance(value, str):
        return value
    if is_missing(value):
        raise InvalidRequestError(f"{name} is missing")
    raise InvalidRequestError(f"{name} must be a text, got {show_value(value)}")


def _names(batch: Any) -> Sequence[str]:
    return batch.column_names if hasattr(batch, "column_names") else list(batch)


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
