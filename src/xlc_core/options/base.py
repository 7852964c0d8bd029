"""What all options have in common: they are frozen, and refuse unknown names and say which name was meant."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from typing_extensions import Self

from xlc_core.errors import InvalidRequestError

__all__ = ["Options", "describe"]

_LONGEST_VALUE = 200  # characters of a wrong value that a message repeats; it may be a picture


class Options(BaseModel):
    """Base of every option model: frozen, and an unknown name is an error that names the nearest one."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_names(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for name in values:
                if name not in cls.model_fields:
                    near = difflib.get_close_matches(str(name), cls.model_fields, n=1)
                    hint = f"; did you mean {near[0]!r}?" if near else ""
                    raise ValueError(f"unknown option {name!r}{hint}")
        return values

    @classmethod
    def checked(cls, **values: Any) -> Self:
        """Build the options, turning pydantic's report into one InvalidRequestError.

        Raises:
            InvalidRequestError: a name is unknown or a value is out of range; the message lists all of them.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            raise InvalidRequestError(describe(error)) from None


def describe(error: ValidationError) -> str:
    """Say in one line per fault which value was wrong and why."""
    lines = []
    for fault in error.errors(include_url=False):
        reason = fault["msg"].removeprefix("Value error, ")
        place = ".".join(str(part) for part in fault["loc"])
        lines.append(f"{place}: {reason}, got {_shown(fault['input'])}" if place else reason)
    return "; ".join(lines)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
