"""Fill folders with what compiles for Windows on Linux: Zig's C++ compiler, and Python's library to link with.

Zig comes as a package of Python's index. It has the headers and libraries of Windows' C library (mingw-w64's) and of
macOS's, and LLVM's C++ library. CPython's source, as Debian 13 has it, says how Windows' Python was configured and
which functions its stable ABI has. Its sha256 is checked.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import python_headers
from sysroot import download, fill_whole

__all__ = ["PYTHON_SOURCE", "WindowsPython", "Zig", "stable_abi", "unpack_python"]

ZIG = "ziglang==0.17.1"
TRIPLES = {"windows": "x86_64-windows-gnu", "macos": "aarch64-macos.13.3"}
PYTHON_SOURCE = (
    "pool/main/p/python3.13/python3.13_3.13.5.orig.tar.xz",
    "93e583f243454e6e9e4588ca2c2662206ad961659863277afcdb96801647d640",
)
# CMake calls programs, not the words after them. What Zig compiles of its own libraries stays in the folder.
PROGRAM = """#!/bin/sh
here=$(dirname "$0")
ZIG_GLOBAL_CACHE_DIR="$here/cache" exec "$here/package/ziglang/zig" {words} "$@"
"""
PROGRAMS = {name: name for name in ("ar", "ranlib", "rc", "dlltool")}
PROGRAMS |= {f"{system}-cc": f"cc -target {triple}" for system, triple in TRIPLES.items()}
PROGRAMS |= {f"{system}-c++": f"c++ -target {triple}" for system, triple in TRIPLES.items()}


class Zig:
    """Zig's compilers as programs, such as ``windows-c++``, and its other programs."""

    def __init__(self, folder: Path) -> None:
        """Fill the folder, whole or not at all, if it does not have this version."""
        self.folder = folder
        fill_whole(folder, ".xllama-zig", f"{ZIG} {PROGRAM} {PROGRAMS}", self._fill)

    @staticmethod
    def _fill(folder: Path) -> None:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder / "package", ZIG]
        subprocess.run(command, check=True)
        for name, words in PROGRAMS.items():
            (folder / name).write_text(PROGRAM.format(words=words))
            (folder / name).chmod(0o755)

    def run(self, program: str, *words: str | Path) -> None:
        """Run one of the programs."""
        subprocess.run([self.folder / program, *words], check=True)


def unpack_python(folder: Path, parts: tuple[str, ...]) -> None:
    """Unpack parts of CPython's source, such as ``PC``."""
    print(f"fetching {PYTHON_SOURCE[0]}", flush=True)
    archive = folder / "source.tar.xz"
    archive.write_bytes(download(*PYTHON_SOURCE))
    with tarfile.open(archive) as tar:
        tar.extraction_filter = getattr(tarfile, "tar_filter", None)
        for member in tar:
            inside = member.name.partition("/")[2]
            if inside.split("/")[0] in parts:
                member.name = inside
                tar.extract(member, folder)
    archive.unlink()


class WindowsPython:
    """Headers and libraries for modules of Windows' Python, in all versions since 3.12."""

    def __init__(self, folder: Path, zig: Zig) -> None:
        """Fill the folder for the Python that runs this, whose headers it has."""
        self.headers = folder / "include" / "python3"
        self.library = folder / "python3.lib"
        # CMake wants one whose name has the version of its interpreter.
        self.versioned = folder / f"python3{sys.version_info.minor}.lib"
        fill_whole(folder, ".xllama-python", f"{PYTHON_SOURCE} {sys.version}", lambda staging: self._fill(staging, zig))

    def _fill(self, folder: Path, zig: Zig) -> None:
        unpack_python(folder, ("PC",))
        python_headers.fill(folder / "include" / "python3", folder / "PC" / "pyconfig.h.in")
        library = folder / self.library.name
        definitions = folder / "python3.def"
        definitions.write_text(f'LIBRARY "python3.dll"\nEXPORTS\n{"".join(stable_abi(folder, "", " DATA"))}')
        zig.run("dlltool", "-d", definitions, "-l", library, "-m", "i386:x86-64")
        shutil.copy(library, folder / self.versioned.name)


def stable_abi(folder: Path, of_function: str, of_data: str) -> list[str]:
    """Return the names of the stable ABI as lines of a linker's definitions, in CPython's source in the folder.

    The other arguments are what follows the name of a function, or of data; ``{}`` in them is the name.
    """
    source = (folder / "PC" / "python3dll.c").read_text("utf-8")
    found = re.findall(r"(?m)^EXPORT_(FUNC|DATA)\((\w+)\)", source)
    return [f"{name}{(of_function if kind == 'FUNC' else of_data).format(name)}\n" for kind, name in found]
