"""The common base of the frameworks' rerankers: their fields, and how they call the engine."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from xlc_core.frameworks.engine_adapter import EngineAdapter
from xlc_core.options.kwargs import RerankKwargs
from xlc_core.options.retrieval import RerankScale, RerankTruncate
from xlc_core.reranking.rerank import RerankMethod, arerank_documents, rerank_documents
from xlc_core.results import RerankScore

__all__ = ["RerankerAdapter", "ScorerAdapter"]


class ScorerAdapter(EngineAdapter):
    """The fields of an adapter that scores how well texts answer a query, and the scoring itself."""

    method: RerankMethod = "auto"
    """How texts are scored: by a ``"cross-encoder"``'s ranking head, by the token vectors of an embedding model
    (``"late-interaction"``), or by a chat model's yes or no (``"generative"``); auto: the head if the model has one,
    else a chat model's yes or no, else token vectors."""

    truncate: RerankTruncate = "error"
    """Whether a text that is too long is refused, cut at its ``"end"`` or ``"start"``, or ``"split"`` into pieces, of
    which the best one counts. The query is never cut."""

    overlap: int = Field(64, ge=0)
    """Tokens that the end of a piece and the start of the next one share, where texts are split."""

    instruction: str | None = None
    """Describes what makes a text a good one, for models that take an instruction, such as Qwen3-Reranker; None: the
    default of the model's template."""

    scores: RerankScale = "raw"
    """``"raw"``: the model's scores; ``"sigmoid"``: numbers from 0 to 1."""

    timeout: float | None = None
    """Seconds that the texts of one query may take; afterwards the call raises. None: no limit."""

    def _rank(self, query: str, texts: Sequence[str]) -> list[RerankScore]:
        return rerank_documents(self._get_engine(), query, texts, method=self.method, **self._rerank_options())

    async def _arank(self, query: str, texts: Sequence[str]) -> list[RerankScore]:
        engine = await self._aget_engine()
        return await arerank_documents(engine, query, texts, method=self.method, **self._rerank_options())

    def _rerank_options(self) -> RerankKwargs:
        return {
            "truncate": self.truncate,
            "overlap": self.overlap,
            "instruction": self.instruction,
            "scores": self.scores,
            "timeout": self.timeout,
        }


class RerankerAdapter(ScorerAdapter):
    """The fields of an adapter that orders texts by how well they answer a query and keeps the best."""

    top_n: int | None = Field(None, ge=1)
    """Keep this many; None: all of them."""

    order_weight: float = Field(0.0, ge=0, allow_inf_nan=False)
    """How much the given order of the texts, best first, counts beside the model's score: 0: not at all; 1: as much,
    for small models (``xlc_core.RerankOptions``). The scores stay the model's."""

    def _rerank_options(self) -> RerankKwargs:
        return {**super()._rerank_options(), "top_n": self.top_n, "order_weight": self.order_weight}
