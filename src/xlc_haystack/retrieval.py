"""GGUF embedding models and rerankers inside this process, as components of Haystack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from haystack import Document, component, default_to_dict

from xlc_core import Engine, RerankScore
from xlc_core.frameworks import HeldEmbedder, HeldReranker
from xlc_haystack.held_component import HeldComponent

__all__ = ["XllamaDocumentEmbedder", "XllamaRanker", "XllamaTextEmbedder"]


class _Component(HeldComponent):
    """Writing out, which all components here have."""

    _held: HeldEmbedder | HeldReranker
    _own: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration; an open engine becomes its model's name and options."""
        own = {name: getattr(self, name) for name in self._own}
        return cast("dict[str, Any]", default_to_dict(self, **self._held.model_dump(exclude_defaults=True), **own))


class _ReadsDocuments(_Component):
    """The text of documents, with the metadata that is read before it."""

    meta_fields_to_embed: list[str]
    embedding_separator: str

    def _text(self, document: Document) -> str:
        """Return a document's text, after the metadata that is read with it."""
        meta = [str(value) for name in self.meta_fields_to_embed if (value := document.meta.get(name)) is not None]
        return self.embedding_separator.join([*meta, document.content or ""])

    def _texts(self, documents: list[Document]) -> list[str]:
        if not isinstance(documents, list) or not all(isinstance(document, Document) for document in documents):
            raise TypeError(f"{type(self).__name__} takes a list of documents, got {type(documents).__name__}")
        return [self._text(document) for document in documents]


@component
class XllamaTextEmbedder(_Component):
    """Embeds queries.

    Examples:
        >>> XllamaTextEmbedder("all-minilm-l6-v2").run("What is a llama?")["embedding"]
    """

    def __init__(self, model: str | Path | None = None, *, engine: Engine | None = None, **fields: Any) -> None:
        """Describe a model, which is loaded on first use and shared in this process.

        Args:
            model: path of a GGUF file, a name of the catalog, or ``hf:owner/repo[:quant-or-file]``; None: the engine's.
            engine: an open engine to use instead; who opened it closes it. None: a shared one.
            **fields: further fields of ``xlc_core.frameworks.HeldEmbedder``, such as ``query_prompt`` or ``truncate``.
        """
        self._held: HeldEmbedder = HeldEmbedder(model=model, engine=engine, **fields)

    @component.output_types(embedding=list[float], meta=dict[str, Any])
    def run(self, text: str) -> dict[str, Any]:
        """Return the vector of a query.

        Args:
            text: the query.

        Returns:
            ``embedding``, a list of numbers, of length 1 unless ``normalize`` is False; and ``meta`` with the model.

        Raises:
            TypeError: it is not a text.
            InputTooLongError: it is too long, and ``truncate`` is ``"error"``.
            XllamaError: the other errors of ``xlc_core.Engine.embed``, and those of loading.
        """
        return self._result(self._held.embed(_query(text), "query"))

    @component.output_types(embedding=list[float], meta=dict[str, Any])
    async def run_async(self, text: str) -> dict[str, Any]:
        """Return the vector of a query; as run."""
        return self._result(await self._held.aembed(_query(text), "query"))

    def _result(self, vectors: Any) -> dict[str, Any]:
        return {"embedding": vectors[0].tolist(), "meta": {"model": str(self._held.model)}}


def _query(text: str) -> list[str]:
    if not isinstance(text, str):
        raise TypeError(f"XllamaTextEmbedder takes a text, got {type(text).__name__}; see XllamaDocumentEmbedder")
    return [text]


