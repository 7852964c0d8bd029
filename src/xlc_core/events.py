"""What a stream yields: small frozen objects, one kind per thing that can happen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xlc_core.results import Completion, TokenLogprob

__all__ = ["Event", "Finished", "PromptProgress", "ReasoningDelta", "TextDelta", "ToolCallDelta"]


@dataclass(frozen=True)
class TextDelta:
    """Text that follows what came before.

    Attributes:
        text: the new text; never half a character.
        index: which of the ``n`` answers it belongs to.
        logprobs: one entry per token of this delta, when ``logprobs`` was asked for.
    """

    text: str
    index: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class ReasoningDelta:
    """Thinking that follows what came before, kept apart from the answer."""

    text: str
    index: int = 0


@dataclass(frozen=True)
class ToolCallDelta:
    """A piece of a tool call. The pieces of ``arguments`` joined are the call's JSON text.

    Attributes:
        call_index: which call of this answer, from 0.
        id: the call's id; only in the first piece.
        name: the tool's name; only in the first piece.
        arguments: JSON text that follows what came before.
        index: which of the ``n`` answers it belongs to.
    """

    call_index: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    index: int = 0


@dataclass(frozen=True)
class PromptProgress:
    """How far the prompt has been read; sent only when asked for with ``prompt_progress=True``.

    Attributes:
        n_tokens: tokens in the prompt.
        n_cached: of these, how many were taken from the cache.
        n_processed: tokens behind us, cached ones included.
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
        completion: what ``chat`` or ``complete`` would have returned.
    """

    completion: Completion

    @property
    def parsed(self) -> Any:
        """What the constraint makes of the text; as CompletionChoice.parsed."""
        return self.completion.parsed


Event = TextDelta | ReasoningDelta | ToolCallDelta | PromptProgress | Finished
