"""DSPy on llama.cpp inside this process: engines for ``dspy.LM``, typed adapters, embeddings and decisions."""

try:
    import dspy  # noqa: F401
except ImportError as error:
    raise ImportError("xlc_dspy needs dspy 3.4 or later: pip install 'xllama[dspy]'") from error

from xlc_dspy.adapter import TypedAdapter
from xlc_dspy.chat_adapter import TypedChatAdapter
from xlc_dspy.decisions import XLlamaDecision
from xlc_dspy.embeddings import XLlamaEmbedder
from xlc_dspy.engines import AsyncXLlamaEngine, XLlamaEngine
from xlc_dspy.models import embedder, lm

__all__ = [
    "AsyncXLlamaEngine",
    "TypedAdapter",
    "TypedChatAdapter",
    "XLlamaDecision",
    "XLlamaEmbedder",
    "XLlamaEngine",
    "embedder",
    "lm",
]
