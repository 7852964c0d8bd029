"""LlamaIndex on llama.cpp inside this process: an LLM, embeddings and a reranker."""

try:
    import llama_index.core  # noqa: F401
except ImportError as error:
    raise ImportError("xlc_llamaindex needs llama-index-core: pip install 'xllama[llamaindex]'") from error

from llama_index.core.embeddings.loading import RECOGNIZED_EMBEDDINGS as _RECOGNIZED_EMBEDDINGS
from llama_index.core.llms.loading import RECOGNIZED_LLMS as _RECOGNIZED_LLMS

from xlc_llamaindex.embedding import XLlamaEmbedding
from xlc_llamaindex.llm import XLlama
from xlc_llamaindex.rerank import XLlamaRerank

__all__ = ["XLlama", "XLlamaEmbedding", "XLlamaRerank"]

# So that LlamaIndex's load_llm and load_embed_model find them again by their class_name.
_RECOGNIZED_LLMS[XLlama.class_name()] = XLlama
_RECOGNIZED_EMBEDDINGS[XLlamaEmbedding.class_name()] = XLlamaEmbedding
