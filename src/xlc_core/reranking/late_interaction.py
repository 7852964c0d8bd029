"""Late interaction: each token vector of a query is compared with the nearest one of a document (MaxSim)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from xlc_core.engine.engine import Engine
from xlc_core.errors import InputTooLongError, InvalidRequestError, UnsupportedFeatureError
from xlc_core.models.prompts import with_instruction
from xlc_core.options.kwargs import TokenEmbedKwargs
from xlc_core.options.retrieval import RerankOptions
from xlc_core.results import RerankScore
from xlc_core.retrieval.jobs import ProgressReport
from xlc_core.retrieval.scores import best_first
from xlc_core.retrieval.splitting import Pieces, as_sequence, check_documents, split_documents
from xlc_core.waiting import Deadline

__all__ = ["LateInteraction"]

_TEXTS_AT_ONCE = 32
"""Texts whose token vectors are in memory at a time: 64 MB for texts of 512 tokens and 1024 dimensions."""


class LateInteraction:
    """Scores documents against a query by their token vectors, a batch of documents at a time.

    The caller embeds the query and each batch, and passes the vectors to ``take_query`` and ``take``.
    """

    def __init__(self, engine: Engine, query: str, documents: Sequence[str], options: RerankOptions) -> None:
        if options.scores == "sigmoid":
            raise InvalidRequestError(
                'scores="sigmoid" is for logits, but late interaction returns mean cosines; leave it out'
            )
        check_documents([query])
        documents = as_sequence(documents, "document")
        check_documents(documents)
        self._options = options
        self._query_prompt = _query_prompt(engine, options.instruction)
        self._document_prompt = engine.info.document_prompt
        self._pieces = Pieces(list(documents), list(range(len(documents))), len(documents))
        if options.truncate == "split":
            room = engine.embedding_room(self._document_prompt)
            self._pieces = split_documents(documents, room.count, room.n_tokens, options.overlap)
        self._deadline = Deadline(options.timeout)
        self._query: npt.NDArray[np.float32] | None = None
        self._scores: list[float] = []
        self._report = ProgressReport(options.progress, len(self._pieces.texts))

    def query_options(self) -> TokenEmbedKwargs:
        """Return the options to embed the query with."""
        return {"prompt": self._query_prompt, "timeout": self._remaining()}

    def batch_options(self) -> TokenEmbedKwargs:
        """Return the options to embed a batch with."""
        truncate = self._options.truncate
        return {
            "prompt": self._document_prompt,
            "truncate": "end" if truncate == "split" else truncate,
            "timeout": self._remaining(),
        }

    def batches(self) -> Iterator[list[str]]:
        """Yield the texts to embed next."""
        with self._report:
            for start in range(0, len(self._pieces.texts), _TEXTS_AT_ONCE):
                yield self._pieces.texts[start : start + _TEXTS_AT_ONCE]
                self._report.update(len(self._scores))

    def take_query(self, rows: Sequence[npt.NDArray[np.float32]]) -> None:
        """Receive the token vectors of the query, as a list with one item."""
        self._query = rows[0]

    def take(self, rows: Sequence[npt.NDArray[np.float32]]) -> None:
        """Receive the token vectors of a batch."""
        assert self._query is not None
        self._scores += [float((self._query @ document.T).max(axis=1).mean()) for document in rows]

    def ranking(self) -> list[RerankScore]:
        """Return the documents' scores, best first."""
        return best_first(self._pieces.best(np.array(self._scores, dtype=np.float32)), self._options)

    @contextlib.contextmanager
    def renumber_errors(self) -> Iterator[None]:
        """Replace the number of a text in a batch, in errors, by the query or the document's number."""
        try:
            yield
        except InputTooLongError as error:
            if self._query is None:
                raise InputTooLongError(
                    f"the query has {error.n_tokens} tokens, more than the {error.limit} that the model takes; "
                    "shorten it, or use a model with more context",
                    -1, error.n_tokens, error.limit,
                ) from None  # fmt: skip
            index = self._pieces.documents[len(self._scores) + error.index]
            raise InputTooLongError(
                f"document {index} has {error.n_tokens} tokens, more than the {error.limit} that the model takes; "
                "pass truncate='split' or 'end', or use a model with more context",
                index, error.n_tokens, error.limit,
            ) from None  # fmt: skip

    def _remaining(self) -> float | None:
        remaining = self._deadline.remaining()
        return None if remaining is None else max(remaining, 1e-3)


def _query_prompt(engine: Engine, instruction: str | None) -> str:
    prompt = engine.info.query_prompt
    if instruction is None:
        return prompt
    instructed = with_instruction(prompt, instruction)
    if instructed is None:
        raise UnsupportedFeatureError(
            f"model {engine.info.name} takes no instruction before its queries; leave it out, or use an embedding "
            "model that has a place for one, such as Qwen3-Embedding"
        )
    return instructed
