"""The wheel is linked with libraries that have nothing newer than the systems that it is for."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

from helpers.module_files import load_file

CMAKE = Path(__file__).parents[2] / "cmake"
NEWER = """
int old_f(void) { return 1; }
int new_f(void) { return 2; }
int g(void) { return 3; }
int h(void) { return 4; }
int number = 5;
__asm__(".symver old_f, f@V_1.9");
__asm__(".symver new_f, f@@V_1.10");
"""
VERSIONS = "V_1.9 { global: f; h; number; local: *; }; V_1.10 { global: f; g; } V_1.9;"

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("gcc") is None or shutil.which("readelf") is None,
    reason="needs GCC and readelf on Linux",
)


@pytest.fixture(scope="module")
def older_library() -> ModuleType:
    return load_file(CMAKE / "older_library.py")


@pytest.fixture(scope="module")
def sysroot() -> ModuleType:
    return load_file(CMAKE / "sysroot.py")


def compile_library(source: str, target: Path, *options: str) -> None:
    command = ["gcc", "-shared", "-fPIC", "-x", "c", "-", "-x", "none", "-o", str(target), *options]
    subprocess.run(command, input=source, text=True, check=True, timeout=60)


def test_program_asks_for_the_older_version(older_library: ModuleType, tmp_path: Path) -> None:
    newer, older, versions = tmp_path / "libv.so.1", tmp_path / "older" / "libv.so.1", tmp_path / "v.map"
    older.parent.mkdir()
    versions.write_text(VERSIONS)
    compile_library(NEWER, newer, f"-Wl,--version-script={versions}")
    older_library.make_older(newer, {"V": "V_1.9"}, older)
    found = {symbol.name: symbol.version for symbol in older_library.symbols_of(older, {"V": "V_9"})}
    assert found == {"f": "V_1.9", "h": "V_1.9", "number": "V_1.9"}

    user = tmp_path / "libuser.so"
    compile_library("int f(void); int user(void) { return f(); }", user, str(older), "-Wl,--no-undefined")
    shown = subprocess.run(["readelf", "-dVW", str(user)], capture_output=True, text=True, check=True).stdout
    assert "[libv.so.1]" in shown
    assert "V_1.9" in shown
    assert "V_1.10" not in shown
    with pytest.raises(subprocess.CalledProcessError):
        compile_library("int g(void); int user(void) { return g(); }", user, str(older), "-Wl,--no-undefined")


def package(members: list[tarfile.TarInfo]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    content = data.getvalue()
    head = f"{'data.tar.xz':<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
    return b"!<arch>\n" + head + content


def test_links_of_a_package_stay_in_the_folder(sysroot: ModuleType, tmp_path: Path) -> None:
    file, link = tarfile.TarInfo("./lib/libm.so.6"), tarfile.TarInfo("./usr/lib/libm.so")
    file.size = 3
    link.type, link.linkname = tarfile.SYMTYPE, "/lib/libm.so.6"
    sysroot.unpack(package([file, link]), tmp_path)
    assert (tmp_path / "usr/lib/libm.so").resolve() == tmp_path / "lib/libm.so.6"


def test_package_with_path_outside_is_refused(sysroot: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="outside"):
        sysroot.unpack(package([tarfile.TarInfo("../evil")]), tmp_path / "folder")
    assert not (tmp_path / "evil").exists()
    with pytest.raises(ValueError, match="not a Debian package"):
        sysroot.unpack(b"<html>", tmp_path)
