"""The common base of the chat model and the text model: further options, requests, and infill."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from pydantic import Field

from xlc_core import InfillFiles, TextDelta
from xlc_core.frameworks import GeneratorAdapter, require_single_answer
from xlc_langchain.errors import LangChainErrors, langchain_errors

__all__ = ["GeneratorMethods"]

_ENGINE_FIELDS = ("model", "n_ctx", "engine_options")


class GeneratorMethods(LangChainErrors, GeneratorAdapter):
    """Joins the fields of a model and a call's own options into one request, and fills gaps in texts."""

    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Further options of a request, such as ``{"dry_multiplier": 0.8}``: fields of ``xlc_core.ChatOptions``, for text
    models of ``xlc_core.CompletionOptions``."""

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Return True: the configuration can be written out, since a model is found again by its name."""
        return True

    def _further_options(self) -> dict[str, Any]:
        return self.model_kwargs

    def _configuration(self) -> dict[str, Any]:
        """Return everything that an answer depends on: LangChain's key for caches and traces."""
        return {name: getattr(self, name) for name in (*_ENGINE_FIELDS, *self._option_names(), "model_kwargs")}

    def _join_options(self, stop: list[str] | None, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the request's options: the model's own, overridden by the call's."""
        request = {**self._own_options(), **kwargs}
        for name in ("model", "stream"):  # they choose the engine and the method
            request.pop(name, None)
        if stop is not None:
            request["stop"] = stop
        return request

    def infill(self, prefix: str, suffix: str, *, extra: InfillFiles = (), **kwargs: Any) -> str:
        """Write the text between two texts, as editors complete code; see ``Engine.infill``.

        Args:
            prefix: the text before the gap.
            suffix: the text after it.
            extra: texts of other files by name, the most important one last.
            **kwargs: fields of ``xlc_core.CompletionOptions`` that override the model's own, and ``model``.

        Returns:
            The text for the gap.

        Raises:
            UnsupportedFeatureError: the model has no infill tokens, as most chat models.
        """
        with langchain_errors():
            engine = self._get_engine(kwargs.get("model"))
            return engine.infill(prefix, suffix, extra=extra, **self._infill_request(kwargs)).text

    async def ainfill(self, prefix: str, suffix: str, *, extra: InfillFiles = (), **kwargs: Any) -> str:
        """Write the text between two texts; as infill."""
        with langchain_errors():
            engine = await self._aget_engine(kwargs.get("model"))
            return (await engine.ainfill(prefix, suffix, extra=extra, **self._infill_request(kwargs))).text

    def stream_infill(self, prefix: str, suffix: str, *, extra: InfillFiles = (), **kwargs: Any) -> Iterator[str]:
        """Write the text between two texts, bit by bit; as infill."""
        with langchain_errors():
            engine = self._get_engine(kwargs.get("model"))
            with engine.stream_infill(prefix, suffix, extra=extra, **self._infill_request(kwargs)) as events:
                yield from (event.text for event in events if isinstance(event, TextDelta))

    async def astream_infill(
        self, prefix: str, suffix: str, *, extra: InfillFiles = (), **kwargs: Any
    ) -> AsyncIterator[str]:
        """Write the text between two texts, bit by bit; as infill."""
        with langchain_errors():
            engine = await self._aget_engine(kwargs.get("model"))
            async with engine.astream_infill(prefix, suffix, extra=extra, **self._infill_request(kwargs)) as events:
                async for event in events:
                    if isinstance(event, TextDelta):
                        yield event.text

    def _infill_request(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        return self._completion_options(require_single_answer(self._join_options(None, kwargs)), kwargs)
