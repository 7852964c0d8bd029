"""Events of a stream: small frozen objects, one class for each kind of event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xlc_core.results import Completion, TokenLogprob

__all__ = ["Event", "Finished", "PromptProgress", "ReasoningDelta", "TextDelta", "ToolCallDelta"]


@dataclass(frozen=True)
class TextDelta:
    """The next piece of text.

    Attributes:
        text: the new text; never half a character.
        index: which of the ``n`` answers it belongs to.
        logprobs: one entry per token of this delta, if ``logprobs`` was requested.
    """

    text: str
    index: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class ReasoningDelta:
    """The next piece of thinking, separate from the answer.

    Attributes:
        text: the piece.
        index: which of the ``n`` answers it belongs to.
    """

    text: str
    index: int = 0


@dataclass(frozen=True)
class ToolCallDelta:
    """A piece of a tool call. The pieces of ``arguments`` joined are the call's JSON text.

    Attributes:
        call_index: which call of this answer, from 0.
        id: the call's id; only in the first piece.
        name: the tool's name; only in the first piece.
        arguments: the next piece of JSON text.
        index: which of the ``n`` answers it belongs to.
    """

    call_index: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    index: int = 0


@dataclass(frozen=True)
class PromptProgress:
    """How far the prompt has been read; sent only with ``prompt_progress=True``.

    Attributes:
        n_tokens: tokens in the prompt.
        n_cached: number of these that came from the cache.
        n_processed: tokens read so far, with the cached ones.
        seconds: time since the request got its slot.
    """

    n_tokens: int
    n_cached: int
    n_processed: int
    seconds: float


@dataclass(frozen=True)
class Finished:
    """The last event of every stream that ends by itself: the whole result.

    Attributes:
        completion: the result that ``chat`` or ``complete`` would have returned.
    """

    completion: Completion

    @property
    def parsed(self) -> Any:
        """The text parsed by the constraint; see CompletionChoice.parsed."""
        return self.completion.parsed


Event = TextDelta | ReasoningDelta | ToolCallDelta | PromptProgress | Finished
"""One item of a stream."""
