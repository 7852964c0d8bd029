"""The scripts around wheels, run on small wheels of the tests' own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType

import pytest

import xlc_core
from helpers.module_files import load_file

ROOT = Path(__file__).parents[2]
CMAKE = ROOT / "cmake"


@pytest.fixture(scope="module")
def source_digest() -> ModuleType:
    return load_file(CMAKE / "source_digest.py")


@pytest.fixture(scope="module")
def install_wheel() -> ModuleType:
    return load_file(CMAKE / "install_wheel.py")


@pytest.fixture(scope="module")
def make_wheel() -> ModuleType:
    return load_file(CMAKE / "make_wheel.py")


@pytest.fixture(scope="module")
def wheel_tools() -> ModuleType:
    return load_file(CMAKE / "wheel_tools.py")


@pytest.fixture(scope="module")
def check_reproducible() -> ModuleType:
    return load_file(CMAKE / "check_reproducible.py")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("src/a.py", "cmake/b.cmake", "CMakeLists.txt", "pyproject.toml", "vendor/pin.ini", "README.md"):
        path = tmp_path / "checkout" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "checkout"


def write_wheel(path: Path, files: dict[str, str], year: int = 2020) -> Path:
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in files.items():
            wheel.writestr(zipfile.ZipInfo(name, (year, 1, 1, 0, 0, 0)), content)
    return path


@pytest.mark.parametrize("name", ["src/a.py", "cmake/b.cmake", "vendor/pin.ini", "src/new.cpp"])
def test_digest_changes_with_sources(source_digest: ModuleType, checkout: Path, name: str) -> None:
    before = source_digest.of_checkout(checkout)
    (checkout / name).write_text("changed")
    assert source_digest.of_checkout(checkout) != before


def test_digest_does_not_change_with_use(source_digest: ModuleType, checkout: Path) -> None:
    before = source_digest.of_checkout(checkout)
    for name in ("src/__pycache__/a.cpython-311.pyc", "src/_native.abi3.so", "README.md", "dist/x.whl"):
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).write_text("made")
    assert source_digest.of_checkout(checkout) == before


def test_wheel_of_these_sources_is_found(source_digest: ModuleType, install_wheel: ModuleType, tmp_path: Path) -> None:
    """It is found behind a newer one of other sources, and one of another maker does not matter."""
    assert install_wheel.find(tmp_path, "ab")[0] is None
    assert "there is no wheel" in install_wheel.find(tmp_path, "ab")[1]
    for index, (name, digest) in enumerate([("right", "ab"), ("stale", "cd"), ("foreign", "")]):
        files = {f"xllama-1.dist-info/{source_digest.NAME}": f"{digest}\n"} if digest else {"xllama/__init__.py": ""}
        path = write_wheel(tmp_path / f"xllama-{name}.whl", files)
        os.utime(path, (index, index))
    assert install_wheel.find(tmp_path, "ab")[0] == tmp_path / "xllama-right.whl"
    wheel, line = install_wheel.find(tmp_path, "ef")
    assert wheel is None
    assert "xllama-foreign.whl was made from other sources" in line


def test_demo_does_not_replace_a_build_in_place(checkout: Path) -> None:
    shutil.copytree(CMAKE, checkout / "cmake", dirs_exist_ok=True)
    venv = checkout / ".venv"
    venv.mkdir()
    (venv / ".built").touch()
    command = [sys.executable, checkout / "cmake" / "install_wheel.py", venv]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "built in place" in done.stderr
    assert [path.name for path in venv.iterdir()] == [".built"]


def test_time_is_that_of_the_commit(wheel_tools: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1234567890")
    assert wheel_tools.time_of_sources() == "1234567890"
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    monkeypatch.setattr(wheel_tools, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert wheel_tools.time_of_sources() == "315532800"  # not a repository
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    environment = {**os.environ, "GIT_COMMITTER_DATE": "1500000000 +0200"}
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "x"], check=True, env=environment)
    assert wheel_tools.time_of_sources() == "1500000000"


def test_differences_of_wheels_are_named(check_reproducible: ModuleType, tmp_path: Path) -> None:
    one = write_wheel(tmp_path / "one.whl", {"a.py": "1", "b.py": "2"})
    shutil.copy(one, tmp_path / "same.whl")
    assert check_reproducible.differences(one, tmp_path / "same.whl") == []
    other = write_wheel(tmp_path / "other.whl", {"a.py": "3", "c.py": "2"})
    assert check_reproducible.differences(one, other) == [
        "a.py: its content",
        "b.py: in one wheel only",
        "c.py: in one wheel only",
        "the order of the files",
    ]
    later = write_wheel(tmp_path / "later.whl", {"a.py": "1", "b.py": "2"}, year=2021)
    assert check_reproducible.differences(one, later) == ["a.py: its time or mode", "b.py: its time or mode"]


@pytest.mark.parametrize("with_llama_cpp", [False, True])
def test_source_distribution_has_what_a_build_reads(tmp_path: Path, with_llama_cpp: bool) -> None:
    """With llama.cpp inside, CMake configures it without fetching anything."""
    pytest.importorskip("scikit_build_core")
    make_sdist = load_file(CMAKE / "make_sdist.py")
    if with_llama_cpp and not (ROOT / "vendor" / "llama.cpp" / make_sdist.STAMP).exists():
        pytest.skip("vendor/llama.cpp is not the pinned one")
    archive = make_sdist.build(tmp_path, Path(sys.executable), with_llama_cpp)
    assert make_sdist.faults(archive, with_llama_cpp) == []
    assert make_sdist.faults(archive, not with_llama_cpp) != []
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    (tree,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    digest = load_file(CMAKE / "source_digest.py").of_checkout
    assert digest(tree) == digest()
    if with_llama_cpp:
        check = ["cmake", "-P", str(tree / "cmake" / "check_overrides.cmake")]
        subprocess.run(check, check=True, timeout=120)


def test_versions_agree() -> None:
    """The version is written in two places, and compiled into the metadata."""
    tree = (ROOT / "pyproject.toml").read_text("utf-8")
    assert f'\nversion = "{xlc_core.__version__}"\n' in tree
    assert distribution("xllama").version == xlc_core.__version__


def test_release_is_checked(source_digest: ModuleType, checkout: Path) -> None:
    check = load_file(CMAKE / "check_release.py")
    init = checkout / "src" / "xlc_core" / "__init__.py"
    init.parent.mkdir()
    init.write_text('x = 1\n__version__ = "1.2.3"\n')
    (checkout / "CHANGELOG.md").write_text("# Changelog\n\n## [1.2.3] - 2026-11-27\n")
    dist = checkout / "dist"
    dist.mkdir()
    assert check.file_faults(checkout, "1.2.3") == [
        "dist/: there is no wheel of 1.2.3",
        "dist/: there is no source distribution of 1.2.3",
    ]
    digest = source_digest.of_checkout(checkout)
    write_wheel(dist / "xllama-1.2.3-cp310.whl", {f"xllama-1.2.3.dist-info/{source_digest.NAME}": digest})
    (dist / "xllama-1.2.3.tar.gz").touch()
    assert check.version_faults(checkout, "1.2.3") == check.file_faults(checkout, "1.2.3") == []
    (dist / "xllama-1.2.2.tar.gz").touch()
    (checkout / "cmake" / "b.cmake").write_text("changed")
    assert check.file_faults(checkout, "1.2.3") == [
        "xllama-1.2.3-cp310.whl: made from other sources",
        "dist/xllama-1.2.2.tar.gz: does not belong to 1.2.3",
    ]
    assert check.version_faults(checkout, "1.2.4") == [
        "src/xlc_core/__init__.py: __version__ is not 1.2.4",
        "CHANGELOG.md: there is no section [1.2.4] with a date",
    ]
