"""llama.cpp's log lines as records of the logger ``xllama``.

C++ drops lines below the logger's level at once, so silence costs nothing. llama.cpp's information (a page per model)
has the level DEBUG, its server's information INFO.
"""

from __future__ import annotations

import atexit

from xlc_core import _native
from xlc_core.logger import logger

__all__ = ["logger", "sync_level"]


def _deliver(level: int, text: bytes) -> None:
    logger.log(level, "%s", text.decode("utf-8", "replace").rstrip())


def sync_level() -> None:
    """Pass the logger's level to C++; called whenever an engine opens."""
    _native.set_log_level(logger.getEffectiveLevel())


_native.set_log_sink(_deliver)
sync_level()
atexit.register(_native.stop_logging)
