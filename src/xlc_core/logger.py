"""The logger ``xllama``, whose records are single lines whatever names and texts they quote."""

from __future__ import annotations

import logging
import re

__all__ = ["escape_line", "logger"]

# Line breaks, other control characters, and those that reverse the direction of what follows.
_NOT_PLAIN = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def escape_line(text: str) -> str:
    """Return a text as one line: line breaks and control characters, except tabs, are written as escapes."""
    return _NOT_PLAIN.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


class _OneLine(logging.Filter):
    """Escapes messages. A name in a model file could otherwise forge a line of the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except Exception:  # its handlers report arguments that do not fit
            return True
        if _NOT_PLAIN.search(message):
            record.msg, record.args = escape_line(message), ()
        return True


logger = logging.getLogger("xllama")
logger.addHandler(logging.NullHandler())
logger.addFilter(_OneLine())
