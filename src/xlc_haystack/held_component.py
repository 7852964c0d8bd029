"""Loading and releasing, which all components have."""

from __future__ import annotations

from xlc_core.frameworks import HeldChat, HeldEmbedder, HeldReranker

__all__ = ["HeldComponent"]


class HeldComponent:
    """A component that holds a model."""

    _held: HeldChat | HeldEmbedder | HeldReranker

    def warm_up(self) -> None:
        """Load the model now instead of on first use; blocks until it is loaded.

        Raises:
            XllamaError: the errors of opening ``xlc_core.Engine``.
        """
        self._held.load()

    async def warm_up_async(self) -> None:
        """Load the model without blocking the event loop; as warm_up."""
        await self._held.aget_engine()

    def close(self) -> None:
        """Release the model; it is unloaded at once if nobody else in the process uses it."""
        self._held.close()
