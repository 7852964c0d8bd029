"""The step that all scripts which generate a committed file end with."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path

__all__ = ["write_or_compare"]


def write_or_compare(path: Path, fresh: str) -> int:
    """Write a generated file or, with --check on the command line, compare it with the committed one.

    Returns:
        the exit code: 1 if the committed file is stale, and then the difference is on stderr.
    """
    if "--check" not in sys.argv:
        path.write_text(fresh)
        return 0
    committed = path.read_text() if path.exists() else ""
    if committed == fresh:
        return 0
    sys.stderr.writelines(
        difflib.unified_diff(committed.splitlines(True), fresh.splitlines(True), "committed", "fresh", n=1)
    )
    print(f"{path.name} is stale; run {Path(sys.argv[0]).name} without --check, and commit it", file=sys.stderr)
    return 1
