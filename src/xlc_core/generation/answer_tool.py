"""Tools and a schema in one request: the model chooses between a call and an answer that matches the schema.

llama.cpp can require a call, but takes no second grammar beside that of the tools. So the schema becomes one more
tool, a call is required, and the arguments of a call of that tool become the text of the answer.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from xlc_core.constraints.constraint import Constraint
from xlc_core.constraints.json_constraints import JsonObject, JsonSchema
from xlc_core.errors import UnsupportedFeatureError
from xlc_core.events import Event, Finished, TextDelta, ToolCallDelta
from xlc_core.generation.tool_choice import ToolUse
from xlc_core.messages import Tool
from xlc_core.results import Completion, CompletionChoice

__all__ = ["AnswerTool"]

_TOOL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


class AnswerTool:
    """The tool that stands for the schema, and the conversion of its calls to text; for one request.

    Attributes:
        tool: the tool for the model.
    """

    def __init__(self, constraint: JsonSchema | JsonObject, taken: set[str]) -> None:
        schema = constraint.schema if isinstance(constraint, JsonSchema) else {"type": "object"}
        if schema.get("type", "object") != "object":
            raise UnsupportedFeatureError(
                f"beside tools, a schema must describe an object, got type {schema['type']!r}; "
                "make it a property of an object"
            )
        described = schema.get("description")
        self.tool = Tool(
            name=_free_name(schema.get("title"), taken),
            description=f"Give the final answer: {described}" if described else "Give the final answer.",
            parameters={"type": "object", **schema},
        )
        if isinstance(constraint, JsonSchema) and constraint.is_type:
            self.tool = self.tool.read_by(constraint.parse)
        self._constraint = constraint
        self._places: dict[tuple[int, int], int | None] = {}
        """(choice, call) → index among the calls that are shown; None for the answer tool."""
        self._answers: dict[int, int] = {}
        """Choice → its first call of the answer tool."""

    @classmethod
    def wanted_by(cls, constraint: Constraint | None, use: ToolUse) -> AnswerTool | None:
        """Return the tool for a constraint beside tools which may be called, else None.

        Raises:
            UnsupportedFeatureError: the constraint is not a schema of an object.
        """
        if constraint is None or not use.tools or use.choice != "auto":
            return None
        if not isinstance(constraint, (JsonSchema, JsonObject)):
            raise UnsupportedFeatureError(
                f"tools and a {type(constraint).__name__} cannot both shape one answer; use a JsonSchema, pass "
                "tool_choice='none', or leave one of them out"
            )
        return cls(constraint, {tool.name for tool in use.tools})

    def beside(self, use: ToolUse) -> ToolUse:
        """Return the tools that make the model choose between the others and the answer."""
        return ToolUse((*use.tools, self.tool), "required")

    def read(self, event: Event) -> Event | None:
        """Turn a call of the tool back into text. Return None for an event that is not part of the answer."""
        if isinstance(event, TextDelta):
            return None  # words before a call, which would spoil the JSON
        if isinstance(event, ToolCallDelta):
            return self._read_call(event)
        if isinstance(event, Finished):
            return Finished(self._read_completion(event.completion))
        return event

    def _read_call(self, event: ToolCallDelta) -> Event | None:
        place = (event.index, event.call_index)
        if place not in self._places:
            is_answer = event.name == self.tool.name
            if is_answer:
                self._answers.setdefault(event.index, event.call_index)
            n_before = sum(known is not None for (choice, _), known in self._places.items() if choice == event.index)
            self._places[place] = None if is_answer else n_before
        if (number := self._places[place]) is not None:
            return replace(event, call_index=number)
        if self._answers[event.index] != event.call_index or not event.arguments:
            return None
        return TextDelta(event.arguments, event.index)

    def _read_completion(self, completion: Completion) -> Completion:
        return replace(completion, choices=tuple(self._read_choice(choice) for choice in completion.choices))

    def _read_choice(self, choice: CompletionChoice) -> CompletionChoice:
        answers = [call.arguments for call in choice.tool_calls if call.name == self.tool.name]
        calls = tuple(call for call in choice.tool_calls if call.name != self.tool.name)
        ended_with_answer = choice.finish_reason == "tool_calls" and not calls
        return replace(
            choice,
            text=answers[0] if answers else "",
            tool_calls=calls,
            finish_reason="stop" if ended_with_answer else choice.finish_reason,
            constraint=None if calls else self._constraint,
        )


def _free_name(title: Any, taken: set[str]) -> str:
    name = title if isinstance(title, str) and _TOOL_NAME.fullmatch(title) else "answer"
    while name in taken:
        name = f"final_{name}"
    return name
