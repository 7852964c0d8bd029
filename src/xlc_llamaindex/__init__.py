"""LlamaIndex on llama.cpp inside this process: an LLM, embeddings and a reranker."""

try:
    import llama_index.core  # noqa: F401
except ImportError as error:
    raise ImportError("xlc_llamaindex needs llama-index-core: pip install 'xllama[llamaindex]'") from error

from xlc_llamaindex.llm import XLlama

__all__ = ["XLlama"]
