"""Answers that a type refuses, and the requests that ask for them again.

A grammar cannot express all that a type checks, such as its own validators. So the model answers again, within the same
call and its timeout: first with its refused answer and the reason in the chat; small models tend to repeat that answer,
so the next attempt is the first chat again, with more randomness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from xlc_core.constraints.json_constraints import JsonSchema
from xlc_core.generation.conversion import to_tools
from xlc_core.generation.message_reading import MessageLike, to_messages
from xlc_core.messages import Message, Tool
from xlc_core.options.sampling import ChatOptions
from xlc_core.results import Completion, CompletionChoice, Usage
from xlc_core.waiting import Deadline

__all__ = ["Attempts"]

_MOST_REASONS = 5
_LEAST_TEMPERATURE = 1.2


class Attempts:
    """The attempts of one chat.

    Args:
        messages: the chat.
        options: of the request.

    Attributes:
        messages: the chat of the next attempt.
        options: the options of the next attempt.
        deadline: when the whole call is given up.
    """

    def __init__(self, messages: str | Sequence[MessageLike], options: ChatOptions) -> None:
        self.messages = messages
        self.options = options
        self.deadline = Deadline(options.timeout)
        self._first = (messages, options)
        self._tools: dict[str, Tool] | None = None
        self._n_done = 0
        self._last: Completion | None = None

    def accept(self, completion: Completion) -> Completion | None:
        """Return the result of the call, or None if the answer is refused and another attempt is left."""
        if self._last is not None:
            completion = replace(completion, usage=_sum(self._last.usage, completion.usage))
        self._last = completion
        first_messages, first = self._first
        if self._n_done >= (first.validation_retries if first.n == 1 else 0):
            return self._last
        refusal = self._refusal_of(completion.choices[0])
        if refusal is None:
            return self._last
        self._n_done += 1
        if self._n_done % 2 == 0:
            self.messages = first_messages
            self.options = first.model_copy(update=_more_random(first, self._n_done))
            return None
        read = to_messages(first_messages)
        if read and read[-1].role == "assistant":  # the answer goes on with the caller's own beginning
            return self._last
        self.messages = [*read, *refusal]
        self.options = first
        return None

    @property
    def refused(self) -> Completion | None:
        """The last answer, for when the chat with it has no room for another; None before the first answer."""
        return self._last

    def _refusal_of(self, choice: CompletionChoice) -> list[Message] | None:
        """Return the answer and the reasons why it is refused, as messages; None if it is right, or was cut off."""
        if choice.tool_calls:
            return self._refused_calls(choice) if choice.finish_reason == "tool_calls" else None
        if choice.finish_reason != "stop" or not isinstance(choice.constraint, JsonSchema):
            return None
        try:
            _ = choice.parsed
        except ValueError as error:
            text = f"This answer is not valid:\n{_reasons(error)}\nAnswer again, in the same form."
            return [Message(role="assistant", content=choice.text), Message(role="user", content=text)]
        return None

    def _refused_calls(self, choice: CompletionChoice) -> list[Message] | None:
        if self._tools is None:
            self._tools = {tool.name: tool for tool in to_tools(self.options.tools) if tool.is_type}
        reasons: dict[int, str] = {}
        for index, call in enumerate(choice.tool_calls):
            try:
                if call.name in self._tools:
                    self._tools[call.name].parse(call.arguments)
            except ValueError as error:
                reasons[index] = f"The arguments are not valid:\n{_reasons(error)}\nCall the tool again."
        if not reasons:
            return None
        answers = [
            Message(role="tool", content=reasons.get(index, "Not called."), tool_call_id=call.id, name=call.name)
            for index, call in enumerate(choice.tool_calls)
        ]
        return [Message(role="assistant", content=choice.text, tool_calls=choice.tool_calls), *answers]


def _more_random(options: ChatOptions, attempt: int) -> dict[str, Any]:
    temperature = _LEAST_TEMPERATURE if options.temperature is None else max(_LEAST_TEMPERATURE, options.temperature)
    return {"temperature": temperature, "seed": None if options.seed is None else (options.seed + attempt) % 2**32}


def _reasons(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return f"- {error}"
    faults: list[Any] = error.errors(include_url=False, include_context=False, include_input=False)
    lines = [f"- {'.'.join(map(str, fault['loc'])) or 'the value'}: {fault['msg']}" for fault in faults]
    return "\n".join(dict.fromkeys(lines[:_MOST_REASONS]))


def _sum(before: Usage, more: Usage) -> Usage:
    return Usage(
        prompt_tokens=before.prompt_tokens + more.prompt_tokens,
        completion_tokens=before.completion_tokens + more.completion_tokens,
        cached_tokens=before.cached_tokens + more.cached_tokens,
        reasoning_tokens=before.reasoning_tokens + more.reasoning_tokens,
    )
