"""XLlamaEmbeddings: a GGUF embedding model inside this process, as LangChain's Embeddings."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from langchain_core.embeddings import Embeddings
from pydantic import Field

from xlc_core.frameworks import EngineAdapter, Truncate
from xlc_langchain.errors import LangChainErrors, langchain_errors

__all__ = ["XLlamaEmbeddings"]


class XLlamaEmbeddings(LangChainErrors, EngineAdapter, Embeddings):
    """Embeds texts with a GGUF model that llama.cpp runs inside this process.

    Building one loads nothing; see ``load()`` and ``close()``. The vectors have length 1.

    Example:
        >>> embeddings = XLlamaEmbeddings(model="all-minilm-l6-v2")
        >>> len(embeddings.embed_query("What is a slot?"))
        384
    """

    query_prompt: str | None = None
    """Text put before a query; None: what the model wants, by its catalog entry, its file or its name."""

    document_prompt: str | None = None
    """Text put before a document; None: what the model wants, by its catalog entry, its file or its name."""

    truncate: Truncate = "error"
    """Whether a text that is too long is refused, or cut at its ``"end"`` or ``"start"``."""

    dimensions: int | None = Field(None, ge=1)
    """Keep this many leading dimensions, for models trained to allow it; None: all."""

    show_progress: bool = False
    """Show a progress bar on stderr while documents are embedded."""

    timeout: float | None = None
    """Seconds that a call may take; afterwards it raises."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed documents.

        Args:
            texts: the documents.

        Returns:
            One vector for each.

        Raises:
            InputTooLongError: a text is longer than the model takes, and ``truncate`` is
                ``"error"``.
        """
        if not texts:
            return []
        with langchain_errors():
            vectors = self._get_engine().embed(texts, **self._document_request())
        return _lists(vectors)

    def embed_query(self, text: str) -> list[float]:
        """Embed a query; see ``embed_documents``."""
        with langchain_errors():
            vectors = self._get_engine().embed([text], **self._request("query"))
        return _lists(vectors)[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed documents without blocking the event loop; see ``embed_documents``."""
        if not texts:
            return []
        with langchain_errors():
            engine = await self._aget_engine()
            vectors = await engine.aembed(texts, **self._document_request())
        return _lists(vectors)

    async def aembed_query(self, text: str) -> list[float]:
        """Embed a query without blocking the event loop; see ``embed_documents``."""
        with langchain_errors():
            engine = await self._aget_engine()
            vectors = await engine.aembed([text], **self._request("query"))
        return _lists(vectors)[0]

    def _document_request(self) -> dict[str, Any]:
        return {**self._request("document"), "progress": self.show_progress}

    def _request(self, kind: Literal["query", "document"]) -> dict[str, Any]:
        """Return what every call passes to the engine beside its texts."""
        return {
            "prefix": self.query_prompt if kind == "query" else self.document_prompt,
            "prompt": kind,
            "truncate": self.truncate,
            "dimensions": self.dimensions,
            "timeout": self.timeout,
        }


def _lists(vectors: npt.NDArray[np.float32]) -> list[list[float]]:
    result: list[list[float]] = vectors.tolist()
    return result
