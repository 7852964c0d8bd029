"""LangChain on llama.cpp inside this process: a chat model, embeddings and a reranker."""

try:
    import langchain_core  # noqa: F401
except ImportError as error:
    raise ImportError("xlc_langchain needs langchain-core: pip install 'xllama[langchain]'") from error

from xlc_langchain.chat_models import ChatXLlama
from xlc_langchain.embeddings import XLlamaEmbeddings
from xlc_langchain.rerank import XLlamaReranker

__all__ = ["ChatXLlama", "XLlamaEmbeddings", "XLlamaReranker"]
