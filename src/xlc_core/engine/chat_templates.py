"""The engine's option ``chat_template``: Jinja text, a file of it, or a name that llama.cpp knows."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from xlc_core import _native
from xlc_core.errors import InvalidRequestError
from xlc_core.texts import check_text, show_value

__all__ = ["read_chat_template"]

# Go's templates have fields with a point and variables with a dollar, also in the statements that they write in double
# braces.
_GO = re.compile(r"\{\{-?\s*(?:(?:if|range|with|else if)\s+(?:(?:and|or|not|eq|ne)\s+)?)?[(\s]*[.$]\w")


def read_chat_template(value: str | Path | None) -> str:
    """Return the text of a template, or a name that llama.cpp knows; empty for the file's own template.

    Args:
        value: Jinja text, a path, or a name such as ``"llama3"``.

    Raises:
        InvalidRequestError: it is something else, such as a Go template of Ollama.
    """
    if value is None:
        return ""
    text = str(value)
    if isinstance(value, Path) or "{" not in text:
        if text in _native.chat_template_names() or not text:
            return text
        text = _read_file(text)
    if found := _GO.search(text):
        raise InvalidRequestError(
            f"chat_template has {found[0]!r}, which is Go, as in Ollama's Modelfiles; llama.cpp's templates are Jinja. "
            "Leave it out to use the template in the model's file, or take the Jinja text from the model's page"
        )
    return check_text(text, "chat_template")


def _read_file(name: str) -> str:
    path = Path(name)
    try:
        if path.is_file():
            return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InvalidRequestError(f"chat_template='{name}' is not a text file in UTF-8") from None
    except (OSError, ValueError) as error:
        raise InvalidRequestError(f"chat_template={show_value(name)} cannot be read: {error}") from None
    names = _native.chat_template_names()
    near = next(iter(difflib.get_close_matches(name, names, n=1)), None)
    raise InvalidRequestError(
        f"chat_template={show_value(name)} is neither Jinja text, nor a file, nor a name that llama.cpp knows"
        f"{f'; did you mean {near!r}?' if near else ': ' + ', '.join(names)}"
    )
