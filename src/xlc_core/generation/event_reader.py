"""From native events to ours, and to the result of the whole request."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from xlc_core import _native
from xlc_core.events import Event, Finished, PromptProgress, ReasoningDelta, TextDelta, ToolCallDelta
from xlc_core.generation.conversion import to_choice, to_token_logprob
from xlc_core.results import Completion, CompletionChoice, Usage

if TYPE_CHECKING:
    from xlc_core.constraints.constraint import Constraint
    from xlc_core.generation.request import Request

__all__ = ["EventReader"]

_Kind = _native.EventKind


class _Collector:
    """Converts native events and collects the content of the last one, Finished."""

    def __init__(self, n: int, model: str, constraint: Constraint | None) -> None:
        self._model = model
        self._constraint = constraint
        self._choices: list[CompletionChoice | None] = [None] * n
        self._texts: list[list[str]] = [[] for _ in range(n)]
        self._reasonings: list[list[str]] = [[] for _ in range(n)]
        self._usage = Usage()

    def read(self, event: _native.Event) -> Event | None:
        kind = event.kind
        if kind == _Kind.text:
            self._texts[event.choice].append(event.text)
            logprobs = tuple(to_token_logprob(token) for token in event.logprobs)
            return TextDelta(event.text, event.choice, logprobs)
        if kind == _Kind.reasoning:
            self._reasonings[event.choice].append(event.text)
            return ReasoningDelta(event.text, event.choice)
        if kind == _Kind.tool_call:
            return ToolCallDelta(event.call_index, event.call_id, event.call_name, event.text, event.choice)
        if kind == _Kind.prompt_progress:
            return PromptProgress(event.n_prompt_tokens, event.n_cached, event.n_processed, event.seconds)
        return self._finish_choice(event.choice, event.result)

    def _finish_choice(self, index: int, result: _native.ChoiceResult) -> Event | None:
        self._choices[index] = to_choice(result, self._constraint)
        first = index == 0  # the others share its prompt
        self._usage = Usage(
            prompt_tokens=result.n_prompt_tokens if first else self._usage.prompt_tokens,
            completion_tokens=self._usage.completion_tokens + result.n_generated_tokens,
            cached_tokens=result.n_cached_tokens if first else self._usage.cached_tokens,
            reasoning_tokens=self._usage.reasoning_tokens + result.n_reasoning_tokens,
        )
        if None in self._choices:
            return None
        return self._finished()

    def cancelled(self) -> Finished:
        """Return the result of a cancelled request: the texts that have come."""
        for index, choice in enumerate(self._choices):
            if choice is None:
                self._choices[index] = CompletionChoice(
                    text="".join(self._texts[index]),
                    reasoning="".join(self._reasonings[index]),
                    finish_reason="cancelled",
                )
        return self._finished()

    def _finished(self) -> Finished:
        choices = tuple(choice for choice in self._choices if choice is not None)
        return Finished(Completion(choices=choices, usage=self._usage, model=self._model))


class EventReader:
    """Reads the events of one request under way. Ends the request when it is closed or dropped.

    Args:
        generation: the request under way.
        request: what was asked.
        model: the model's name, for the result.

    Attributes:
        generation: the request under way.
        deadline: when it is given up.
        ready: events that were read and that nobody has taken.
        ended: whether the last event was read.
    """

    def __init__(self, generation: _native.Generation, request: Request, model: str) -> None:
        self.generation = generation
        self.deadline = request.deadline
        self.ready: deque[Event] = deque()
        self.ended = False
        self._collector = _Collector(request.n, model, request.constraint)
        self._answer_tool = request.answer_tool

    def read(self) -> bool:
        """Read the events that are there. Return whether there is an event or the end."""
        finished = self.generation.finished  # before the events, so that none is added in between
        for native in self.generation.take():
            event = self._collector.read(native)
            if event is not None and self._answer_tool is not None:
                event = self._answer_tool.read(event)
            if event is not None:
                self.ready.append(event)
                self.ended = self.ended or isinstance(event, Finished)
        if finished and not self.ended:
            self.ready.append(self._collector.cancelled())
            self.ended = True
        return bool(self.ready) or self.ended

    def stop_thinking(self) -> None:
        """Have the model answer with its next token."""
        self.generation.stop_thinking()

    def cancel(self) -> None:
        """End the answer here; a Finished event follows."""
        self.generation.cancel()

    def close(self) -> None:
        """End the request, if it has not ended, and drop the events that nobody has taken."""
        self.ready.clear()
        if not self.ended:
            self.ended = True
            self.generation.cancel()
        self.generation.set_waker(None)

    def __del__(self) -> None:
        # A reader may reach no stream: its task was cancelled while a helper thread queued the request.
        self.close()
