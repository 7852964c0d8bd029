"""Ranking documents with any model."""

from xlc_core.reranking.rerank import RerankMethod, arerank_documents, rerank_documents

__all__ = ["RerankMethod", "arerank_documents", "rerank_documents"]
