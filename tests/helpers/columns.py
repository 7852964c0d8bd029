"""One list of texts in every form in which Python programs hold one: arrays, columns of tables, generators."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl


class Text(str):
    """As libraries derive texts of their own."""


COLUMNS: dict[str, Callable[[list[str]], Iterable[Any]]] = {
    "array of texts": np.array,
    "array of objects": lambda texts: np.array(texts, dtype=object),
    "pandas column": lambda texts: pd.Series(texts, index=range(7, 7 + len(texts)), dtype=object),
    "pandas column of strings": lambda texts: pd.Series(texts, dtype="string"),
    "pandas index": pd.Index,
    "polars column": lambda texts: pl.Series(texts, dtype=pl.String),
    "tuple": tuple,
    "generator": lambda texts: (text for text in texts),
    "map": lambda texts: map(str, texts),
    "deque": deque,
    "keys": lambda texts: dict.fromkeys(texts).keys(),
    "values": lambda texts: dict(enumerate(texts)).values(),
    "texts of a class": lambda texts: [Text(text) for text in texts],
    "texts of numpy": lambda texts: [np.str_(text) for text in texts],
}
