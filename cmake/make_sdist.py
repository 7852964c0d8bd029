"""Make the source distribution.

    python cmake/make_sdist.py [--with-llama-cpp] [FOLDER]

FOLDER is where it goes, by default dist/. With llama.cpp inside, it builds without a network; otherwise the build
fetches llama.cpp (vendor/README.md). The same sources give the same bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import source_digest
import wheel_tools
from fetch_llama_cpp import STAMP, read_pin

ROOT = Path(__file__).resolve().parents[1]
LLAMA_CPP = "vendor/llama.cpp"
# Parts of llama.cpp that no build of ours reads.
UNREAD = ("app", "benches", "docs", "examples", "media", "models", "pocs", "skills", "tests", "tools")
BUILD = "import json, sys, scikit_build_core.build as b; print(b.build_sdist(sys.argv[1], json.loads(sys.argv[2])))"


def read_parts() -> list[str]:
    """Return the files and folders of llama.cpp that a build may read."""
    base = ROOT / LLAMA_CPP
    ui = {path for path in (base / "tools" / "ui").iterdir() if path.is_file()}  # without the web pages
    listed = {*base.iterdir(), *(base / "tools").iterdir(), *ui} - {base / "tools" / "ui"}
    names = {path.relative_to(base).as_posix() for path in listed if path.name[0] != "." or path.name == STAMP}
    return sorted(f"/{LLAMA_CPP}/{name}" for name in names.difference(UNREAD))


def build(folder: Path, python: Path, with_llama_cpp: bool) -> Path:
    """Let the build backend, which this Python has, make the archive; return its path."""
    settings = {}
    if with_llama_cpp:
        settings = {"sdist.include": [f"/vendor/{name}" for name in ("README.md", "pin.ini")] + read_parts()}
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "SOURCE_DATE_EPOCH": wheel_tools.time_of_sources()}
    command = [str(word) for word in (python, "-c", BUILD, folder, json.dumps(settings))]
    shown = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return folder / shown.stdout.splitlines()[-1]


def faults(archive: Path, with_llama_cpp: bool) -> list[str]:
    """Return what is missing in the archive or should not be there, as lines."""
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    wanted = {path.relative_to(ROOT).as_posix() for path in source_digest.sources(ROOT)} | {"README.md", "LICENSE"}
    if with_llama_cpp:
        wanted |= {f"{LLAMA_CPP}/{STAMP}", f"{LLAMA_CPP}/CMakeLists.txt", f"{LLAMA_CPP}/LICENSE"}
    lines = [f"{name} is missing" for name in sorted(wanted - names)]
    inside = any(name.startswith(f"{LLAMA_CPP}/") for name in names)
    if inside and not with_llama_cpp:
        lines.append("llama.cpp is inside")
    return lines


def require_pin() -> None:
    """Stop if vendor/llama.cpp is not the pinned one, which would be fetched again."""
    stamp = ROOT / LLAMA_CPP / STAMP
    if not stamp.exists() or stamp.read_text("utf-8") != read_pin().stamp:
        sys.exit(f"{LLAMA_CPP} is not the pinned one; run python cmake/fetch_llama_cpp.py {LLAMA_CPP}")


def main() -> None:
    """Make and check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "dist", help="where it goes")
    parser.add_argument("--with-llama-cpp", action="store_true", help="put llama.cpp inside")
    given = parser.parse_args()
    if given.with_llama_cpp:
        require_pin()
    wheel_tools.fill_tools()
    archive = build(given.folder.resolve(), wheel_tools.TOOLS / "bin" / "python", given.with_llama_cpp)
    if found := faults(archive, given.with_llama_cpp):
        sys.exit("\n".join([f"{archive.name}:", *found]))
    print(f"{archive}: {archive.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
