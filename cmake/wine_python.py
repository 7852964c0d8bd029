"""Put a Python for Windows together, which runs under Wine (cmake/test_windows_wheel.py).

Its libraries are python.org's, out of Panda3D's wheel, which has them for the programs that it makes. The modules in
Python come from CPython's source. What Wine 8, Debian 12's, does not have is compiled here: functions for complex
numbers, which NumPy calls, and one for random bytes, which all modules in Rust call.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from sysroot import fill_whole
from zig_tools import PYTHON_SOURCE, Zig, stable_abi, unpack_python

__all__ = ["VERSION", "WinePython", "exported_names"]

VERSION = "3.13"
PANDA3D = "panda3d==1.10.16"
DLL = f"python{VERSION.replace('.', '')}.dll"
BESIDE = (DLL, "VCRUNTIME140.dll", "VCRUNTIME140_1.dll")
WINE = Path("/usr/lib/wine/wine64")
UCRT = Path("/usr/lib/x86_64-linux-gnu/wine/x86_64-windows/ucrtbase.dll")
# Asks Windows' management service for its version, which Wine 8 answers by ending the process.
LEFT_OUT = "_wmi.pyd"
PYTHON = f"""#include <windows.h>
int wmain(int argc, wchar_t ** argv) {{
    HMODULE python = LoadLibraryW(L"{DLL}");
    return python ? ((int (*)(int, wchar_t **)) (void *) GetProcAddress(python, "Py_Main"))(argc, argv) : 111;
}}
"""
RANDOM = """#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T n) { return SystemFunction036(data, (ULONG) n); }
"""
# Functions of C's complex.h: what they return, their arguments, and their value. $: f for single precision.
OF_ONE = ("acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "exp", "log", "proj", "sin", "sinh")
COMPLEX = {
    **{f"c{name}": ("{} _Complex", "{} _Complex z", f"c{name}$(z)") for name in (*OF_ONE, "sqrt", "tan", "tanh")},
    "cpow": ("{} _Complex", "{0} _Complex a, {0} _Complex b", "cpow$(a, b)"),
    "cabs": ("{}", "{} _Complex z", "cabs$(z)"),
    "carg": ("{}", "{} _Complex z", "carg$(z)"),
    "creal": ("{}", "{} _Complex z", "__real__ z"),
    "cimag": ("{}", "{} _Complex z", "__imag__ z"),
}


def exported_names(library: bytes) -> list[str]:
    """Return the names that a Windows library exports (Microsoft's PE format, sections 3.4 and 6.3)."""

    def number(at: int, form: str = "<I") -> int:
        return int(struct.unpack_from(form, library, at)[0])

    header = number(0x3C)
    sections = header + 24 + number(header + 20, "<H")
    n_sections = number(header + 6, "<H")

    def place(address: int) -> int:
        for section in range(sections, sections + 40 * n_sections, 40):
            size, start, n_bytes, at = struct.unpack_from("<IIII", library, section + 8)
            if start <= address < start + max(size, n_bytes):
                return address - start + at
        raise ValueError("the library has an address outside its sections")

    exports = place(number(header + 24 + 112))
    names = place(number(exports + 32))
    starts = [place(number(names + 4 * index)) for index in range(number(exports + 24))]
    return [library[start : library.index(b"\0", start)].decode("ascii") for start in starts]


def complex_functions(exported: list[str]) -> dict[str, str]:
    """Return the functions for complex numbers among a C library's exports, as C, by their names."""
    functions = {}
    for number, mark in (("double", ""), ("float", "f")):
        for name, (returned, arguments, value) in COMPLEX.items():
            head = f"{returned.format(number)} own_{name}{mark}({arguments.format(number)})"
            functions[f"{name}{mark}"] = f"{head} {{ return {value.replace('$', mark)}; }}"
    return {name: text for name, text in functions.items() if name in exported}


def wine_environment(folder: Path) -> dict[str, str]:
    """Return the environment in which Wine runs the Python of a folder."""
    own = {
        "WINEPREFIX": str(folder / "wine"),
        "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": "ucrtbase=n,b",
        "PYTHONUTF8": "1",
    }
    return {**os.environ, **own}


class WinePython:
    """A Python for Windows in a folder, with nothing installed but pip."""

    def __init__(self, folder: Path, zig: Zig) -> None:
        """Fill the folder, whole or not at all, if it does not have this Python."""
        self.folder = folder
        self._zig = zig
        fill_whole(folder, ".xllama-python", f"{PANDA3D} {PYTHON_SOURCE}", self._fill)

    def run(self, *words: str | Path, **environment: str) -> None:
        """Run it; paths of this machine are on drive Z:. Raises subprocess.CalledProcessError if it fails."""
        command = [WINE, self.folder / "python.exe", *words]
        print("+", *words, flush=True)
        # Without a pipe, Wine gives Python no handles that it takes for its standard streams.
        with subprocess.Popen(
            [str(word) for word in command],
            env={**wine_environment(self.folder), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                print(line, end="", flush=True)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)

    def _fill(self, folder: Path) -> None:
        unpack_python(folder, ("PC", "Lib"))
        with tempfile.TemporaryDirectory() as name:
            where = ["--platform=win_amd64", f"--python-version={VERSION}", "--only-binary=:all:", "--no-deps"]
            fetch = [sys.executable, "-m", "pip", "download", "--quiet", *where, "--dest", name, PANDA3D]
            subprocess.run(fetch, check=True)
            (wheel,) = Path(name).glob("*.whl")
            self._take_libraries(zipfile.ZipFile(wheel), folder)
        self._compile(folder)
        subprocess.run(
            [WINE, "winecfg", "/v", "win10"],
            env=wine_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        system = folder / "wine" / "drive_c" / "windows" / "system32"
        shutil.move(folder / "bcryptprimitives.dll", system)
        (pip,) = (folder / "Lib" / "ensurepip" / "_bundled").glob("pip-*.whl")
        zipfile.ZipFile(pip).extractall(folder / "Lib" / "site-packages")

    @staticmethod
    def _take_libraries(wheel: zipfile.ZipFile, folder: Path) -> None:
        (folder / "DLLs").mkdir()
        for entry in wheel.namelist():
            path = Path(entry)
            if path.parent.name != "deploy_libs" or ".cp313t-" in path.name or path.name == LEFT_OUT:
                continue
            if path.name in BESIDE:
                (folder / path.name).write_bytes(wheel.read(entry))
            elif path.suffix == ".pyd" or path.name.startswith(("lib", "sqlite3", "zlib")):
                (folder / "DLLs" / path.name).write_bytes(wheel.read(entry))

    def _compile(self, folder: Path) -> None:
        parts = folder / "parts"
        parts.mkdir()
        (parts / "python.c").write_text(PYTHON)
        self._zig.run("windows-cc", "-municode", "-O1", "-s", parts / "python.c", "-o", folder / "python.exe")
        (parts / "random.c").write_text(RANDOM)
        self._zig.run(
            "windows-cc", "-shared", "-s", parts / "random.c", "-ladvapi32", "-o", folder / "bcryptprimitives.dll"
        )
        (parts / "empty.c").write_text("void empty(void) {}\n")
        forwarded = f"={DLL.removesuffix('.dll')}.{{}}"
        self._link(folder / "python3.dll", parts / "empty.c", stable_abi(folder, forwarded, forwarded))
        # Wine's own C runtime under another name, behind one that has what it lacks.
        shutil.copy(UCRT, folder / "ucrtwine.dll")
        exported = [name for name in exported_names(UCRT.read_bytes()) if not {"?", "@"} & set(name)]
        own = complex_functions(exported)
        (parts / "complex.c").write_text("#include <complex.h>\n" + "\n".join(own.values()) + "\n")
        lines = [f"{name}=own_{name}\n" if name in own else f"{name}=ucrtwine.{name}\n" for name in exported]
        self._link(folder / "ucrtbase.dll", parts / "complex.c", lines)

    def _link(self, library: Path, source: Path, definitions: list[str]) -> None:
        file = source.with_suffix(".def")
        file.write_text(f'LIBRARY "{library.name}"\nEXPORTS\n{"".join(definitions)}')
        self._zig.run("windows-cc", "-shared", "-O1", "-s", source, file, "-o", library)
