"""How LangChain's adapters come by their engine: as the core has it, with LangChain's errors."""

from contextlib import AbstractContextManager

from xlc_core.frameworks import engine_adapter
from xlc_core.frameworks.engine_adapter import as_text
from xlc_langchain.errors import langchain_errors

__all__ = ["EngineUser", "as_text"]


class EngineUser(engine_adapter.EngineUser):
    """The fields that every adapter has, and the engine behind them."""

    def _framework_errors(self) -> AbstractContextManager[None]:
        return langchain_errors()
