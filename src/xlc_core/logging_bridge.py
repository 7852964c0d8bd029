"""llama.cpp's log lines as records of the logger ``xllama``.

Lines below the logger's level are dropped in C++, where they arise, so silence costs nothing. llama.cpp's
information (a page per model) comes as DEBUG, its server's as INFO.
"""

from __future__ import annotations

import atexit
import logging

from xlc_core import _native

__all__ = ["logger", "sync_level"]

logger = logging.getLogger("xllama")
logger.addHandler(logging.NullHandler())


def _deliver(level: int, text: bytes) -> None:
    logger.log(level, "%s", text.decode("utf-8", "replace").rstrip())


def sync_level() -> None:
    """Tell C++ the logger's level; called whenever an engine opens."""
    _native.set_log_level(logger.getEffectiveLevel())


_native.set_log_sink(_deliver)
sync_level()
atexit.register(_native.stop_logging)
