"""The plug-in for ``llm``: models ``xllama/…`` that answer in its own process.

``llm`` imports this at every start, so that models are described here, and loaded with the first prompt.
"""

try:
    import llm
except ImportError as error:
    raise ImportError("xlc_llm needs llm: pip install 'xllama[llm]'") from error

from collections.abc import Callable as _Callable
from typing import Any as _Any

from xlc_llm.models import AsyncXllamaChat, XllamaChat, XllamaEmbedder

__all__ = ["AsyncXllamaChat", "XllamaChat", "XllamaEmbedder", "register_embedding_models", "register_models"]


@llm.hookimpl
def register_models(register: _Callable[..., _Any]) -> None:
    """Register the catalog's chat models that are on this disk, and that of ``$XLLAMA_MODEL``.

    Args:
        register: llm's function, which gets each model with its twin for asyncio.
    """
    import os

    from xlc_core import local_models

    names = dict.fromkeys([*local_models("chat"), *filter(None, [os.environ.get("XLLAMA_MODEL")])])
    for name in names:
        register(XllamaChat(name), AsyncXllamaChat(name))


@llm.hookimpl
def register_embedding_models(register: _Callable[..., _Any]) -> None:
    """Register the catalog's embedding models that are on this disk.

    Args:
        register: llm's function, which gets each model.
    """
    from xlc_core import local_models

    for name in local_models("embedding"):
        register(XllamaEmbedder(name))
