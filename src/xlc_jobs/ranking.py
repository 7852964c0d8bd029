"""Scores of each row's documents for its query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from typing_extensions import Unpack

from xlc_core import Engine, InvalidRequestError, RerankKwargs, RerankMethod, RerankOptions, rerank_documents
from xlc_jobs.columns import Column, Texts, read_text
from xlc_jobs.worker import Failure, Worker, failures

__all__ = ["Rerank"]


class Rerank(Worker):
    """Adds the scores of each row's documents for its query, in the order of the documents."""

    kind: ClassVar[str] = "rerank"

    def __init__(
        self,
        model: str | Path,
        *,
        query_column: str = "query",
        documents_column: str = "documents",
        output: str = "scores",
        error_column: str | None = None,
        method: RerankMethod = "auto",
        engine_options: Mapping[str, Any] | None = None,
        **options: Unpack[RerankKwargs],
    ) -> None:
        """Check the options; nothing is loaded.

        Args:
            model: a name of the catalog, ``hf:owner/repo[:quant-or-file]``, or a path.
            query_column: the column of queries.
            documents_column: the column of documents: a list of texts, or a text.
            output: the column of scores: a list of numbers, one for each document.
            error_column: the column of errors; None: ``output`` and ``_error``.
            method: how documents are scored; see RerankMethod.
            engine_options: fields of EngineOptions; None: their defaults.
            **options: fields of RerankOptions except ``top_n`` and ``order_weight``, which are about the order.

        Raises:
            InvalidRequestError: an option is unknown or out of range.
        """
        super().__init__(model, output=output, error_column=error_column, engine_options=engine_options)
        for name in ("top_n", "order_weight"):
            if name in options:
                raise InvalidRequestError(f"{name} is about the order of documents, but a table has all their scores")
        self.query_column = query_column
        self.documents_column = documents_column
        self.method: RerankMethod = method
        self.options = RerankOptions.checked(**options)
        self._options: dict[str, Any] = dict(options)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns of queries and of documents."""
        return (self.query_column, self.documents_column)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The columns of scores and of errors."""
        return (self.output, self.error_column)

    def _check_engine(self, engine: Engine) -> None:
        rerank_documents(engine, "a", ["a"], method=self.method, **self._options)

    def _columns(self, rows: Sequence[Any]) -> dict[str, Column]:
        results = self._each(self._scores, rows)
        scores = [None if isinstance(result, Failure) else result for result in results]
        return {self.output: Texts(scores, "numbers"), self.error_column: failures(results)}

    def _scores(self, row: Sequence[Any]) -> list[float]:
        query, documents = row
        texts = [documents] if isinstance(documents, str) else documents
        if not isinstance(texts, list):
            raise InvalidRequestError("the documents are missing")
        found = rerank_documents(
            self.engine,
            read_text(query, "the query"),
            [read_text(text, f"document {place}") for place, text in enumerate(texts)],
            method=self.method,
            **self._options,
        )
        return [score.score for score in sorted(found, key=lambda score: score.index)]
