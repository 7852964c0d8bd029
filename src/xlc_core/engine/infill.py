"""The engine's methods for infill: text for a gap, from the text before and after it."""

from __future__ import annotations

from collections.abc import Mapping

from typing_extensions import Unpack

from xlc_core.engine.base import EngineBase
from xlc_core.generation.request import InfillFiles
from xlc_core.generation.streams import AsyncEventStream, EventStream
from xlc_core.options.kwargs import CompletionKwargs
from xlc_core.options.sampling import CompletionOptions
from xlc_core.results import Completion
from xlc_core.waiting import Deadline

__all__ = ["InfillFiles", "InfillMethods"]


class InfillMethods(EngineBase):
    """Engine's methods that fill gaps."""

    def infill(
        self, prefix: str, suffix: str, *, extra: InfillFiles = (), **options: Unpack[CompletionKwargs]
    ) -> Completion:
        """Write the text between two texts: fill-in-the-middle, as editors complete code.

        The prompt uses the model's infill tokens, like in llama.cpp's server. If it does not fit into the context, with
        room for ``max_tokens`` (by default a quarter of the context, and never more than half of it), the parts
        farthest from the gap are left out: files of ``extra`` first, then the start of the prefix and the end of the
        suffix, in the ratio 3:1.

        Args:
            prefix: text before the gap; may be empty.
            suffix: text after the gap; may be empty.
            extra: texts of other files by name, the most important one last.
            **options: fields of CompletionOptions: sampling, constraint, timeout…

        Returns:
            the text for the gap, or ``n`` of them; with tokens and times.

        Raises:
            UnsupportedFeatureError: the model has no infill tokens, like most chat models.
            XllamaError: the errors of chat.
        """
        wanted = CompletionOptions.checked(**options)
        return self._stream(lambda: self._requests.infill(prefix, suffix, extra, wanted)).result()

    async def ainfill(
        self, prefix: str, suffix: str, *, extra: InfillFiles = (), **options: Unpack[CompletionKwargs]
    ) -> Completion:
        """Write the text between two texts; see infill."""
        return await self._astream_infill(prefix, suffix, extra, options, stream=False).result()

    def stream_infill(
        self, prefix: str, suffix: str, *, extra: InfillFiles = (), **options: Unpack[CompletionKwargs]
    ) -> EventStream:
        """Write the text between two texts, event by event; see infill."""
        wanted = CompletionOptions.checked(**options)
        return self._stream(lambda: self._requests.infill(prefix, suffix, extra, wanted, stream=True))

    def astream_infill(
        self, prefix: str, suffix: str, *, extra: InfillFiles = (), **options: Unpack[CompletionKwargs]
    ) -> AsyncEventStream:
        """Write the text between two texts, event by event, for ``async for``; see infill."""
        return self._astream_infill(prefix, suffix, extra, options, stream=True)

    def render_infill(
        self, prefix: str, suffix: str, *, extra: InfillFiles = (), max_tokens: int | None = None
    ) -> list[int]:
        """Return the tokens of infill's prompt; ``detokenize(…, special=True)`` turns them into text.

        Nothing is run.

        Args:
            prefix: text before the gap.
            suffix: text after the gap.
            extra: texts of other files, as for infill.
            max_tokens: tokens for which the prompt leaves room, at most half of the context; None: a quarter of it.

        Raises:
            UnsupportedFeatureError: the model has no infill tokens.
            InvalidRequestError: an argument is wrong.
        """
        wanted = CompletionOptions.checked(max_tokens=max_tokens)
        return self._native.prompt_tokens(self._requests.infill(prefix, suffix, extra, wanted).native)

    def _astream_infill(
        self, prefix: str, suffix: str, extra: InfillFiles, options: CompletionKwargs, *, stream: bool
    ) -> AsyncEventStream:
        wanted = CompletionOptions.checked(**options)
        deadline = Deadline(wanted.timeout)
        texts = extra.values() if isinstance(extra, Mapping) else [entry[-1] for entry in extra if entry]
        everything = [{"content": text} for text in (prefix, suffix, *texts)]
        return self._astream(
            lambda: self._requests.infill(prefix, suffix, extra, wanted, stream=stream, deadline=deadline),
            takes_long=self._requests.takes_long(everything, wanted),
        )
