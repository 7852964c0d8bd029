"""Checksums: a wrong file is refused every time, a right one is read once, and parts of a model are all looked at."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from helpers.hub_server import HubServer
from xlc_core.errors import ModelNotFoundError
from xlc_core.models import catalog, checksums
from xlc_core.models.checksums import file_sha256
from xlc_core.models.folders import cache_dir
from xlc_core.models.hub import HubModel, cached_path, fetch

GOOD, BAD = b"GGUF, the right one", b"GGUF, another one"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files whose content was read, in order."""
    seen: list[Path] = []
    real = checksums._compute

    def compute(path: Path) -> str:
        seen.append(path)
        return real(path)

    monkeypatch.setattr(checksums, "_compute", compute)
    monkeypatch.setattr(checksums, "_known", {})
    return seen


def write_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, sha256: object) -> None:
    file = tmp_path / "catalog.toml"
    known = f'[mine]\ndescription = "d"\nlicense = "MIT"\nkind = "chat"\nsource = "{source}"\n'
    file.write_text(f"{known}sha256 = {json.dumps(sha256)}\n")
    monkeypatch.setenv("XLLAMA_CATALOG", str(file))


def test_file_is_read_once_for_all_processes(
    tmp_path: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(GOOD)
    assert file_sha256(file) == file_sha256(file) == digest(GOOD)
    monkeypatch.setattr(checksums, "_known", {})  # as in another process
    assert file_sha256(file) == digest(GOOD)
    assert len(reads) == 1
    assert file_sha256(file, again=True) == digest(GOOD)
    assert len(reads) == 2


def test_changed_file_is_read_again(tmp_path: Path, reads: list[Path]) -> None:
    file, other = tmp_path / "m.gguf", tmp_path / "other.gguf"
    file.write_bytes(GOOD)
    file_sha256(file)
    status = file.stat()
    other.write_bytes(GOOD[::-1])  # of the same size and time, but another file
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.replace(other, file)
    assert file_sha256(file) == digest(GOOD[::-1])
    file.write_bytes(BAD)
    assert file_sha256(file) == digest(BAD)
    assert len(reads) == 3


@pytest.mark.parametrize("content", ["", "[]", "[" * 100_000, '{"a": 1}', "\0"], ids=lambda text: repr(text[:8]))
def test_damaged_memory_is_forgotten(tmp_path: Path, reads: list[Path], content: str) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(GOOD)
    cache_dir().mkdir(parents=True)
    (cache_dir() / "checksums.json").write_text(content)
    assert file_sha256(file) == digest(GOOD)
    checksums._known.clear()
    assert file_sha256(file) == digest(GOOD)
    assert len(reads) == 1


def test_folder_that_cannot_be_written_costs_only_time(
    tmp_path: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a file").write_bytes(b"")
    monkeypatch.setenv("XLLAMA_CACHE", str(tmp_path / "a file" / "cache"))
    file = tmp_path / "m.gguf"
    file.write_bytes(GOOD)
    assert file_sha256(file) == file_sha256(file) == digest(GOOD)
    assert len(reads) == 1


@pytest.mark.parametrize("source", ["hf:a/b:m.gguf", "file:m.gguf"])
def test_wrong_sum_is_refused_every_time(
    tmp_path: Path, hub: HubServer, reads: list[Path], monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    hub.repos["a/b"] = {"m.gguf": BAD}
    (tmp_path / "m.gguf").write_bytes(BAD)
    write_entry(tmp_path, monkeypatch, source, digest(GOOD))
    for _ in range(3):
        with pytest.raises(ModelNotFoundError, match=r"m\.gguf has sha256 .* but the catalog says"):
            catalog.resolve("mine")
    assert len(reads) == 1
    with pytest.raises(ModelNotFoundError, match="has sha256"):
        catalog.pull("mine")


def test_file_that_another_program_changed_in_the_cache_is_refused(hub: HubServer, reads: list[Path]) -> None:
    hub.repos["a/b"] = {"m.gguf": GOOD}
    model = HubModel.parse("hf:a/b:m.gguf")
    blob = Path(os.path.realpath(fetch(model, progress=False)))
    assert fetch(model, progress=False).read_bytes() == GOOD
    assert len(reads) == 1
    blob.chmod(0o644)
    blob.write_bytes(BAD)
    for _ in range(2):
        with pytest.raises(ModelNotFoundError, match=r"it is damaged or was changed; remove .*blobs"):
            fetch(model, progress=False)
    blob.unlink()
    assert fetch(model, progress=False).read_bytes() == GOOD


def test_every_part_of_split_model_is_checked(
    tmp_path: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch, reads: list[Path]
) -> None:
    names = [f"m-{number:05}-of-00003.gguf" for number in (1, 2, 3)]
    parts = [b"GGUF part %d" % number for number in (1, 2, 3)]
    hub.repos["a/b"] = dict(zip(names, parts, strict=True))
    sums = [digest(part) for part in parts]
    write_entry(tmp_path, monkeypatch, "hf:a/b:m", sums)
    assert catalog.resolve("mine").path.name == names[0]
    assert len(reads) == 3
    write_entry(tmp_path, monkeypatch, "hf:a/b:m", [*sums[:2], digest(BAD)])
    with pytest.raises(ModelNotFoundError, match=r"00003-of-00003\.gguf has sha256"):
        catalog.resolve("mine")
    for wrong in (sums[0], sums[:2], [*sums, sums[0]]):
        write_entry(tmp_path, monkeypatch, "hf:a/b:m", wrong)
        with pytest.raises(ModelNotFoundError, match=r"has 3 files, but its catalog entry has \d sha256"):
            catalog.resolve("mine")
    third = cached_path(HubModel.parse("hf:a/b:m"))
    assert third is not None
    blob = Path(os.path.realpath(third.with_name(names[2])))
    blob.chmod(0o644)
    blob.write_bytes(BAD)
    with pytest.raises(ModelNotFoundError, match=r"00003-of-00003\.gguf .* damaged or was changed"):
        fetch(HubModel.parse("hf:a/b:m"), progress=False)
