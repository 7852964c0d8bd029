"""The forms of ``tool_choice`` in frameworks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xlc_core.errors import InvalidRequestError

__all__ = ["to_tool_choice"]


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
