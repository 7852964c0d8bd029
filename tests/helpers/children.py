"""Programs that may crash or hang, run in a child process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_PREAMBLE = f"""
import sys
sys.path[:0] = [{str(Path(__file__).parents[1])!r}]
from pathlib import Path
MODELS = Path({str(Path(__file__).parents[1] / "model_files")!r})
import xlc_core as xlc
"""


def run_child(program: str, *, timeout: float = 120) -> str:
    """Run a program that knows ``xlc`` and the folder ``MODELS``; return what it printed.

    Fails when the child is ended by a signal, exits with an error, or hangs.
    """
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", _PREAMBLE + program],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"exit code {done.returncode}: {done.stderr[-2000:]}"
    return done.stdout
