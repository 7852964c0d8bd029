"""Checks of texts and tokens that every part of the core needs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from xlc_core.errors import InvalidRequestError
from xlc_core.nesting import check_json_depth, too_deep

__all__ = [
    "check_items",
    "check_path",
    "check_text",
    "check_tokens",
    "native_path",
    "plain_path",
    "plain_value",
    "python_path",
    "show_value",
    "to_json",
]

_LARGEST_TOKEN = 0x7FFF_FFFF  # C++'s int32_t
_LONGEST_VALUE = 200  # characters


def show_value(value: object) -> str:
    """Return a value as it is written in Python, shortened for a message, because it may be a picture."""
    try:
        text = repr(value)
    except Exception:  # an object's own method, or an integer of more digits than Python writes
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def check_text(text: str, name: str, error: type[InvalidRequestError] = InvalidRequestError) -> str:
    """Return the text if it can be encoded as UTF-8.

    Args:
        text: the text.
        name: its name in the message, such as ``"the prompt"``.
        error: the class to raise.

    Raises:
        InvalidRequestError: or ``error``: it is not a text, or it holds a lone surrogate, which UTF-8 cannot express.
    """
    if not isinstance(text, str):
        raise error(f"{name} must be a text, not {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError as fault:
        raise error(
            f"{name} holds the lone surrogate {text[fault.start]!r} at position {fault.start}, which no tokenizer "
            "can read; decode your bytes with errors='replace'"
        ) from None
    return text


def check_items(value: Iterable[Any], name: str) -> list[Any]:
    """Return the items of a list, or of another iterable that is neither one text nor a mapping.

    Args:
        value: the list.
        name: its name in the message, such as ``"the messages"``.

    Raises:
        InvalidRequestError: it is something else.
    """
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise InvalidRequestError(f"{name} must be a list, not {type(value).__name__}")
    return list(value)


def plain_path(value: Any) -> Any:
    """Return another library's path (anyio, trio, py.path) as Python's own, and every other value unchanged."""
    is_foreign = isinstance(value, os.PathLike) and not isinstance(value, Path)
    return Path(os.fsdecode(value)) if is_foreign else value


def check_path(path: str | os.PathLike[str], name: str) -> Path:
    """Return a path if a file can have it.

    Args:
        path: the path.
        name: its name in the message.

    Raises:
        InvalidRequestError: it has a NUL character, or characters that no file name has here.
    """
    text = os.fspath(path)
    try:
        if b"\0" not in os.fsencode(text):
            return Path(text)
    except UnicodeEncodeError as fault:
        found = f"the character {text[fault.start]!a}"
    else:
        found = "a NUL character"
    raise InvalidRequestError(f"{name} has {found}, which no file can have here, got {show_value(text)}")


def native_path(path: str | os.PathLike[str], name: str) -> str:
    """Return a path as llama.cpp takes it: in UTF-8, also where the locale has another encoding.

    Args:
        path: as Python has it. In other encodings, the bytes of its name are not those of the text in UTF-8.
        name: its name in the message.

    Raises:
        InvalidRequestError: the file's name is not UTF-8.
    """
    text = os.fspath(path)
    try:
        return os.fsencode(text).decode()
    except UnicodeDecodeError:
        raise InvalidRequestError(f"{name} has a name that is not UTF-8; rename the file or its folder") from None
    except UnicodeEncodeError:  # the locale cannot express it, so nothing on this disk has this name
        return check_text(text, name)


def python_path(path: str) -> str:
    """Return a path as Python takes it; see native_path."""
    return os.fsdecode(path.encode())


def check_tokens(tokens: Sequence[int]) -> list[int]:
    """Return tokens as a list of integers if C++ can hold them; the vocabulary is not asked.

    Args:
        tokens: numbers of tokens.

    Raises:
        InvalidRequestError: one is not an integer, or too large.
    """
    items = check_items(tokens, "the tokens")
    for token in items:
        if not hasattr(token, "__index__") or abs(token) > _LARGEST_TOKEN:
            raise InvalidRequestError(
                f"there is no token {show_value(token)}; pass numbers of tokens, as tokenize returns them"
            )
    return [int(token) for token in items]


def plain_value(value: Any) -> Any:
    """Return a number of numpy's or torch's, an array or a series as Python's own number or list, and a path as text.

    Raises:
        TypeError: it is something else.
    """
    for name in ("tolist", "to_list"):
        if callable(convert := getattr(value, name, None)) and not isinstance(value, type):
            return convert()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def to_json(value: Any, name: str) -> str:
    """Return a value as JSON text.

    Args:
        value: of types that JSON has.
        name: its name in the message, such as ``"the arguments"``.

    Raises:
        InvalidRequestError: JSON cannot express it, it holds a lone surrogate, or it is nested too deeply.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=plain_value)
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(f"{name} cannot be written as JSON: {error}") from None
    except RecursionError:
        raise too_deep(name) from None
    return check_json_depth(check_text(text, name), name)
