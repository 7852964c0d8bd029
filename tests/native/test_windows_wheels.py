"""The wheel for Windows: its metadata, the library it is linked with, and the parts of the Python that tries it."""

from __future__ import annotations

import ctypes
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from helpers.module_files import load_file

CMAKE = Path(__file__).parents[2] / "cmake"
DEFINITIONS = """
#define EXPORT_FUNC(name)
EXPORT_FUNC(PyArg_Parse)
EXPORT_DATA(PyBaseObject_Type)
// EXPORT_FUNC(PyNot_This)
"""
METADATA = """Metadata-Version: 2.4
Name: xllama
License-Expression: MIT
License-File: LICENSE
Requires-Dist: numpy>=1.24
"""


@pytest.fixture(scope="module")
def wine_python() -> ModuleType:
    return load_file(CMAKE / "wine_python.py")


def test_stable_abi_becomes_lines_of_definitions(tmp_path: Path) -> None:
    """Data is marked, because code reaches it in another way than functions."""
    (tmp_path / "PC").mkdir()
    (tmp_path / "PC" / "python3dll.c").write_text(DEFINITIONS)
    stable_abi = load_file(CMAKE / "zig_tools.py").stable_abi
    assert stable_abi(tmp_path, "", " DATA") == ["PyArg_Parse\n", "PyBaseObject_Type DATA\n"]
    assert stable_abi(tmp_path, "=python313.{}", "=python313.{}")[0] == "PyArg_Parse=python313.PyArg_Parse\n"


def library_with(names: list[str]) -> bytes:
    """Return a Windows library of one section at address 0x1000, which exports the names."""
    start, at = 0x1000, 0x200
    table = start + 40
    texts = table + 4 * len(names)
    places = [texts + sum(len(name) + 1 for name in names[:index]) for index in range(len(names))]
    section = bytearray(40)
    struct.pack_into("<III", section, 24, len(names), 0, table)
    section += struct.pack(f"<{len(names)}I", *places) + b"".join(name.encode() + b"\0" for name in names)
    library = bytearray(at)
    struct.pack_into("<I", library, 0x3C, 0x40)
    struct.pack_into("<H", library, 0x46, 1)
    struct.pack_into("<H", library, 0x54, 240)
    struct.pack_into("<I", library, 0x40 + 24 + 112, start)
    struct.pack_into("<8sIIII", library, 0x40 + 24 + 240, b".edata", len(section), start, len(section), at)
    return bytes(library + section)


def test_exports_of_library_are_read(wine_python: ModuleType) -> None:
    assert wine_python.exported_names(library_with(["cabs", "?odd@name", "z"])) == ["cabs", "?odd@name", "z"]
    with pytest.raises(ValueError, match="an address outside its sections"):
        wine_python.exported_names(library_with(["a"]).replace(struct.pack("<I", 0x1000 + 40), b"\xff\xff\xff\x0f"))


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("gcc") is None, reason="needs GCC on Linux")
def test_functions_of_complex_numbers_compute(wine_python: ModuleType, tmp_path: Path) -> None:
    """Only those that the library has are made, in both precisions."""
    functions = wine_python.complex_functions(["cabs", "cabsf", "crealf", "csqrt", "cpow", "strlen"])
    assert sorted(functions) == ["cabs", "cabsf", "cpow", "crealf", "csqrt"]
    every = [f"{name}{mark}" for name in wine_python.COMPLEX for mark in ("", "f")]
    source, library = tmp_path / "complex.c", tmp_path / "complex.so"
    source.write_text("#include <complex.h>\n" + "\n".join(wine_python.complex_functions(every).values()) + "\n")
    build = ["gcc", "-shared", "-fPIC", "-Wall", "-Werror", str(source), "-lm", "-o", str(library)]
    subprocess.run(build, check=True, timeout=60)
    compiled = ctypes.CDLL(str(library))
    assert len(every) == 2 * 21
    for name in every:
        assert hasattr(compiled, f"own_{name}")


@pytest.mark.parametrize(("requirement", "n_requirements"), [("", 1), ("nanobind-backend>=1.0,<2", 2)])
def test_wheel_requires_nanobind_only_if_it_is_not_inside(
    tmp_path: Path, requirement: str, n_requirements: int
) -> None:
    (tmp_path / "sboms").mkdir()
    sbom = '{"metadata": {"component": {"licenses": [{"expression": "MIT"}]}}, "components": []}'
    (tmp_path / "sboms" / "xllama.cdx.json").write_text(sbom)
    (tmp_path / "licenses" / "stb").mkdir(parents=True)
    (tmp_path / "licenses" / "stb" / "LICENSE").touch()
    (tmp_path / "METADATA").write_text(METADATA)
    load_file(CMAKE / "make_wheel.py").complete_metadata(tmp_path, requirement)
    lines = (tmp_path / "METADATA").read_text().splitlines()
    assert "License-File: stb/LICENSE" in lines
    assert len([line for line in lines if line.startswith("Requires-Dist: ")]) == n_requirements
    assert (f"Requires-Dist: {requirement}" in lines) == bool(requirement)


def test_older_python_is_refused_before_anything_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maker = load_file(CMAKE / "make_windows_wheel.py")
    monkeypatch.setattr(maker, "OLDEST", (4, 0))
    monkeypatch.setattr(sys, "argv", ["make_windows_wheel.py", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"needs Python 3\.12 or newer"):
        maker.main()
