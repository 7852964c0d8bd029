"""Each thing that the overrides expect of llama.cpp is missed when it moves, before anything is compiled."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXPECTATIONS = ROOT / "cmake" / "expectations.cmake"
OVERRIDES = ROOT / "src" / "xlc_core" / "native" / "overrides"
CMAKE = shutil.which("cmake")

pytestmark = pytest.mark.skipif(CMAKE is None, reason="CMake is not on the path")


def check(source: Path) -> tuple[bool, str]:
    """Run the check of all expectations on a copy of llama.cpp; return whether all hold, and what it printed."""
    script = ROOT / "cmake" / "check_overrides.cmake"
    command = [str(CMAKE), f"-DXLC_LLAMA_CPP_DIR={source}", "-DXLC_REPORT=ON", "-P", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode == 0, done.stdout + done.stderr


def moved(report: str) -> list[str]:
    return [line.removeprefix("MOVED  ") for line in report.splitlines() if line.startswith("MOVED  ")]


def upstream_files() -> list[str]:
    """Return llama.cpp's files that are named in the declarations."""
    names = re.findall(r"^xlc_(?:override\(\S+|expect\()\s*(\S+)", EXPECTATIONS.read_text(), re.MULTILINE)
    return sorted({name.rstrip(")") for name in names})


@pytest.fixture
def copy(vendored_llama_cpp: Path, tmp_path: Path) -> Path:
    """The files of llama.cpp that something is expected of, and no other."""
    for name in upstream_files():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(vendored_llama_cpp / name, tmp_path / name)
    return tmp_path


def test_source_that_is_built_is_as_expected(copy: Path) -> None:
    holds, report = check(copy)
    assert holds, report
    assert moved(report) == []
    assert len(upstream_files()) > 20


@pytest.mark.parametrize("name", upstream_files())
def test_file_that_is_gone_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    holds, report = check(copy)
    assert not holds
    assert set(moved(report)) == {f"{name} does not exist"}


@pytest.mark.parametrize("name", upstream_files())
def test_each_pattern_that_is_gone_is_named(copy: Path, name: str) -> None:
    """An empty file breaks every expectation of it, and each is reported."""
    _, before = check(copy)
    held = [line.removeprefix("holds  ") for line in before.splitlines() if line.startswith(f"holds  {name} has ")]
    (copy / name).write_text("")
    holds, report = check(copy)
    assert holds == (not held)
    missed = {line.split(" × ", 1)[1] for line in moved(report)}
    assert missed == {line.split(" × ", 1)[1] for line in held}


@pytest.mark.parametrize("name", upstream_files())
def test_each_pattern_that_occurs_once_more_is_named(copy: Path, name: str) -> None:
    """The file's text twice doubles every count."""
    _, before = check(copy)
    held = sum(line.startswith(f"holds  {name} has ") for line in before.splitlines())
    text = (copy / name).read_text(encoding="utf-8")
    (copy / name).write_text(text + "\n" + text, encoding="utf-8")
    holds, report = check(copy)
    assert holds == (held == 0)
    assert len(moved(report)) == held


def configure(project: Path, sources: str) -> str:
    """Configure a project without languages, whose target has these sources; return what CMake said."""
    (project / "CMakeLists.txt").write_text(f"""
cmake_minimum_required(VERSION 3.21)
project(overridden LANGUAGES NONE)
set(XLC_LLAMA_CPP_DIR "{project}")
set(XLC_OVERRIDES_DIR "{project}/native/overrides")
include("{ROOT}/cmake/overrides.cmake")
add_custom_target(upstream SOURCES {sources})
xlc_override(upstream a.cpp ours.cpp EXPECT "one" 1)
get_target_property(left upstream SOURCES)
message(STATUS "sources: ${{left}}")
xlc_require_expectations()
""")
    (project / "a.cpp").write_text("one\n")
    (project / "b.cpp").write_text("")
    (project / "native" / "overrides").mkdir(parents=True)
    (project / "native" / "overrides" / "ours.cpp").write_text("")
    command = [str(CMAKE), "-S", str(project), "-B", str(project / "build")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout + done.stderr


def test_file_is_replaced_by_ours(tmp_path: Path) -> None:
    report = configure(tmp_path, "a.cpp b.cpp")
    assert f"sources: b.cpp;{tmp_path}/native/overrides/ours.cpp" in report
    assert "Build files have been written" in report


def test_file_that_its_target_does_not_compile_stops_the_build(tmp_path: Path) -> None:
    report = configure(tmp_path, "b.cpp")
    assert "a.cpp is not among the sources of the target upstream" in report
    assert "Build files have been written" not in report


def test_every_override_is_declared_and_in_the_table() -> None:
    text = EXPECTATIONS.read_text()
    declared = re.findall(r"^ *xlc_override\(\S+ \S+ (\S+?)(?:\)| (?:WITH|EXPECT))", text, re.MULTILINE)
    beside = re.findall(r" WITH ([^\")]*?)(?:\sEXPECT|\))", text)
    files = {path.relative_to(OVERRIDES).as_posix() for path in OVERRIDES.rglob("*.c*")}
    assert files == {*declared, *(name for names in beside for name in names.split())}
    table = (OVERRIDES / "README.md").read_text()
    assert [name for name in declared if f"`{name}`" not in table] == []
