"""XLlamaReranker: a GGUF model inside this process that orders documents, as a LangChain document compressor."""

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import Field

from xlc_core import RerankScore
from xlc_core.reranking import RerankMethod, arerank_documents, rerank_documents
from xlc_core.retrieval_options import RerankScale, RerankTruncate
from xlc_langchain.engine_access import EngineUser
from xlc_langchain.errors import langchain_errors

__all__ = ["XLlamaReranker"]


class XLlamaReranker(EngineUser, BaseDocumentCompressor):
    """Orders documents by how well they answer a query, best first, and keeps the best ones.

    Building one loads nothing; see ``load()`` and ``close()``. The documents that come back are
    copies with the model's score in ``metadata["relevance_score"]``; those that were given stay as
    they are.

    Example:
        >>> reranker = XLlamaReranker(model="xllama-rerank-mini", top_n=5)
        >>> best = reranker.compress_documents(documents, "What is a slot?")
        >>> best[0].metadata["relevance_score"]
        4.81
    """

    top_n: int | None = Field(None, ge=1)
    """Keep this many documents; None: all of them."""

    truncate: RerankTruncate = "error"
    """Whether a document that is too long is refused, cut at its ``"end"`` or ``"start"``, or ``"split"`` into pieces,
    of which the best one counts. The query is never cut."""

    instruction: str | None = None
    """What makes a document a good one, for models that take an instruction, such as Qwen3-Reranker; None: what the
    model's template says."""

    scores: RerankScale = "raw"
    """Scores as the model gives them, or ``"sigmoid"`` for numbers from 0 to 1."""

    order_weight: float = Field(0.0, ge=0, allow_inf_nan=False)
    """How much the order counts in which the documents come, best first, beside the model's score: 0: not at all; 1: as
    much, for small models (``xlc_core.retrieval_options.RerankOptions``). The scores stay the model's."""

    method: RerankMethod = "auto"
    """How documents are scored: by a ``"cross-encoder"``'s ranking head, by the token vectors of an embedding model
    (``"late-interaction"``), or by a chat model's yes or no (``"generative"``); auto: by what the model is."""

    timeout: float | None = None
    """Seconds that a call may take; afterwards it raises."""

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Order documents by how well they answer the query.

        Args:
            documents: what a retriever found.
            query: what was asked.
            callbacks: unused; a reranker has no run of its own in LangChain.

        Returns:
            Copies of the best ``top_n``, best first.

        Raises:
            InputTooLongError: a document is longer than the model takes, and ``truncate`` is
                ``"error"``.
        """
        if not documents:
            return []
        with langchain_errors():
            scores = rerank_documents(self._get_engine(), query, _texts(documents), **self._request())
        return _scored(documents, scores)

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Do the same without blocking the event loop; see ``compress_documents``."""
        if not documents:
            return []
        with langchain_errors():
            engine = await self._aget_engine()
            scores = await arerank_documents(engine, query, _texts(documents), **self._request())
        return _scored(documents, scores)

    def _request(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "top_n": self.top_n,
            "truncate": self.truncate,
            "instruction": self.instruction,
            "scores": self.scores,
            "order_weight": self.order_weight,
            "timeout": self.timeout,
        }


def _texts(documents: Sequence[Document]) -> list[str]:
    return [document.page_content for document in documents]


def _scored(documents: Sequence[Document], scores: Sequence[RerankScore]) -> list[Document]:
    return [
        documents[score.index].model_copy(
            update={"metadata": {**documents[score.index].metadata, "relevance_score": score.score}}
        )
        for score in scores
    ]
