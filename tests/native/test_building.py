"""The scripts that fetch llama.cpp and move its pin, run on archives of the tests' own."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

from helpers.module_files import load_file

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def fetch() -> ModuleType:
    return load_file(ROOT / "cmake" / "fetch_llama_cpp.py")


@pytest.fixture(scope="module")
def move(fetch: ModuleType) -> ModuleType:
    return load_file(ROOT / "cmake" / "move_pin.py")


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def distribution(path: Path, backend: str) -> Path:
    """A source distribution with a llama.cpp, as pip finds it in a folder."""
    project = f'[build-system]\nrequires = ["missing-build-tool"]\nbuild-backend = "{backend}"\n'
    return archive(
        path / "tiny_llama-1.5.tar.gz",
        {
            "tiny_llama-1.5/PKG-INFO": b"Metadata-Version: 2.1\nName: tiny-llama\nVersion: 1.5\n",
            "tiny_llama-1.5/pyproject.toml": project.encode(),
            "tiny_llama-1.5/deps/llama.cpp/CMakeLists.txt": b"set(LLAMA_VERSION_MAJOR 7)\nset(LLAMA_VERSION_MINOR 1)\n",
            "tiny_llama-1.5/deps/llama.cpp/ggml/CMakeLists.txt": b"",
            "tiny_llama-1.5/deps/llama.cpp/include/llama.h": b"",
        },
    )


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes distributions from, and nothing else."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", tmp_path.as_uri())
    return tmp_path


def test_only_llama_cpp_is_unpacked(fetch: ModuleType, tmp_path: Path) -> None:
    files = {
        "pkg-1/setup.py": b"no",
        "pkg-1/deps/llama.cpp/CMakeLists.txt": b"project(x)",
        "pkg-1/deps/llama.cpp/src/a.cpp": b"a",
    }
    target = tmp_path / "vendor" / "llama.cpp"
    (target / "src").mkdir(parents=True)
    (target / "src" / "of_an_earlier_pin.cpp").touch()
    pin = fetch.Pin("pkg", "1", "0" * 64, "deps/llama.cpp")
    fetch.unpack(archive(tmp_path / "a.tar.gz", files), pin, target)
    assert [path.name for path in (target / "src").iterdir()] == ["a.cpp"]
    assert (target / ".xllama-pin").read_text() == f"pkg==1 sha256:{'0' * 64}\n"
    assert sorted(path.name for path in target.parent.iterdir()) == ["llama.cpp"]


@pytest.mark.parametrize("backend", ["setuptools.build_meta", "scikit_build_core.build"])
def test_pip_runs_no_code_of_what_it_downloads(fetch: ModuleType, offline: Path, tmp_path: Path, backend: str) -> None:
    """The distribution's build backend is neither installed nor asked."""
    made = distribution(offline, backend)
    digest = hashlib.sha256(made.read_bytes()).hexdigest()
    work = tmp_path / "work"
    work.mkdir()
    assert fetch.download(f"tiny-llama==1.5 --hash=sha256:{digest}", work).read_bytes() == made.read_bytes()
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(subprocess.CalledProcessError):
        fetch.download(f"tiny-llama==1.5 --hash=sha256:{'0' * 64}", other)


def test_move_stops_where_something_has_moved(
    move: ModuleType, offline: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = distribution(offline, "setuptools.build_meta")
    new = offline / "new"
    pin = move.fetch("tiny-llama", "1.5", new)
    assert pin == ("tiny-llama", "1.5", hashlib.sha256(made.read_bytes()).hexdigest(), "deps/llama.cpp")
    assert move.llama_cpp_version(new) == "7.1"
    assert not move.check_expectations(new)
    assert "MOVED  ggml/src/ggml-cpu/ggml-cpu.c does not exist" in capsys.readouterr().out


def test_pin_is_written_as_it_is_read(move: ModuleType, fetch: ModuleType, tmp_path: Path) -> None:
    pin = fetch.Pin("pkg", "2", "ab" * 32, "x/llama.cpp")
    move.PIN = tmp_path / "pin.ini"
    move.write_pin(pin)
    assert fetch.read_pin(tmp_path / "pin.ini") == pin
    shipped = fetch.read_pin()
    move.write_pin(shipped)
    assert (tmp_path / "pin.ini").read_text() == fetch.PIN.read_text()


def test_tests_that_guard_overrides_exist(move: ModuleType) -> None:
    tests = move.guarding_tests()
    assert len(tests) > 8
    assert [name for name in tests if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize(
    "files",
    [
        {"pkg-1/setup.py": b"no tree"},
        {"pkg-1/deps/llama.cpp/CMakeLists.txt": b"", "pkg-1/deps/llama.cpp/../../../evil": b""},
    ],
)
def test_wrong_archive_leaves_nothing_behind(fetch: ModuleType, tmp_path: Path, files: dict[str, bytes]) -> None:
    target = tmp_path / "vendor" / "llama.cpp"
    with pytest.raises(ValueError, match=r"a\.tar\.gz"):
        fetch.unpack(archive(tmp_path / "a.tar.gz", files), fetch.Pin("pkg", "1", "", "deps/llama.cpp"), target)
    assert list((tmp_path / "vendor").iterdir()) == []
    assert not (tmp_path / "evil").exists()


def test_failed_download_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "cmake" / "fetch_llama_cpp.py"), str(tmp_path / "llama.cpp")],
        env={"PATH": "", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_CONFIG_FILE": "/dev/null"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode != 0
    assert "pip could not download xllamacpp==" in done.stderr
    assert not (tmp_path / "llama.cpp").exists()


def test_pin_is_checked_by_hash(fetch: ModuleType) -> None:
    pin = fetch.read_pin()
    assert len(bytes.fromhex(pin.sha256)) == 32
    assert pin.version in (ROOT / "vendor" / "README.md").read_text()


def test_what_is_built_is_marked_with_the_pin(fetch: ModuleType, vendored_llama_cpp: Path) -> None:
    assert (vendored_llama_cpp / fetch.STAMP).read_text() == fetch.read_pin().stamp
