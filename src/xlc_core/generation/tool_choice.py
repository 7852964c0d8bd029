"""Which tools a model is shown, and which of them it must call: all forms of ``tool_choice``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xlc_core.errors import InvalidRequestError
from xlc_core.messages import Tool
from xlc_core.texts import show_value

__all__ = ["ToolUse", "to_tool_choice", "to_tool_use"]


@dataclass(frozen=True)
class ToolUse:
    """The tools of one request.

    Attributes:
        tools: the tools that the model is shown.
        choice: ``"auto"``, ``"none"`` or ``"required"``, the choices that llama.cpp knows.
        is_named: whether one tool was named, which means one call of it.
    """

    tools: tuple[Tool, ...] = ()
    choice: str = "auto"
    is_named: bool = False

    @property
    def may_call(self) -> bool:
        """Whether the answer may hold calls."""
        return bool(self.tools) and self.choice != "none"


def to_tool_choice(choice: str | bool | dict[str, Any] | None, names: Sequence[str]) -> str | None:
    """Convert a tool choice into the engine's form.

    Args:
        choice: ``"auto"``, ``"none"``; ``"any"``, ``"required"`` or True for a call of any tool; a tool's
            name; or a dictionary in OpenAI's or Anthropic's form that holds one of these. None and False
            let the model choose.
        names: the names of all tools.

    Returns:
        ``"auto"``, ``"none"``, ``"required"``, a tool's name, or None if nothing was chosen.

    Raises:
        InvalidRequestError: the chosen tool does not exist.
    """
    if isinstance(choice, dict):
        function = choice.get("function", choice)
        choice = (function.get("name") if isinstance(function, dict) else function) or choice.get("type")
    if choice is None or choice is False:
        return None
    if choice is True or choice in ("any", "required"):
        return "required"
    if choice not in ("auto", "none", *names):
        known = ", ".join(map(repr, names)) or "none"
        raise InvalidRequestError(
            f"tool_choice={show_value(choice)} is not auto, none, any, required or the name of a tool; "
            f"the tools given are: {known}"
        )
    return choice


def to_tool_use(tools: tuple[Tool, ...], choice: str | bool | dict[str, Any] | None) -> ToolUse:
    """Decide which tools the model is shown. llama.cpp can only force some call: for a named tool, it is the only one.

    Raises:
        InvalidRequestError: the choice is not known, or a call is required and there are no tools.
    """
    chosen = to_tool_choice(choice, [tool.name for tool in tools]) or "auto"
    if chosen in ("auto", "none"):
        return ToolUse(tools, chosen)
    if not tools:
        raise InvalidRequestError(f"tool_choice={show_value(choice)} needs at least one tool in tools")
    if chosen == "required":
        return ToolUse(tools, chosen)
    return ToolUse(tuple(tool for tool in tools if tool.name == chosen), "required", is_named=True)
