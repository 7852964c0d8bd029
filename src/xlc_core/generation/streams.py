"""Streams of events, with the same logic for threads and asyncio. They differ only in how they wait."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING

from typing_extensions import Self

from xlc_core import _native
from xlc_core.errors import EngineClosedError, RequestCancelledError
from xlc_core.events import Event, Finished, PromptProgress, ReasoningDelta, TextDelta, ToolCallDelta
from xlc_core.generation.conversion import to_choice, to_token_logprob
from xlc_core.results import Completion, CompletionChoice, Usage
from xlc_core.waiting import AsyncWaiter, Deadline, wait_ready

if TYPE_CHECKING:
    from xlc_core.constraints.constraint import Constraint
    from xlc_core.generation.answer_tool import AnswerTool

__all__ = ["AsyncEventStream", "EventStream", "Pump"]

_Kind = _native.EventKind


class _Collector:
    """Converts native events and collects the data for the last one, Finished."""

    def __init__(self, n: int, model: str, constraint: Constraint | None, count_tokens: Callable[[str], int]) -> None:
        self._model = model
        self._constraint = constraint
        self._count_tokens = count_tokens
        self._choices: list[CompletionChoice | None] = [None] * n
        self._texts = [""] * n
        self._reasonings = [""] * n
        self._usage = Usage()

    def read(self, event: _native.Event) -> Event | None:
        kind = event.kind
        if kind == _Kind.text:
            self._texts[event.choice] += event.text
            logprobs = tuple(to_token_logprob(token) for token in event.logprobs)
            return TextDelta(event.text, event.choice, logprobs)
        if kind == _Kind.reasoning:
            self._reasonings[event.choice] += event.text
            return ReasoningDelta(event.text, event.choice)
        if kind == _Kind.tool_call:
            return ToolCallDelta(event.call_index, event.call_id, event.call_name, event.text, event.choice)
        if kind == _Kind.prompt_progress:
            return PromptProgress(event.n_prompt_tokens, event.n_cached, event.n_processed, event.seconds)
        return self._finish_choice(event.choice, event.result)

    def _finish_choice(self, index: int, result: _native.ChoiceResult) -> Event | None:
        self._choices[index] = to_choice(result, self._constraint)
        first = index == 0  # all choices share the first one's prompt
        self._usage = Usage(
            prompt_tokens=result.n_prompt_tokens if first else self._usage.prompt_tokens,
            completion_tokens=self._usage.completion_tokens + result.n_generated_tokens,
            cached_tokens=result.n_cached_tokens if first else self._usage.cached_tokens,
            reasoning_tokens=self._usage.reasoning_tokens + self._n_reasoning(result),
        )
        if None in self._choices:
            return None
        return self._finished()

    def _n_reasoning(self, result: _native.ChoiceResult) -> int:
        if not result.reasoning:
            return 0
        if not (result.text or result.tool_calls):  # cut off while thinking
            return result.n_generated_tokens
        with contextlib.suppress(EngineClosedError):  # the answer is complete, only its count is missing
            return min(self._count_tokens(result.reasoning), result.n_generated_tokens)
        return 0

    def cancelled(self) -> Finished:
        """Return the last event of a cancelled request, with the texts so far."""
        for index, choice in enumerate(self._choices):
            if choice is None:
                self._choices[index] = CompletionChoice(
                    text=self._texts[index], reasoning=self._reasonings[index], finish_reason="cancelled"
                )
        return self._finished()

    def _finished(self) -> Finished:
        choices = tuple(choice for choice in self._choices if choice is not None)
        return Finished(Completion(choices=choices, usage=self._usage, model=self._model))


class Pump:
    """Collects the events of a generation and detects its end."""

    def __init__(
        self,
        generation: _native.Generation,
        n: int,
        model: str,
        constraint: Constraint | None,
        deadline: Deadline,
        count_tokens: Callable[[str], int],
        answer_tool: AnswerTool | None = None,
    ) -> None:
        self.generation = generation
        self.deadline = deadline
        self.ready: deque[Event] = deque()
        self.ended = False
        self._collector = _Collector(n, model, constraint, count_tokens)
        self._answer_tool = answer_tool

    def take(self) -> bool:
        """Fetch the available events. Return whether there is an event or the end."""
        finished = self.generation.finished  # read before the events: later ones come with the next call
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
        """End the model's thinking with its next token."""
        self.generation.stop_thinking()

    def close(self) -> None:
        """End the request, if it has not ended, and drop all events."""
        self.ready.clear()
        if not self.ended:
            self.ended = True
            self.generation.cancel()
        self.generation.set_waker(None)

    def __del__(self) -> None:
        # Also of a pump that reached no stream: its task was cancelled while a helper thread queued the request.
        self.close()