@component
class XllamaDocumentEmbedder(_ReadsDocuments):
    """Embeds documents.

    Examples:
        >>> XllamaDocumentEmbedder("all-minilm-l6-v2").run([Document(content="A llama.")])["documents"]
    """

    _own = ("meta_fields_to_embed", "embedding_separator")

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        engine: Engine | None = None,
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
        **fields: Any,
    ) -> None:
        """Describe a model, which is loaded on first use and shared in this process.

        Args:
            model: path of a GGUF file, a name of the catalog, or ``hf:owner/repo[:quant-or-file]``; None: the engine's.
            engine: an open engine to use instead; who opened it closes it. None: a shared one.
            meta_fields_to_embed: metadata that stands before a document's text; None: none.
            embedding_separator: text between them.
            **fields: further fields of ``xlc_core.frameworks.HeldEmbedder``, such as ``document_prompt``.
        """
        self._held: HeldEmbedder = HeldEmbedder(model=model, engine=engine, **fields)
        self.meta_fields_to_embed = meta_fields_to_embed or []
        self.embedding_separator = embedding_separator

    @component.output_types(documents=list[Document], meta=dict[str, Any])
    def run(self, documents: list[Document]) -> dict[str, Any]:
        """Return copies of the documents with their vectors.

        Args:
            documents: any number of them; they are not changed.

        Returns:
            ``documents``, in their order, and ``meta`` with the model.

        Raises:
            TypeError: it is not a list of documents.
            InputTooLongError: a document is too long, and ``truncate`` is ``"error"``.
            XllamaError: the other errors of ``xlc_core.Engine.embed``, and those of loading.
        """
        texts = self._texts(documents)
        return self._result(documents, self._held.embed(texts, "document") if texts else ())

    @component.output_types(documents=list[Document], meta=dict[str, Any])
    async def run_async(self, documents: list[Document]) -> dict[str, Any]:
        """Return copies of the documents with their vectors; as run."""
        texts = self._texts(documents)
        return self._result(documents, await self._held.aembed(texts, "document") if texts else ())

    def _result(self, documents: list[Document], vectors: Any) -> dict[str, Any]:
        embedded = [
            replace(document, embedding=vector.tolist()) for document, vector in zip(documents, vectors, strict=True)
        ]
        return {"documents": embedded, "meta": {"model": str(self._held.model)}}


@component
class XllamaRanker(_ReadsDocuments):
    """Orders documents by how well they answer a query: with a reranker, an embedding model or a chat model.

    Examples:
        >>> XllamaRanker("xllama-rerank-mini", top_k=3).run("What is a llama?", documents)["documents"]
    """

    _own = ("top_k", "meta_fields_to_embed", "embedding_separator")

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        engine: Engine | None = None,
        top_k: int | None = None,
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
        **fields: Any,
    ) -> None:
        """Describe a model, which is loaded on first use and shared in this process.

        Args:
            model: path of a GGUF file, a name of the catalog, or ``hf:owner/repo[:quant-or-file]``; None: the engine's.
            engine: an open engine to use instead; who opened it closes it. None: a shared one.
            top_k: keep so many documents; None: all of them.
            meta_fields_to_embed: metadata that stands before a document's text; None: none.
            embedding_separator: text between them.
            **fields: further fields of ``xlc_core.frameworks.HeldReranker``, such as ``scores`` or ``instruction``.

        Raises:
            ValueError: ``top_k`` is less than 1, another field has a wrong value, or no model is named.
        """
        self._held: HeldReranker = HeldReranker(model=model, engine=engine, **fields)
        self.top_k = _checked(top_k)
        self.meta_fields_to_embed = meta_fields_to_embed or []
        self.embedding_separator = embedding_separator

    @component.output_types(documents=list[Document])
    def run(self, query: str, documents: list[Document], top_k: int | None = None) -> dict[str, list[Document]]:
        """Return the documents, best first, with their scores.

        Args:
            query: the question.
            documents: the candidates; they are not changed.
            top_k: keep so many documents; None: as many as the component.

        Returns:
            ``documents``: copies of the best ones.

        Raises:
            TypeError: it is not a list of documents.
            ValueError: ``top_k`` is less than 1.
            InputTooLongError: a document is too long, and ``truncate`` is ``"error"``.
            XllamaError: the other errors of ``xlc_core.rerank_documents``, and those of loading.
        """
        limit = _checked(top_k) or self.top_k
        texts = self._texts(documents)
        return _ranked(documents, self._held.rank(query, texts) if texts else (), limit)

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query: str, documents: list[Document], top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Return the documents, best first, with their scores; as run."""
        limit = _checked(top_k) or self.top_k
        texts = self._texts(documents)
        return _ranked(documents, await self._held.arank(query, texts) if texts else (), limit)


def _checked(top_k: int | None) -> int | None:
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be 1 or more, got {top_k}")
    return top_k


def _ranked(documents: list[Document], scores: Sequence[RerankScore], limit: int | None) -> dict[str, list[Document]]:
    return {"documents": [replace(documents[one.index], score=one.score) for one in scores[:limit]]}
