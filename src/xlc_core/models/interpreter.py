"""The Python interpreter that runs helper programs: pip, and llama.cpp's converter."""

from __future__ import annotations

import sys

from xlc_core.errors import ModelNotFoundError

__all__ = ["interpreter_path"]


def interpreter_path(task: str, remedy: str) -> str:
    """Return the path of this process's interpreter.

    In a frozen program (PyInstaller) ``sys.executable`` is the program itself, which would start again.

    Args:
        task: the reason for which it is needed, for the message.
        remedy: another way, for the message.

    Raises:
        ModelNotFoundError: this process does not have one.
    """
    if not sys.executable or getattr(sys, "frozen", False):
        raise ModelNotFoundError(f"{task} needs a Python interpreter, but this program is frozen or embedded; {remedy}")
    return sys.executable
