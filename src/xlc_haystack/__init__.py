"""Haystack on llama.cpp inside this process: a chat generator, embedders and a ranker."""

try:
    import haystack  # noqa: F401
except ImportError as error:
    raise ImportError("xlc_haystack needs haystack-ai: pip install 'xllama[haystack]'") from error

from xlc_haystack.chat_generator import XllamaChatGenerator
from xlc_haystack.retrieval import XllamaDocumentEmbedder, XllamaRanker, XllamaTextEmbedder

__all__ = ["XllamaChatGenerator", "XllamaDocumentEmbedder", "XllamaRanker", "XllamaTextEmbedder"]
