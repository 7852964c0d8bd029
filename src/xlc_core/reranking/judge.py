"""A chat model as a reranker: for each document it is asked whether the document answers the query."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xlc_core.engine.engine import Engine
from xlc_core.errors import InputTooLongError
from xlc_core.generation.label_probabilities import label_logprobs
from xlc_core.messages import Message
from xlc_core.options.kwargs import ChatKwargs
from xlc_core.options.retrieval import RerankOptions
from xlc_core.results import Completion, RerankScore, TokenLogprob
from xlc_core.retrieval.jobs import ProgressReport
from xlc_core.retrieval.scores import best_first, sigmoid
from xlc_core.retrieval.splitting import Pieces, as_sequence, check_documents, split_documents

__all__ = ["YesNoJudge"]

_JUDGE = "Judge whether the document answers the query. Answer with yes or no only."
_N_CANDIDATES = 100
"""Number of the likeliest tokens among which "yes" and "no" are searched."""
_SPARE_TOKENS = 16
"""Room for the answer, and for tokens that the text around a document gains when the document is put in."""


class YesNoJudge:
    """Builds a chat for each document of a query, and computes scores from the answers.

    The caller runs the chats and passes their answers to ``take`` in order.
    """

    def __init__(self, engine: Engine, query: str, documents: Sequence[str], options: RerankOptions) -> None:
        check_documents([query])
        documents = as_sequence(documents, "document")
        check_documents(documents)
        self._options = options
        limit = self._room(engine, query)
        if options.truncate == "split":
            self._pieces = split_documents(documents, engine.count_tokens, limit, options.overlap)
        else:
            fitting = [_fitting(engine, document, index, limit, options) for index, document in enumerate(documents)]
            self._pieces = Pieces(fitting, list(range(len(documents))), len(documents))
        self.chats = [self._chat(query, text) for text in self._pieces.texts]
        self._logits: list[float] = []
        self._report = ProgressReport(options.progress, len(self.chats))

    def options(self) -> ChatKwargs:
        """Return the options for each chat."""
        return {
            "max_tokens": 1,
            "temperature": 0.0,
            "logprobs": _N_CANDIDATES,
            "thinking": False,
            "timeout": self._options.timeout,
        }

    def take(self, answer: Completion) -> None:
        """Receive the answer of the next chat."""
        self._logits.append(_logit(answer.logprobs))
        self._report.update(len(self._logits))

    def close(self) -> None:
        """End the progress report."""
        self._report.close()

    def ranking(self) -> list[RerankScore]:
        """Return the documents' scores, best first."""
        scores = self._pieces.best(np.array(self._logits, dtype=np.float32))
        return best_first(sigmoid(scores) if self._options.scores == "sigmoid" else scores, self._options)

    def _room(self, engine: Engine, query: str) -> int:
        room = engine.info.n_ctx - engine.count_tokens(self._chat(query, "")) - _SPARE_TOKENS
        if room <= 0:
            raise InputTooLongError(
                f"the query leaves no room for a document in a context of {engine.info.n_ctx} tokens; "
                "shorten it or raise n_ctx",
                -1, engine.count_tokens(query), engine.info.n_ctx,
            )  # fmt: skip
        return room

    def _chat(self, query: str, document: str) -> list[Message]:
        instruction = self._options.instruction
        system = _JUDGE if instruction is None else f"{_JUDGE} What counts as an answer: {instruction}"
        question = f"Query: {query}\n\nDocument: {document}\n\nDoes the document answer the query, yes or no?"
        return [Message(role="system", content=system), Message(role="user", content=question)]


def _fitting(engine: Engine, document: str, index: int, limit: int, options: RerankOptions) -> str:
    tokens = engine.tokenize(document)
    if len(tokens) <= limit:
        return document
    if options.truncate == "error":
        raise InputTooLongError(
            f"document {index} has {len(tokens)} tokens and {limit} fit beside the query; "
            "pass truncate='split' or 'end', or raise n_ctx",
            index, len(tokens), limit,
        )  # fmt: skip
    return engine.detokenize(tokens[:limit] if options.truncate == "end" else tokens[-limit:])


def _logit(logprobs: Sequence[TokenLogprob]) -> float:
    """Return the logarithm of P(yes) / P(no). The answer's first token may be any spelling of these words."""
    if not logprobs:
        return 0.0
    first = logprobs[0]
    # A word that is not among the candidates is at most as likely as the least likely candidate.
    least = min(candidate.logprob for candidate in (first.top or (first,)))
    yes, no = (max(logprob, least) for logprob in label_logprobs(first, ["yes", "no"], ignore_case=True))
    return yes - no
