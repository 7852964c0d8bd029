"""Embeddings in fewer bytes: half precision, eight bits or one bit per number."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from xlc_core.errors import InvalidRequestError
from xlc_core.texts import show_value

__all__ = ["EmbeddingType", "as_ranges", "hamming_distances", "quantize_embeddings"]

EmbeddingType = Literal["float32", "float16", "int8", "uint8", "binary", "ubinary"]
"""Type of an embedding's numbers; quantize_embeddings describes each."""

_ROWS_AT_ONCE = 4096
"""Rows that are converted together, so that intermediate results stay small."""

_NUMPY_TYPES = {
    "float16": np.float16,
    "int8": np.int8,
    "uint8": np.uint8,
    "binary": np.int8,
    "ubinary": np.uint8,
}

_BITS_SET = np.array([number.bit_count() for number in range(256)], dtype=np.uint8)


def quantize_embeddings(
    vectors: npt.NDArray[np.float32], dtype: EmbeddingType, *, ranges: Any = None
) -> npt.NDArray[Any]:
    """Convert embeddings to another type, like sentence-transformers' function with this name.

    | dtype       | number x becomes                                      | bytes a dimension |
    | ----------- | ----------------------------------------------------- | ----------------- |
    | ``float32`` | x                                                     | 4                 |
    | ``float16`` | the nearest half-precision number                     | 2                 |
    | ``int8``    | round(127 x); with ranges the whole part of s - 128   | 1                 |
    | ``uint8``   | the whole part of s = 255 (x - low) / (high - low)    | 1                 |
    | ``ubinary`` | the bit x > 0; eight to a byte, the first one highest | 1/8               |
    | ``binary``  | the same byte minus 128, as a signed number           | 1/8               |

    Without ranges, numbers are assumed to be between -1 and 1, as in vectors of length 1, while sentence-transformers
    takes the ranges of the vectors themselves. Then ``a.astype(int) @ b / 127**2`` of ``int8`` is close to the cosine.
    Ranges of a sample of your own vectors use the eight bits better, but vectors can only be compared if they have the
    same ranges. A number outside a range is moved to its nearest end.

    Takes memory for the result, and for intermediate results of 4096 vectors.

    Args:
        vectors: float32 array (n, dimensions), or one vector.
        dtype: the new type.
        ranges: for ``int8`` and ``uint8``: the least and greatest number, as a pair or as (2, dimensions); None: −1
            and 1.

    Returns:
        an array of the same shape; for ``binary`` and ``ubinary`` the last axis is ceil(dimensions / 8). For
        ``float32`` the vectors themselves.

    Raises:
        InvalidRequestError: the type is unknown, or the ranges do not fit the vectors.
    """
    if dtype == "float32":
        return vectors
    if dtype not in _NUMPY_TYPES:
        raise InvalidRequestError(f"dtype={dtype!r} is not known; it must be one of float32, {', '.join(_NUMPY_TYPES)}")
    limits = None if ranges is None else as_ranges(ranges)
    n_dims = vectors.shape[-1]
    if limits is not None and limits.shape[1] not in {1, n_dims}:
        raise InvalidRequestError(
            f"ranges of {limits.shape[1]} dimensions do not fit vectors of {n_dims}; "
            f"pass a pair or an array (2, {n_dims})"
        )
    rows = vectors.reshape(-1, n_dims)
    n_out = (n_dims + 7) // 8 if dtype in {"binary", "ubinary"} else n_dims
    result = np.empty((len(rows), n_out), dtype=_NUMPY_TYPES[dtype])
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        result[part] = _converted(rows[part], dtype, limits)
    return result.reshape(*vectors.shape[:-1], n_out)


def hamming_distances(queries: npt.NDArray[Any], documents: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Return the number of bits in which binary embeddings differ.

    ``1 - 2 * distance / dimensions`` is the cosine of the vectors of signs. It orders documents as the cosines of the
    vectors themselves do, more or less, but is not close to these. Takes memory for the result, and for one query at a
    time twice as many bytes as the documents have.

    Args:
        queries: int8 or uint8 array (n_queries, bytes), of ``binary`` or ``ubinary``.
        documents: array (n_documents, bytes), of the same type.

    Returns:
        int32 array (n_queries, n_documents).

    Raises:
        InvalidRequestError: the two are not arrays of this form, of one type and width.
    """
    is_binary = queries.dtype == documents.dtype and queries.dtype.itemsize == 1
    if not (is_binary and queries.ndim == documents.ndim == 2 and queries.shape[1] == documents.shape[1]):
        raise InvalidRequestError(
            "expected binary embeddings of one type and width, as arrays (n, bytes), "
            f"not {queries.dtype} {queries.shape} and {documents.dtype} {documents.shape}"
        )
    # A signed byte is the unsigned one minus 128: only its first bit is flipped, in both arrays.
    left, right = queries.view(np.uint8), documents.view(np.uint8)
    distances = np.empty((len(left), len(right)), dtype=np.int32)
    for row, query in zip(distances, left, strict=True):
        _BITS_SET[query ^ right].sum(axis=1, dtype=np.int32, out=row)
    return distances


def as_ranges(ranges: Any) -> npt.NDArray[np.float32]:
    """Check ranges and give them as (2, 1) or (2, dimensions).

    Raises:
        InvalidRequestError: they do not have this form, or a least number is not below its greatest.
    """
    try:
        with np.errstate(over="ignore"):  # to infinity, which is refused below
            limits = np.asarray(ranges, dtype=np.float32)
    except (OverflowError, TypeError, ValueError):
        limits = np.empty(0, dtype=np.float32)
    if limits.ndim == 1:
        limits = limits[:, np.newaxis]
    if limits.ndim != 2 or limits.shape[0] != 2:
        raise InvalidRequestError(f"ranges must be a pair or an array (2, dimensions), not {show_value(ranges)}")
    if not (np.isfinite(limits).all() and (limits[0] < limits[1]).all()):
        raise InvalidRequestError("the least number of a range must be finite and below the greatest")
    return limits


def _converted(rows: npt.NDArray[np.float32], dtype: EmbeddingType, limits: npt.NDArray[np.float32] | None) -> Any:
    if dtype == "float16":
        return rows.astype(np.float16)
    if dtype in {"binary", "ubinary"}:
        packed = np.packbits(rows > 0, axis=1)
        return packed if dtype == "ubinary" else (packed ^ 0x80).view(np.int8)
    if dtype == "int8" and limits is None:
        return np.clip(np.rint(rows * np.float32(127)), -127, 127).astype(np.int8)
    low, high = (np.float32(-1), np.float32(1)) if limits is None else limits
    steps = np.clip((rows - low) / ((high - low) / np.float32(255)), 0, 255)
    return steps.astype(np.uint8) if dtype == "uint8" else (steps - np.float32(128)).astype(np.int8)
