"""Fill a folder with Python's headers for another kind of machine, or for this one without its folders.

    python cmake/python_headers.py FOLDER [PYCONFIG]

They are the headers of the Python that runs this, whose version CMake compares with that of its interpreter. Only
pyconfig.h describes a machine. PYCONFIG is the one to take. Without it, this machine's is taken: on Debian it is in a
folder of the architecture, which is not among those of a compiler with another root folder.
"""

from __future__ import annotations

import shutil
import sys
import sysconfig
from pathlib import Path

__all__ = ["fill", "own_pyconfig"]


def own_pyconfig(include: Path, architecture: str | None) -> Path:
    """Return the pyconfig.h of a Python's headers. Debian's says only where the architecture's is."""
    debian = include.parent / (architecture or ".") / include.name / "pyconfig.h"
    return debian if architecture and debian.exists() else include / "pyconfig.h"


def fill(folder: Path, pyconfig: Path | None = None) -> None:
    """Fill the folder again; raise FileNotFoundError if this Python has no headers."""
    include = Path(sysconfig.get_paths()["include"])
    if not (include / "Python.h").exists():
        raise FileNotFoundError(f"{include}/Python.h is missing: install Python's headers (Debian: python3-dev)")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(include, folder)
    shutil.copy2(pyconfig or own_pyconfig(include, sysconfig.get_config_var("MULTIARCH")), folder / "pyconfig.h")


if __name__ == "__main__":
    fill(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
