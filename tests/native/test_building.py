"""The script that fetches llama.cpp, with the tests' own archives."""

from __future__ import annotations

import io
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


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_only_llama_cpp_is_unpacked(fetch: ModuleType, tmp_path: Path) -> None:
    files = {
        "pkg-1/setup.py": b"no",
        "pkg-1/vendor/llama.cpp/CMakeLists.txt": b"project(x)",
        "pkg-1/vendor/llama.cpp/src/a.cpp": b"a",
    }
    target = tmp_path / "vendor" / "llama.cpp"
    fetch.unpack(archive(tmp_path / "a.tar.gz", files), target)
    assert (target / "src" / "a.cpp").read_bytes() == b"a"
    assert sorted(path.name for path in target.parent.iterdir()) == ["llama.cpp"]


@pytest.mark.parametrize(
    "files",
    [
        {"pkg-1/setup.py": b"no tree"},
        {"pkg-1/vendor/llama.cpp/CMakeLists.txt": b"", "pkg-1/vendor/llama.cpp/../../../evil": b""},
    ],
)
def test_a_wrong_archive_leaves_nothing_behind(fetch: ModuleType, tmp_path: Path, files: dict[str, bytes]) -> None:
    target = tmp_path / "vendor" / "llama.cpp"
    with pytest.raises(ValueError, match=r"a\.tar\.gz"):
        fetch.unpack(archive(tmp_path / "a.tar.gz", files), target)
    assert list((tmp_path / "vendor").iterdir()) == []
    assert not (tmp_path / "evil").exists()


def test_a_failed_download_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "cmake" / "fetch_llama_cpp.py"), str(tmp_path / "llama.cpp")],
        env={"PATH": "", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_CONFIG_FILE": "/dev/null"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode != 0
    assert "pip could not download llama-cpp-python==" in done.stderr
    assert not (tmp_path / "llama.cpp").exists()


def test_the_pin_is_checked_by_hash() -> None:
    (line,) = (ROOT / "vendor" / "requirements.txt").read_text().splitlines()
    assert "--hash=sha256:" in line
    version = line.split()[0].removeprefix("llama-cpp-python==")
    assert version in (ROOT / "vendor" / "README.md").read_text()
