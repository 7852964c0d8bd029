"""Checks of text that every part of the core needs."""

from __future__ import annotations

from xlc_core.errors import InvalidRequestError

__all__ = ["check_text"]


def check_text(text: str, name: str, error: type[InvalidRequestError] = InvalidRequestError) -> str:
    """Return the text if it can be encoded as UTF-8.

    Args:
        text: the text.
        name: its name in the message, such as ``"the prompt"``.
        error: the class to raise.

    Raises:
        InvalidRequestError: or ``error``: the text holds a lone surrogate, which UTF-8 cannot express.
    """
    try:
        text.encode()
    except UnicodeEncodeError as fault:
        raise error(
            f"{name} holds the lone surrogate {text[fault.start]!r} at position {fault.start}, which no tokenizer "
            "can read; decode your bytes with errors='replace'"
        ) from None
    return text
