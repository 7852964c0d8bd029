"""llama-cpp-python's high-level interface, on xllama's engine.

    from xlc_core.compat.llama_cpp import Llama

    llm = Llama("model.gguf", n_ctx=4096)
    llm.create_chat_completion([{"role": "user", "content": "Hi"}])["choices"][0]["message"]["content"]

``install()`` puts this module in place of ``llama_cpp`` for code that cannot change its imports, and
``python -m xlc_core.compat.llama_cpp program …`` runs a program so. docs/migrating.md says what differs.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from xlc_core.compat.llama_cpp.criteria import (
    LogitsProcessor,
    LogitsProcessorList,
    MinTokensLogitsProcessor,
    StoppingCriteria,
    StoppingCriteriaList,
)
from xlc_core.compat.llama_cpp.llama import Llama
from xlc_core.compat.llama_cpp.llama_cache import BaseLlamaCache, LlamaCache, LlamaDiskCache, LlamaRAMCache
from xlc_core.compat.llama_cpp.llama_grammar import LlamaGrammar
from xlc_core.compat.llama_cpp.llama_tokenizer import BaseLlamaTokenizer, LlamaTokenizer
from xlc_core.compat.llama_cpp.states import LlamaState

__all__ = [
    "BaseLlamaCache",
    "BaseLlamaTokenizer",
    "Llama",
    "LlamaCache",
    "LlamaDiskCache",
    "LlamaGrammar",
    "LlamaRAMCache",
    "LlamaState",
    "LlamaTokenizer",
    "LogitsProcessor",
    "LogitsProcessorList",
    "MinTokensLogitsProcessor",
    "StoppingCriteria",
    "StoppingCriteriaList",
    "install",
]

__version__ = "0.3.36"
"""The version of llama-cpp-python whose interface this is."""

_SUBMODULES = (
    *("llama", "llama_cache", "llama_chat_format", "llama_cpp", "llama_grammar", "llama_speculative"),
    *("llama_tokenizer", "llama_types"),
)


def __getattr__(name: str) -> Any:
    types = import_module(f"{__name__}.llama_types")
    if not name.startswith("_") and hasattr(types, name):
        return getattr(types, name)
    return getattr(import_module(f"{__name__}.llama_cpp"), name)


def __dir__() -> list[str]:
    return ["__version__", *__all__]


def install() -> None:
    """Put this module in place of ``llama_cpp``, for all imports of this process that follow.

    Raises:
        RuntimeError: the real llama_cpp has been imported.
    """
    module = sys.modules[__name__]
    if sys.modules.get("llama_cpp", module) is not module:
        raise RuntimeError("llama_cpp was imported already; call install() before the code that imports it")
    sys.modules["llama_cpp"] = module
    for name in _SUBMODULES:
        sys.modules[f"llama_cpp.{name}"] = import_module(f"{__name__}.{name}")
