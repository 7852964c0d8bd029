"""The processes of a Ray cluster that this process has started."""

from __future__ import annotations

import psutil

__all__ = ["processes"]


def processes(name: str) -> list[psutil.Process]:
    """Return the workers of this process's clusters whose title has a name."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if process.cmdline() and name in process.cmdline()[0]:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found
