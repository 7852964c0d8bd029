"""Build the wheel for x86-64 Windows and every Python since 3.12 on Linux, with Zig's compiler (docs/building.md).

    python3.12 cmake/make_windows_wheel.py [FOLDER]

FOLDER is where the wheel goes, by default dist/. It needs Python 3.12 or newer: with an older one nanobind does not
compile for the stable ABI. The module holds all of llama.cpp, compiled for processors with AVX2, FMA, F16C and BMI2. On
others its import fails and says so.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from make_wheel import check_content, finish
from wheel_tools import BUILD, ROOT, build_wheel, fill_tools, time_of_sources
from zig_tools import WindowsPython, Zig

TAG = "win_amd64"
PYTHON = "cp312"
OLDEST = (3, 12)
MOST_BYTES = 20 * 2**20
INSTRUCTIONS = ("SSE42", "AVX", "AVX2", "FMA", "F16C", "BMI2")


def build(folder: Path) -> Path:
    """Let pip build the wheel."""
    zig = Zig(BUILD / "zig")
    python = WindowsPython(BUILD / "python-windows", zig)
    settings: dict[str, str | Path] = {
        "build-dir": BUILD / "portable-windows",
        "wheel.py-api": PYTHON,
        "cmake.define.CMAKE_TOOLCHAIN_FILE": ROOT / "cmake" / "windows.cmake",
        "cmake.define.XLC_ZIG": zig.folder,
        "cmake.define.Python_INCLUDE_DIR": python.headers,
        "cmake.define.Python_LIBRARY": python.versioned,
        "cmake.define.Python_SABI_LIBRARY": python.library,
        "cmake.define.GGML_NATIVE": "OFF",
        **{f"cmake.define.GGML_{name}": "ON" for name in INSTRUCTIONS},
    }
    return build_wheel(folder, settings, "win-amd64")


def main() -> None:
    """Build, finish and check."""
    if sys.version_info < OLDEST:
        sys.exit(f"this needs Python 3.12 or newer, not {sys.version.split()[0]}: make wheel-windows PYTHON=python3.12")
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist"
    fill_tools()
    os.environ["SOURCE_DATE_EPOCH"] = time_of_sources()  # for all tools
    with tempfile.TemporaryDirectory() as built:
        wheel = finish(build(Path(built)), folder.resolve(), TAG, "")
    check_content(wheel, MOST_BYTES)


if __name__ == "__main__":
    main()
