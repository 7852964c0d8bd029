"""Pydantic AI on llama.cpp inside this process: a chat model and an embedding model."""

try:
    import pydantic_ai  # noqa: F401
except ImportError as error:
    raise ImportError("xlc_pydantic_ai needs pydantic-ai-slim: pip install 'xllama[pydantic-ai]'") from error

from xlc_pydantic_ai.chat_model import XllamaModel, XllamaModelSettings
from xlc_pydantic_ai.embeddings import XllamaEmbeddingModel

__all__ = ["XllamaEmbeddingModel", "XllamaModel", "XllamaModelSettings"]
