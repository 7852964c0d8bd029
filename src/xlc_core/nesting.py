"""JSON from outside, with a limit of nesting: parsers that recurse would overflow their stack."""

from __future__ import annotations

import json
import re
from typing import Any

from xlc_core.errors import InvalidRequestError

__all__ = ["MAX_JSON_DEPTH", "check_json_depth", "from_json", "too_deep"]

MAX_JSON_DEPTH = 128
"""Most lists and objects within each other in the JSON of a request: arguments of tool calls, schemas of tools,
``template_kwargs``, the state of a decision. Schemas of constraints have a lower limit."""

# A string without an end is one too: the search would look for its end again from each quote within it.
_TOKENS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[][{}]', re.DOTALL)


def check_json_depth(text: str, name: str) -> str:
    """Return JSON text if its lists and objects are not nested too deeply. Does not check that it is JSON.

    Args:
        text: the text.
        name: its name in the message, such as ``"the arguments"``.

    Raises:
        InvalidRequestError: there are more than MAX_JSON_DEPTH levels.
    """
    if text.count("[") + text.count("{") <= MAX_JSON_DEPTH:
        return text
    depth = 0
    for token in _TOKENS.finditer(text):
        if token[0] in "[{":
            depth += 1
            if depth > MAX_JSON_DEPTH:
                raise too_deep(name)
        elif token[0] in "]}":
            depth -= 1
    return text


def from_json(text: str) -> Any:
    """Return the value of JSON text that a model or a user wrote.

    Args:
        text: the JSON.

    Raises:
        ValueError: it is not JSON, or nested deeper than Python's parser reads.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("the JSON text is nested too deeply to be read") from None


def too_deep(name: str) -> InvalidRequestError:
    """Return the error for JSON of this name that is nested too deeply."""
    return InvalidRequestError(
        f"{name} has more than {MAX_JSON_DEPTH} lists and objects within each other; make it flatter"
    )
