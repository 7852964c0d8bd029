"""XLlamaCrossEncoder: a GGUF model that scores pairs inside this process, as LangChain's BaseCrossEncoder."""

import asyncio
from collections.abc import Sequence

from langchain_core.cross_encoders import BaseCrossEncoder

from xlc_core import RerankScore
from xlc_core.frameworks import ScorerAdapter
from xlc_langchain.errors import LangChainErrors, langchain_errors

__all__ = ["XLlamaCrossEncoder"]


class XLlamaCrossEncoder(LangChainErrors, ScorerAdapter, BaseCrossEncoder):
    """Scores pairs of texts with a GGUF model that llama.cpp runs inside this process.

    It is for code that takes a ``BaseCrossEncoder``, such as langchain-classic's ``CrossEncoderReranker``;
    ``XLlamaReranker`` orders documents without it. Building one loads nothing; see ``load()`` and ``close()``.

    Examples:
        >>> scorer = XLlamaCrossEncoder(model="xllama-rerank-mini")
        >>> scorer.score([("What is a slot?", "A slot holds one request.")])
        [3.74]
    """

    def score(self, text_pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Score how well the second text of each pair answers the first.

        Args:
            text_pairs: queries with documents. The pairs of one query are scored together, and ``timeout`` counts for
                each query.

        Returns:
            The score of each pair, in order; higher is better.

        Raises:
            InputTooLongError: a pair is longer than the model takes, and ``truncate`` is ``"error"``.
            XllamaError: the other errors of ``xlc_core.rerank_documents``, and those of load.
        """
        text_pairs = list(text_pairs)
        scores = [0.0] * len(text_pairs)
        with langchain_errors():
            for query, places in _group_by_query(text_pairs).items():
                documents = [text_pairs[place][1] for place in places]
                _fill(scores, places, self._rank(query, documents))
        return scores

    async def ascore(self, text_pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Score pairs without blocking the event loop; as score."""
        text_pairs = list(text_pairs)
        scores = [0.0] * len(text_pairs)
        if not text_pairs:
            return scores
        with langchain_errors():
            await self._aget_engine()  # loads the model once, on one thread
            groups = _group_by_query(text_pairs)
            rerankings = [
                self._arank(query, [text_pairs[place][1] for place in places]) for query, places in groups.items()
            ]
            for places, found in zip(groups.values(), await asyncio.gather(*rerankings), strict=True):
                _fill(scores, places, found)
        return scores


def _group_by_query(text_pairs: Sequence[tuple[str, str]]) -> dict[str, list[int]]:
    """Return the places of each query's pairs."""
    places: dict[str, list[int]] = {}
    for place, (query, _) in enumerate(text_pairs):
        places.setdefault(query, []).append(place)
    return places


def _fill(scores: list[float], places: list[int], found: Sequence[RerankScore]) -> None:
    for score in found:
        scores[places[score.index]] = score.score
