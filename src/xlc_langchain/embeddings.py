"""XLlamaEmbeddings: a GGUF embedding model inside this process, as LangChain's Embeddings."""

import numpy as np
import numpy.typing as npt
from langchain_core.embeddings import Embeddings

from xlc_core.frameworks import EmbedderAdapter, as_sequence
from xlc_langchain.errors import LangChainErrors, langchain_errors

__all__ = ["XLlamaEmbeddings"]


class XLlamaEmbeddings(LangChainErrors, EmbedderAdapter, Embeddings):
    """Embeds texts with a GGUF model that llama.cpp runs inside this process.

    Building one loads nothing; see ``load()`` and ``close()``.

    Examples:
        >>> embeddings = XLlamaEmbeddings(model="all-minilm-l6-v2")
        >>> len(embeddings.embed_query("What is a slot?"))
        384
    """

    show_progress: bool = False
    """Show a progress bar on stderr while documents are embedded."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed documents.

        Args:
            texts: the documents; an array, a column of a table or a generator too.

        Returns:
            One vector for each, of length 1 unless ``normalize`` is False. LangChain's interface has lists of Python's
            numbers, which take eight times the memory of the array that ``xlc_core.Engine.embed`` returns.

        Raises:
            InputTooLongError: a text is longer than the model takes, and ``truncate`` is
                ``"error"``.
            XllamaError: the other errors of ``xlc_core.Engine.embed``, and those of load.
        """
        with langchain_errors():
            texts = list(as_sequence(texts, "text"))
            if not texts:
                return []
            vectors = self._get_engine().embed(texts, **self._embed_options("document", progress=self.show_progress))
        return _lists(vectors)

    def embed_query(self, text: str) -> list[float]:
        """Embed a query; see ``embed_documents``."""
        with langchain_errors():
            vectors = self._get_engine().embed([text], **self._embed_options("query"))
        return _lists(vectors)[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed documents without blocking the event loop; see ``embed_documents``."""
        with langchain_errors():
            texts = list(as_sequence(texts, "text"))
            if not texts:
                return []
            engine = await self._aget_engine()
            vectors = await engine.aembed(texts, **self._embed_options("document", progress=self.show_progress))
        return _lists(vectors)

    async def aembed_query(self, text: str) -> list[float]:
        """Embed a query without blocking the event loop; see ``embed_documents``."""
        with langchain_errors():
            engine = await self._aget_engine()
            vectors = await engine.aembed([text], **self._embed_options("query"))
        return _lists(vectors)[0]


def _lists(vectors: npt.NDArray[np.float32]) -> list[list[float]]:
    result: list[list[float]] = vectors.tolist()
    return result
