"""Counting threads."""

from __future__ import annotations

import threading


def count_threads() -> int:
    """Count the threads that Python started; a library's own thread counts as one from its first log line on."""
    return sum(not isinstance(thread, threading._DummyThread) for thread in threading.enumerate())
