"""Wheels for another kind of machine: the table of them, the compiler's settings, and what a compiler leaves out."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from helpers.module_files import load_file

CMAKE = Path(__file__).parents[2] / "cmake"
CROSS = "aarch64-linux-gnu-"
# A llama.cpp with two CPU libraries, one of them for a processor that no compiler knows.
LIBRARIES = """
foreach(kind old new)
  add_library(ggml-cpu-${kind}-feats OBJECT feats.c)
  add_library(ggml-cpu-${kind} MODULE cpu.c)
  target_link_libraries(ggml-cpu-${kind} PRIVATE ggml-cpu-${kind}-feats)
  target_compile_options(ggml-cpu-${kind} PRIVATE -O1)
endforeach()
target_compile_options(ggml-cpu-new PRIVATE -march=of-the-future)
add_custom_target(ggml ALL DEPENDS ggml-cpu-old ggml-cpu-new)
"""
PROJECT = """
cmake_minimum_required(VERSION 3.21)
project(small LANGUAGES C CXX)
set(XLC_PORTABLE ON)
set(XLC_LLAMA_CPP_DIR ${{CMAKE_SOURCE_DIR}}/llama)
include({cmake}/portable.cmake)
include({cmake}/overrides.cmake)
add_subdirectory(llama/ggml/src)
xlc_leave_out_newer_variants()
xlc_targets_of(ggml-cpu targets)
message(STATUS "left: ${{targets}}")
"""


@pytest.fixture(scope="module")
def targets() -> ModuleType:
    return load_file(CMAKE / "wheel_targets.py")


def test_targets_are_alike_but_for_their_processor(targets: ModuleType) -> None:
    """The limits of cmake/sysroot.py are those of the tag, and packages of one release are for one processor."""
    limits = load_file(CMAKE / "sysroot.py").LIMITS
    packages = []
    for name, target in targets.TARGETS.items():
        assert target.policy == f"manylinux_{limits['GLIBC'].partition('_')[2].replace('.', '_')}_{name}"
        assert target.triple == f"{name}-linux-gnu"
        assert set(map(len, target.packages.values())) == {64}
        packages.append({path.replace(f"_{target.debian}.deb", "") for path in target.packages})
        assert not [path for path in packages[-1] if path.endswith(".deb")]
        assert target.is_native or target.pyconfig
        assert target.is_native == (target.program("gcc") == "gcc")
    common = set.intersection(*packages)
    assert len(common) == 5
    assert all("python" in path for path in set.union(*packages) - common)


def test_wheels_are_for_the_machine_in_their_names(targets: ModuleType, tmp_path: Path) -> None:
    """`make demo` does not take a newer wheel for another kind of machine."""
    assert targets.target_of("xllama-1-cp310-abi3-manylinux_2_28_aarch64.whl") == "aarch64"
    assert targets.target_of("xllama-1-cp312-abi3-linux_x86_64.whl") == "x86_64"
    assert targets.target_of("xllama-1-cp312-abi3-win_amd64.whl") == "windows"
    assert targets.target_of("xllama-1-py3-none-any.whl") == platform.machine()
    own = tmp_path / "xllama-1-py3-none-any.whl"
    own.touch()
    for name in set(targets.TARGETS) - {platform.machine()}:
        (tmp_path / f"xllama-1-cp310-abi3-manylinux_2_28_{name}.whl").touch()
    (tmp_path / "xllama-1-cp312-abi3-win_amd64.whl").touch()
    assert load_file(CMAKE / "install_wheel.py").newest_wheels(tmp_path) == [own]


def test_policy_of_another_processor_is_refused(targets: ModuleType) -> None:
    glibc_of = load_file(CMAKE / "make_wheel.py").glibc_of
    aarch64 = targets.TARGETS["aarch64"]
    assert glibc_of("manylinux_2_17_aarch64", aarch64) < glibc_of(aarch64.policy, aarch64)
    for newer in ("manylinux_2_31_aarch64", "manylinux_2_28_x86_64", "linux_aarch64"):
        assert glibc_of(newer, aarch64) > glibc_of(aarch64.policy, aarch64)


def test_headers_of_python_describe_the_machine_themselves(tmp_path: Path) -> None:
    """Debian's pyconfig.h includes that of the architecture, from a folder that no other root folder has."""
    headers = load_file(CMAKE / "python_headers.py")
    folder = tmp_path / "headers"
    headers.fill(folder)
    assert "SIZEOF_LONG" in (folder / "pyconfig.h").read_text()
    assert (folder / "Python.h").exists()
    foreign = tmp_path / "foreign.h"
    foreign.write_text("#define SIZEOF_LONG 8\n")
    headers.fill(folder, foreign)
    assert (folder / "pyconfig.h").read_text() == foreign.read_text()
    include, architecture = tmp_path / "python3.11", tmp_path / "x86_64-linux-gnu" / "python3.11"
    assert headers.own_pyconfig(include, "x86_64-linux-gnu") == include / "pyconfig.h"
    architecture.mkdir(parents=True)
    (architecture / "pyconfig.h").touch()
    assert headers.own_pyconfig(include, "x86_64-linux-gnu") == architecture / "pyconfig.h"
    assert headers.own_pyconfig(include, None) == include / "pyconfig.h"