class EventStream:
    """The events of one request, as an iterator.

    The request runs even if nobody reads the events. It ends and frees its slot when it is done, when the stream is
    closed or deleted, on Ctrl+C and at its timeout. To be sure, use the stream as a context manager.
    """

    def __init__(self, pump: Pump) -> None:
        self._pump = pump

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        pump = self._pump
        if not pump.ready:
            if pump.ended:
                raise StopIteration
            try:
                while not pump.take():
                    wait_ready(pump.generation, pump.deadline)
            except BaseException:
                self.close()
                raise
        return pump.ready.popleft()

    def cancel(self) -> None:
        """End the answer, from any thread. The stream still yields earlier events and a Finished event."""
        self._pump.generation.cancel()

    def stop_thinking(self) -> None:
        """End the model's thinking with its next token, so that it answers. From any thread.

        It may be called before the thinking starts, and applies to all ``n`` answers. If the model does not think, it
        has no effect.
        """
        self._pump.stop_thinking()

    def close(self) -> None:
        """End the request and the stream. Idempotent."""
        self._pump.close()

    def result(self) -> Completion:
        """Read all events and return the whole result.

        Raises:
            RequestCancelledError: the stream was closed before.
        """
        for event in self:
            if isinstance(event, Finished):
                return event.completion
        raise RequestCancelledError("the stream was closed before its end; there is no result")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncEventStream:
    """The events of one request, as an async iterator. The request starts with the first ``anext``.

    Cancelling the waiting task, and closing or deleting the stream, end the request and free its slot.
    """

    def __init__(self, start: Callable[[], Awaitable[Pump]]) -> None:
        self._start = start
        self._pump: Pump | None = None
        self._waiter: AsyncWaiter | None = None
        self._stops_thinking = False
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        if self._closed:
            raise StopAsyncIteration
        if self._pump is None or self._waiter is None:
            self._pump = await self._start()
            self._waiter = AsyncWaiter(self._pump.generation)
            if self._stops_thinking:
                self._pump.stop_thinking()
        pump = self._pump
        if not pump.ready:
            if pump.ended:
                raise StopAsyncIteration
            try:
                while not pump.take():
                    await self._waiter.ready(pump.deadline)
            except BaseException:
                self._close()
                raise
        return pump.ready.popleft()

    def cancel(self) -> None:
        """End the answer, from any thread. The stream still yields earlier events and a Finished event."""
        if self._pump is not None:
            self._pump.generation.cancel()

    def stop_thinking(self) -> None:
        """End the model's thinking with its next token; see EventStream.stop_thinking."""
        self._stops_thinking = True
        if self._pump is not None:
            self._pump.stop_thinking()

    async def aclose(self) -> None:
        """End the request and the stream. Idempotent."""
        self._close()

    def _close(self) -> None:
        self._closed = True
        if self._pump is not None:
            self._pump.close()

    async def result(self) -> Completion:
        """Read all events and return the whole result.

        Raises:
            RequestCancelledError: the stream was closed before.
        """
        async for event in self:
            if isinstance(event, Finished):
                return event.completion
        raise RequestCancelledError("the stream was closed before its end; there is no result")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
