"""XLlamaReranker: a GGUF model inside this process that orders documents, as a LangChain document compressor."""

from collections.abc import Sequence

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document

from xlc_core import RerankScore
from xlc_core.frameworks import RerankerAdapter
from xlc_langchain.errors import LangChainErrors, langchain_errors

__all__ = ["XLlamaReranker"]


class XLlamaReranker(LangChainErrors, RerankerAdapter, BaseDocumentCompressor):
    """Orders documents by how well they answer a query, best first, and keeps the best ones.

    Building one loads nothing; see ``load()`` and ``close()``. The documents that come back are
    copies with the model's score in ``metadata["relevance_score"]``; those that were given stay as
    they are.

    Examples:
        >>> reranker = XLlamaReranker(model="xllama-rerank-mini", top_n=5)
        >>> best = reranker.compress_documents(documents, "What is a slot?")
        >>> best[0].metadata["relevance_score"]
        4.81
    """

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Order documents by how well they answer the query.

        Args:
            documents: the candidates, such as a retriever's results.
            query: the question.
            callbacks: unused, None or not; a reranker has no run of its own in LangChain.

        Returns:
            Copies of the best ``top_n``, best first.

        Raises:
            InputTooLongError: a document is longer than the model takes, and ``truncate`` is
                ``"error"``.
            XllamaError: the other errors of ``xlc_core.rerank_documents``, and those of load.
        """
        documents = list(documents)
        if not documents:
            return []
        with langchain_errors():
            scores = self._rank(query, _texts(documents))
        return _scored(documents, scores)

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Order documents without blocking the event loop; as compress_documents."""
        documents = list(documents)
        if not documents:
            return []
        with langchain_errors():
            scores = await self._arank(query, _texts(documents))
        return _scored(documents, scores)


def _texts(documents: Sequence[Document]) -> list[str]:
    return [document.page_content for document in documents]


def _scored(documents: Sequence[Document], scores: Sequence[RerankScore]) -> list[Document]:
    return [
        documents[score.index].model_copy(
            update={"metadata": {**documents[score.index].metadata, "relevance_score": score.score}}
        )
        for score in scores
    ]
