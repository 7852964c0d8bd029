"""Compile all files of the module for macOS on arm64 on Linux, with Zig's compiler, as a check (docs/building.md).

    python cmake/check_macos.py

Zig has macOS's headers but no frameworks, so Metal and Accelerate are left out. Python's headers describe this machine.
Nothing is linked: nanobind names Python's functions in a way that only Apple's linker knows.
"""

from __future__ import annotations

import python_headers
from wheel_tools import BUILD, ROOT, TOOLS, fill_tools, run, with_tools
from zig_tools import Zig


def main() -> None:
    """Configure and build."""
    fill_tools()
    zig = Zig(BUILD / "zig")
    headers = BUILD / "python-macos" / "include" / "python3"
    python_headers.fill(headers)
    folder = BUILD / "macos"
    settings = {
        "CMAKE_TOOLCHAIN_FILE": ROOT / "cmake" / "macos.cmake",
        "CMAKE_BUILD_TYPE": "Release",
        "XLC_ZIG": zig.folder,
        "Python_EXECUTABLE": TOOLS / "bin" / "python",
        "Python_INCLUDE_DIR": headers,
        "SKBUILD_PROJECT_VERSION": "0",
    }
    environment = with_tools()
    definitions = [f"-D{name}={value}" for name, value in settings.items()]
    print(run("cmake", "-G", "Ninja", "-S", ROOT, "-B", folder, *definitions, env=environment))
    inputs = run("ninja", "-C", folder, "-t", "inputs", "_native", env=environment).splitlines()
    objects = [name for name in inputs if name.endswith(".o")]
    print(run("ninja", "-C", folder, *objects, env=environment))
    print(f"macOS on arm64: {len(objects)} files")


if __name__ == "__main__":
    main()
