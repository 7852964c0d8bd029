"""The engine's methods for infill: text for a gap, from the text before and after it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from typing_extensions import Unpack

from xlc_core._native import Engine as NativeEngine
from xlc_core._native import InfillFile, InfillPrompt
from xlc_core.errors import InvalidRequestError
from xlc_core.generation.conversion import to_generation_request
from xlc_core.generation.off_loop import is_long
from xlc_core.generation.streams import AsyncEventStream, EventStream, Pump
from xlc_core.options.kwargs import CompletionKwargs
from xlc_core.options.sampling import CompletionOptions
from xlc_core.results import Completion
from xlc_core.texts import check_text

__all__ = ["InfillFiles", "InfillMethods"]

InfillFiles = Mapping[str, str] | Sequence[tuple[str, str]]
"""Other files that the text depends on: texts by file name, the most important one last."""


class InfillMethods:
    """Engine's methods to fill gaps."""

    _native: NativeEngine

    if TYPE_CHECKING:

        def _submitter(
            self,
            options: CompletionOptions,
            *,
            stream: bool,
            infill: InfillPrompt,
        ) -> Callable[[], Pump]: ...

        def _queueing(
            self, prepare: Callable[[], Callable[[], Pump]], *, is_long: bool
        ) -> Callable[[], Awaitable[Pump]]: ...

    def infill(
        self, prefix: str, suffix: str, *, extra: InfillFiles = (), **options: Unpack[CompletionKwargs]
    ) -> Completion:
        """Write the text between two texts: fill-in-the-middle, as editors complete code.

        The prompt uses the model's infill tokens, like in llama.cpp's server. If it does not fit into the context, with
        room for ``max_tokens`` (by default a quarter of the context), the parts farthest from the gap are left out:
        files of ``extra`` first, then the start of the prefix and the end of the suffix, in the ratio 3:1.

        Args:
            prefix: text before the gap; may be empty.
            suffix: text after the gap; may be empty.
            extra: texts of other files by name, the most important one last.
            **options: fields of CompletionOptions: sampling, constraint, timeout…

        Raises:
            UnsupportedFeatureError: the model has no infill tokens, like most chat models.
            The errors of chat.
        """
        return EventStream(self._infill(prefix, suffix, extra, options, stream=False)()).result()

    async def ainfill(
        self, prefix: str, suffix: str, *, extra: InfillFiles = (), **options: Unpack[CompletionKwargs]
    ) -> Completion:
        """Write the text between two texts; see infill."""
        return await AsyncEventStream(
            self._queueing(
                lambda: self._infill(prefix, suffix, extra, options, stream=False),
                is_long=_is_long(prefix, suffix, extra),
            )
        ).result()

    def stream_infill(
        self, prefix: str, suffix: str, *, extra: InfillFiles = (), **options: Unpack[CompletionKwargs]
    ) -> EventStream:
        """Write the text between two texts, event by event; see infill."""
        return EventStream(self._infill(prefix, suffix, extra, options, stream=True)())

    def astream_infill(
        self, prefix: str, suffix: str, *, extra: InfillFiles = (), **options: Unpack[CompletionKwargs]
    ) -> AsyncEventStream:
        """Write the text between two texts, event by event, for ``async for``; see infill."""
        return AsyncEventStream(
            self._queueing(
                lambda: self._infill(prefix, suffix, extra, options, stream=True),
                is_long=_is_long(prefix, suffix, extra),
            )
        )

    def render_infill(
        self, prefix: str, suffix: str, *, extra: InfillFiles = (), max_tokens: int | None = None
    ) -> list[int]:
        """Return the tokens of infill's prompt; ``detokenize(…, special=True)`` turns them into text."""
        options = CompletionOptions.checked(max_tokens=max_tokens)
        infill = _to_prompt(prefix, suffix, extra)
        return self._native.prompt_tokens(to_generation_request(options, stream=False, infill=infill))

    def _infill(
        self, prefix: str, suffix: str, extra: InfillFiles, kwargs: CompletionKwargs, *, stream: bool
    ) -> Callable[[], Pump]:
        infill = _to_prompt(prefix, suffix, extra)
        return self._submitter(CompletionOptions.checked(**kwargs), stream=stream, infill=infill)


def _to_prompt(prefix: str, suffix: str, extra: InfillFiles) -> InfillPrompt:
    files = []
    for entry in extra.items() if isinstance(extra, Mapping) else extra:
        if isinstance(entry, str) or len(entry) != 2 or not all(isinstance(text, str) for text in entry):
            raise InvalidRequestError(f"extra takes texts by file name, or pairs of both, got {entry!r}")
        name, text = entry
        files.append(InfillFile(check_text(name, "a file name"), check_text(text, f"the file {name!r}")))
    return InfillPrompt(check_text(prefix, "the prefix"), check_text(suffix, "the suffix"), files)


def _is_long(prefix: str, suffix: str, extra: InfillFiles) -> bool:
    texts = extra.values() if isinstance(extra, Mapping) else (text for _, text in extra)
    return is_long("".join((prefix, suffix, *texts)))
