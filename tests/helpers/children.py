"""Programs that may crash or hang, run in a child process."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_PREAMBLE = f"""
import sys
sys.path[:0] = [{str(Path(__file__).parents[1])!r}]
from pathlib import Path
MODELS = Path({str(Path(__file__).parents[1] / "model_files")!r})
import xlc_core as xlc
"""


def run_child(
    program: str,
    *,
    timeout: float = 120,
    flags: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> str:
    """Run a program that knows ``xlc`` and the folder ``MODELS``; return what it printed.

    Fails when the child is ended by a signal, exits with an error, or hangs.

    Args:
        program: the program.
        timeout: seconds that it may take.
        flags: of the interpreter.
        env: its environment; None for this process's.
        cwd: the folder that it starts in.
    """
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", *flags, "-c", _PREAMBLE + program],
        env=env,
        cwd=cwd,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"exit code {done.returncode}: {done.stderr[-2000:]}"
    return done.stdout


def obey_modes() -> None:
    """Let the modes of files count for root too, in this thread and those that it starts."""
    if os.getuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable, twice
    libc.capget(header, sets)
    for place in range(3):
        sets[place] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    if libc.capset(header, sets) != 0:
        raise OSError(ctypes.get_errno(), "capset")
