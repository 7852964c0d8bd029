"""LiteLLM on llama.cpp inside this process: ``litellm.completion("xllama/smollm2-135m-instruct", …)``."""

try:
    import litellm  # noqa: F401
except ImportError as error:
    raise ImportError("xlc_litellm needs litellm: pip install 'xllama[litellm]'") from error

from xlc_litellm.handler import XllamaLLM, register

__all__ = ["XllamaLLM", "register"]
