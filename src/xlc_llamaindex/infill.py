"""Infill with LlamaIndex's responses."""

from __future__ import annotations

from typing import Any

from llama_index.core.base.llms.types import CompletionResponse, CompletionResponseAsyncGen, CompletionResponseGen

from xlc_core import InfillFiles
from xlc_core.frameworks import GeneratorAdapter
from xlc_llamaindex.responses import Answer, aresponses, responses, to_completion_response

__all__ = ["InfillMethods"]


class InfillMethods(GeneratorAdapter):
    """Text for a gap, as editors complete code. LlamaIndex has no names for it, so these are the engine's."""

    def _request(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    def infill(self, prefix: str, suffix: str, *, extra: InfillFiles = (), **kwargs: Any) -> CompletionResponse:
        """Write the text between two texts; ``Engine.infill`` says how.

        Args:
            prefix: the text before the gap.
            suffix: the text after it.
            extra: texts of other files by name, the most important one last.
            **kwargs: fields of ``xlc_core.CompletionOptions`` that override the LLM's own.

        Returns:
            The text for the gap, with usage, timings and finish reason in ``raw``.

        Raises:
            UnsupportedFeatureError: the model has no infill tokens, as most chat models.
        """
        engine = self._get_engine()
        answer = engine.infill(prefix, suffix, extra=extra, **self._infill_request(kwargs))
        return to_completion_response(Answer.whole(answer))

    async def ainfill(self, prefix: str, suffix: str, *, extra: InfillFiles = (), **kwargs: Any) -> CompletionResponse:
        """Write the text between two texts without blocking the event loop; as infill."""
        engine = await self._aget_engine()
        answer = await engine.ainfill(prefix, suffix, extra=extra, **self._infill_request(kwargs))
        return to_completion_response(Answer.whole(answer))

    def stream_infill(
        self, prefix: str, suffix: str, *, extra: InfillFiles = (), **kwargs: Any
    ) -> CompletionResponseGen:
        """Write the text between two texts, bit by bit; as infill and ``stream_complete``."""
        stream = self._get_engine().stream_infill(prefix, suffix, extra=extra, **self._infill_request(kwargs))
        return responses(stream, to_completion_response)

    async def astream_infill(
        self, prefix: str, suffix: str, *, extra: InfillFiles = (), **kwargs: Any
    ) -> CompletionResponseAsyncGen:
        """Write the text between two texts, bit by bit; as stream_infill."""
        engine = await self._aget_engine()
        stream = engine.astream_infill(prefix, suffix, extra=extra, **self._infill_request(kwargs))
        return aresponses(stream, to_completion_response)

    def _infill_request(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        return self._completion_options(self._request(kwargs), kwargs)
