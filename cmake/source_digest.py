"""A digest of the sources that a wheel is made from. The wheel carries it, so that a stale one is noticed.

python cmake/source_digest.py [WHEEL]
"""

from __future__ import annotations

import hashlib
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAME = "xllama-sources.sha256"  # a file of the wheel's folder .dist-info
FOLDERS = ("src", "cmake")
FILES = ("CMakeLists.txt", "pyproject.toml", "vendor/pin.ini")
# Files that come and go with use.
MADE = {".pyc", ".so", ".pyd"}


def sources(root: Path) -> list[Path]:
    """Return the files that decide what is in a wheel."""
    found = [path for folder in FOLDERS for path in (root / folder).rglob("*")]
    found += [root / name for name in FILES]
    return sorted(path for path in found if path.is_file() and path.suffix not in MADE)


def of_checkout(root: Path = ROOT) -> str:
    """Return the digest of a checkout's sources: their names and contents."""
    digest = hashlib.sha256()
    for path in sources(root):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{content}  {path.relative_to(root).as_posix()}\n".encode())
    return digest.hexdigest()


def of_wheel(wheel: Path) -> str | None:
    """Return the digest that a wheel carries; a wheel of another maker does not have one."""
    with zipfile.ZipFile(wheel) as files:
        names = [name for name in files.namelist() if name.endswith(f".dist-info/{NAME}")]
        return files.read(names[0]).decode().strip() if names else None


if __name__ == "__main__":
    print(of_wheel(Path(sys.argv[1])) if len(sys.argv) > 1 else of_checkout())
