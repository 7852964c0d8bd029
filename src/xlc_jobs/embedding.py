"""A vector for each row's text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from typing_extensions import Unpack

from xlc_core import (
    EmbedKwargs,
    EmbedOptions,
    Engine,
    EngineFailedError,
    InvalidRequestError,
    RequestTimeoutError,
    UnsupportedFeatureError,
)
from xlc_jobs.columns import Column, Vectors, read_text
from xlc_jobs.worker import Failure, Worker, failures, require_one_that_ran

__all__ = ["Embed"]


class Embed(Worker):
    """Adds a vector of each row's text.

    Texts of a batch are packed by their length, so batches of 256 to 4096 rows are best.
    """

    kind: ClassVar[str] = "embed"

    def __init__(
        self,
        model: str | Path,
        *,
        column: str = "text",
        output: str = "vector",
        error_column: str | None = None,
        engine_options: Mapping[str, Any] | None = None,
        **options: Unpack[EmbedKwargs],
    ) -> None:
        """Check the options; nothing is loaded.

        Args:
            model: a name of the catalog, ``hf:owner/repo[:quant-or-file]``, or a path.
            column: the column of texts.
            output: the column of vectors.
            error_column: the column of errors; None: ``output`` and ``_error``.
            engine_options: fields of EngineOptions; None: their defaults.
            **options: fields of EmbedOptions: ``prompt_name``, ``dimensions``, ``dtype``, ``truncate``…

        Raises:
            InvalidRequestError: an option is unknown or out of range.
        """
        super().__init__(model, output=output, error_column=error_column, engine_options=engine_options)
        self.column = column
        self.options = EmbedOptions.checked(**options)
        self._options: dict[str, Any] = dict(options)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The column of texts."""
        return (self.column,)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The columns of vectors and of errors."""
        return (self.output, self.error_column)

    def _check_engine(self, engine: Engine) -> None:
        engine.embed(["a"], **self._options)

    def _columns(self, rows: Sequence[Any]) -> dict[str, Column]:
        results: list[Any] = [_checked(value) for (value,) in rows]
        places = [place for place, text in enumerate(results) if isinstance(text, str)]
        engine = self.engine
        found = self._embed(engine, [results[place] for place in places])
        require_one_that_ran(found)
        for place, result in zip(places, found, strict=True):
            results[place] = result
        missing = np.array([isinstance(result, Failure) for result in results], dtype=bool)
        values = self._stacked(engine, results, missing)
        return {self.output: Vectors(values, missing), self.error_column: failures(results)}

    def _embed(self, engine: Engine, texts: list[str]) -> list[Any]:
        """Return a vector or a failure for each text. Where one fails, halves are tried, so that it fails alone."""
        if not texts:
            return []
        try:
            return list(engine.embed(texts, **self._options))
        except UnsupportedFeatureError:
            raise
        except (InvalidRequestError, RequestTimeoutError, EngineFailedError) as error:
            if len(texts) == 1:
                return [Failure(str(error), error if isinstance(error, EngineFailedError) else None)]
        half = len(texts) // 2
        return self._embed(engine, texts[:half]) + self._embed(engine, texts[half:])

    def _stacked(self, engine: Engine, results: list[Any], missing: Any) -> Any:
        """Return the vectors as one array, with zeros for those that are missing."""
        present = [result for result in results if not isinstance(result, Failure)]
        if not present:  # the width and the type are those of any vector
            present = list(engine.embed(["a"], **self._options))
        values = np.zeros((len(results), *present[0].shape), dtype=present[0].dtype)
        if not missing.all():
            values[~missing] = present
        return values


def _checked(value: Any) -> str | Failure:
    try:
        return read_text(value, "the text")
    except InvalidRequestError as error:
        return Failure(str(error))
