"""Checks of texts and tokens that every part of the core needs."""

from __future__ import annotations

from collections.abc import Sequence

from xlc_core.errors import InvalidRequestError

__all__ = ["check_text", "check_tokens"]

_LARGEST_TOKEN = 0x7FFF_FFFF  # C++'s int32_t


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


def check_tokens(tokens: Sequence[int]) -> list[int]:
    """Return tokens as a list of integers if C++ can hold them; the vocabulary is not asked.

    Args:
        tokens: numbers of tokens.

    Raises:
        InvalidRequestError: one is not an integer, or too large.
    """
    for token in tokens:
        if not hasattr(token, "__index__") or abs(token) > _LARGEST_TOKEN:
            raise InvalidRequestError(f"there is no token {token!r}; give numbers that tokenize returned")
    return [int(token) for token in tokens]
