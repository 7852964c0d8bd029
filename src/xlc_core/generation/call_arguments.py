"""The arguments of earlier tool calls, as the JSON object that chat templates need, whatever was stored."""

from __future__ import annotations

import json
import math
from typing import Any

import pydantic_core

from xlc_core.errors import InvalidRequestError
from xlc_core.nesting import check_json_depth
from xlc_core.texts import check_text, to_json

__all__ = ["UNREADABLE", "as_object"]

UNREADABLE = "arguments"
"""The key under which a template gets arguments that are not an object."""


def as_object(text: str, name: str) -> str:
    """Return arguments as the text of a JSON object.

    Text that is one already is returned unchanged, and no text or ``null`` means no arguments. Text that was cut off
    is closed where it ends, as the model wrote it. All else, such as a list or words, becomes the value of the key
    ``arguments``.

    Args:
        text: the arguments as the model wrote them.
        name: their name in a message, such as ``"the arguments of a tool call of message 1"``.

    Raises:
        InvalidRequestError: they hold a lone surrogate, or are nested too deeply.
    """
    check_json_depth(check_text(text, name), name)
    if not text.strip():
        return "{}"
    try:
        value = _parsed(text)
    except (ValueError, RecursionError):
        return to_json(_wrapped(_closed(text)), name)
    if isinstance(value, str):  # JSON text within JSON text
        return _inner(value, name)
    if not isinstance(value, dict):
        return to_json(_wrapped(value), name)
    if "\\u" in text:
        _check_escapes(value, name)
    return text


def _parsed(text: str, *, strict: bool = True) -> Any:
    """Parse JSON as llama.cpp does, which takes no infinite numbers."""
    return json.loads(text, strict=strict, parse_constant=_refuse, parse_float=_finite)


def _refuse(number: str) -> Any:
    raise ValueError(f"{number} is not a number of JSON")


def _finite(number: str) -> float:
    value = float(number)
    return value if math.isfinite(value) else _refuse(number)


def _inner(text: str, name: str) -> str:
    try:
        value = _parsed(text)
    except (ValueError, RecursionError):
        value = None
    return to_json(value if isinstance(value, dict) else _wrapped(text), name)


def _wrapped(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    return {} if value is None else {UNREADABLE: value}


def _closed(text: str) -> Any:
    """Return the object that a text begins, or the text."""
    for allowed in ("trailing-strings", True):
        for candidate in (text, _without_half_escape(text)):
            try:
                value = pydantic_core.from_json(candidate, allow_inf_nan=False, allow_partial=allowed)
            except ValueError:
                continue
            if isinstance(value, dict) and _is_finite(value):
                return value
    try:
        value = _parsed(text, strict=False)  # with line breaks in its strings
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, dict) else text


def _is_finite(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


def _without_half_escape(text: str) -> str:
    """Return a text without the escape sequence, or half of a pair of them, in which it was cut off."""
    start = text.rfind("\\", max(0, len(text) - 12))
    while start > 0 and text[start - 1] == "\\":
        start -= 1
    return text if start < 0 else text[:start]


def _check_escapes(value: dict[str, Any], name: str) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as fault:
        raise InvalidRequestError(
            f"{name} hold the lone surrogate {fault.object[fault.start]!r} as an escape, which no tokenizer can read; "
            "decode your bytes with errors='replace'"
        ) from None
