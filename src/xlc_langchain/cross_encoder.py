"""XLlamaCrossEncoder: a GGUF model that scores pairs inside this process, as LangChain's BaseCrossEncoder."""

import asyncio
from collections.abc import Sequence
from typing import Any

from langchain_core.cross_encoders import BaseCrossEncoder

from xlc_core import RerankScore
from xlc_core.frameworks import (
    EngineAdapter,
    RerankMethod,
    RerankScale,
    RerankTruncate,
    arerank_documents,
    rerank_documents,
)
from xlc_langchain.errors import LangChainErrors, langchain_errors

__all__ = ["XLlamaCrossEncoder"]


class XLlamaCrossEncoder(LangChainErrors, EngineAdapter, BaseCrossEncoder):
    """Scores pairs of texts with a GGUF model that llama.cpp runs inside this process.

    It is for code that takes a ``BaseCrossEncoder``, such as langchain-classic's ``CrossEncoderReranker``;
    ``XLlamaReranker`` orders documents without it. Building one loads nothing; see ``load()`` and ``close()``.

    Example:
        >>> scorer = XLlamaCrossEncoder(model="xllama-rerank-mini")
        >>> scorer.score([("What is a slot?", "A slot holds one request.")])
        [3.74]
    """

    truncate: RerankTruncate = "error"
    """Whether a text that is too long is refused, cut at its ``"end"`` or ``"start"``, or ``"split"`` into pieces of
    which the best one counts. The query is never cut."""

    instruction: str | None = None
    """What makes a document a good one, for models that take an instruction, such as Qwen3-Reranker; None: what the
    model's template says."""

    scores: RerankScale = "raw"
    """Scores as the model gives them, or ``"sigmoid"`` for numbers from 0 to 1."""

    method: RerankMethod = "auto"
    """How pairs are scored; as ``XLlamaReranker.method``."""

    timeout: float | None = None
    """Seconds that the pairs of one query may take; afterwards the call raises."""

    def score(self, text_pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Score how well the second text of each pair answers the first.

        Args:
            text_pairs: queries with documents. The pairs of one query are scored together.

        Returns:
            The score of each pair, in order; higher is better.

        Raises:
            InputTooLongError: a pair is longer than the model takes, and ``truncate`` is ``"error"``.
        """
        scores = [0.0] * len(text_pairs)
        with langchain_errors():
            for query, places in _by_query(text_pairs).items():
                documents = [text_pairs[place][1] for place in places]
                found = rerank_documents(self._get_engine(), query, documents, **self._request())
                _fill(scores, places, found)
        return scores

    async def ascore(self, text_pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Do the same without blocking the event loop; see ``score``."""
        scores = [0.0] * len(text_pairs)
        if not text_pairs:
            return scores
        with langchain_errors():
            engine = await self._aget_engine()
            groups = _by_query(text_pairs)
            rerankings = [
                arerank_documents(engine, query, [text_pairs[place][1] for place in places], **self._request())
                for query, places in groups.items()
            ]
            for places, found in zip(groups.values(), await asyncio.gather(*rerankings), strict=True):
                _fill(scores, places, found)
        return scores

    def _request(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "truncate": self.truncate,
            "instruction": self.instruction,
            "scores": self.scores,
            "timeout": self.timeout,
        }


def _by_query(text_pairs: Sequence[tuple[str, str]]) -> dict[str, list[int]]:
    """Return where the pairs of each query are."""
    places: dict[str, list[int]] = {}
    for place, (query, _) in enumerate(text_pairs):
        places.setdefault(query, []).append(place)
    return places


def _fill(scores: list[float], places: list[int], found: Sequence[RerankScore]) -> None:
    for score in found:
        scores[places[score.index]] = score.score