@pytest.mark.skipif(shutil.which(f"{CROSS}g++") is None, reason="needs g++-aarch64-linux-gnu")
def test_compiler_for_another_processor_sees_only_the_older_headers(tmp_path: Path) -> None:
    """Its own folder has a newer C library's headers, which it would read first."""
    folder = tmp_path / "usr" / "include"
    folder.mkdir(parents=True)
    script = tmp_path / "show.cmake"
    script.write_text(
        f'include({CMAKE}/sysroot.cmake)\nmessage("${{CMAKE_SYSTEM_PROCESSOR}}\\n${{CMAKE_CXX_FLAGS_INIT}}")\n'
    )
    definitions = [f"-DXLC_SYSROOT={tmp_path}", "-DXLC_TRIPLE=aarch64-linux-gnu"]
    command = ["cmake", *definitions, "-P", str(script)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stderr
    processor, flags, *_ = shown.splitlines()
    assert processor == "aarch64"
    read = ["-E", "-v", "-x", "c++", "/dev/null"]
    done = subprocess.run(
        [f"{CROSS}g++", f"--sysroot={tmp_path}", *flags.split(), *read],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        timeout=60,
    )
    searched = re.findall(r"(?m)^ (/\S+)$", done.stderr.partition("search starts here")[2])
    assert searched[-1] == str(folder)
    assert any(path.endswith("/c++/12") or "/c++/" in path for path in searched)
    assert not [path for path in searched if path.endswith("/aarch64-linux-gnu/include") and path != str(folder)]


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("g++") is None, reason="needs GCC on Linux")
def test_library_for_a_processor_that_the_compiler_does_not_know_is_left_out(tmp_path: Path) -> None:
    sources = tmp_path / "llama" / "ggml" / "src"
    sources.mkdir(parents=True)
    (sources / "CMakeLists.txt").write_text(LIBRARIES)
    (sources / "feats.c").write_text("int score(void) { return 1; }\n")
    (sources / "cpu.c").write_text("int compute(void) { return 2; }\n")
    (tmp_path / "CMakeLists.txt").write_text(PROJECT.format(cmake=CMAKE))
    configure = ["cmake", "-S", str(tmp_path), "-B", str(tmp_path / "build")]
    shown = subprocess.run(configure, capture_output=True, text=True, check=True, timeout=120).stdout
    assert "left: ggml-cpu-old\n" in shown
    assert "ggml-cpu-new is left out: this compiler does not know -march=of-the-future" in shown
    subprocess.run(["cmake", "--build", str(tmp_path / "build")], capture_output=True, check=True, timeout=120)
    (library,) = tmp_path.rglob("libggml-cpu-old.so")
    names = subprocess.run(["nm", "-D", str(library)], capture_output=True, text=True, check=True).stdout
    assert "compute" in names


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")
def test_system_for_another_processor_is_unpacked_without_running_it(tmp_path: Path) -> None:
    """It gets what the packages' own scripts would make for pip, and its /proc is a folder and not this machine's."""
    tree, system = tmp_path / "tree", tmp_path / "system"
    certificate = tree / "usr/share/ca-certificates/mozilla/one.crt"
    certificate.parent.mkdir(parents=True)
    certificate.write_text("a certificate\n")
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN/control").write_text(
        "Package: one\nVersion: 1\nArchitecture: arm64\nMaintainer: a <a@b.c>\nDescription: one\n"
    )
    archives = system / "var/cache/apt/archives"
    archives.mkdir(parents=True)
    (system / "proc").symlink_to("/proc")
    build = ["dpkg-deb", "--root-owner-group", "--build", str(tree), str(archives / "one_1_arm64.deb")]
    subprocess.run(build, capture_output=True, check=True, timeout=60)
    load_file(CMAKE / "test_wheel.py").unpack_packages(system)
    assert not (system / "proc").is_symlink()
    assert (system / "mnt").is_dir()
    assert (system / "etc/ssl/certs/ca-certificates.crt").read_text() == "a certificate\n"
