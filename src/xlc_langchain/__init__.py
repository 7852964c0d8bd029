"""LangChain on llama.cpp inside this process: chat and text models, embeddings, rerankers and decisions."""

try:
    import langchain_core  # noqa: F401
except ImportError as error:
    raise ImportError("xlc_langchain needs langchain-core: pip install 'xllama[langchain]'") from error

from importlib.util import find_spec as _find_spec

from xlc_langchain.chat_models import ChatXLlama
from xlc_langchain.cross_encoder import XLlamaCrossEncoder
from xlc_langchain.embeddings import XLlamaEmbeddings
from xlc_langchain.llms import XLlama
from xlc_langchain.rerank import XLlamaReranker

__all__ = ["ChatXLlama", "XLlama", "XLlamaCrossEncoder", "XLlamaEmbeddings", "XLlamaReranker"]

if _find_spec("langchain_core.decisions"):  # since langchain-core 1.8
    from xlc_langchain.decisions import XLlamaDecision

    __all__ += ["XLlamaDecision"]
    __all__.sort()
