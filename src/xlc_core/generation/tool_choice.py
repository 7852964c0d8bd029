"""The forms in which frameworks say which tool must be called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xlc_core.errors import InvalidRequestError

__all__ = ["to_tool_choice"]


def to_tool_choice(choice: str | bool | dict[str, Any] | None, names: Sequence[str]) -> str | None:
    """Bring a tool choice into the engine's form.

    Args:
        choice: ``"auto"``, ``"none"``, ``"any"``, ``"required"`` or True for some call, a tool's
            name, or a dictionary of OpenAI's or Anthropic's that holds one of these. None and False
            leave it to the model.
        names: the tools that there are.

    Returns:
        ``"auto"``, ``"none"``, ``"required"``, a tool's name, or None where nothing was chosen.

    Raises:
        InvalidRequestError: the tool that was chosen is not among the tools.
    """
    if isinstance(choice, dict):
        choice = choice.get("function", choice).get("name") or choice.get("type")
    if choice is None or choice is False:
        return None
    if choice is True or choice in {"any", "required"}:
        return "required"
    if choice not in {"auto", "none", *names}:
        raise InvalidRequestError(
            f"tool_choice must be auto, none, any, required or one of the tools {list(names)}, got {choice!r}"
        )
    return choice
