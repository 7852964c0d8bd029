"""Files that messages name: which may be, and what is read of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import xlc_core as xlc
from helpers.tiny_media import RED, write_mmproj
from helpers.tiny_models import write_byte_llama
from xlc_core.generation import local_media, media
from xlc_core.generation.message_reading import to_messages
from xlc_core.messages import is_from_mapping
from xlc_core.waiting import Deadline

KINDS = frozenset({"image", "audio", "video"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "red.png").write_bytes(RED)
    (tmp_path / "secret.png").write_bytes(RED)
    (tmp_path / "open" / "link.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "open-too").mkdir()
    (tmp_path / "open-too" / "red.png").write_bytes(RED)
    return tmp_path


def read(part: Any, allowed: Any = False) -> int:
    parts = media.placed_parts(to_messages([{"role": "user", "content": [part]}]), KINDS)
    return len(media.load(parts, rules=media.MediaRules(local=allowed), deadline=Deadline(10.0)))


def untrusted(path: object) -> dict[str, Any]:
    return {"type": "image", "path": str(path)}


def test_engine_reads_a_dictionarys_file_only_if_allowed(tmp_path: Path) -> None:
    (tmp_path / "red.png").write_bytes(RED)
    model, mmproj = write_byte_llama(tmp_path / "base.gguf"), write_mmproj(tmp_path / "mmproj.gguf")
    options: Any = {"mmproj": mmproj, "n_ctx": 512, "n_parallel": 1, "warmup": False}
    chat: Any = [{"role": "user", "content": [untrusted(tmp_path / "red.png")]}]
    with xlc.Engine(model, **options) as engine:
        with pytest.raises(xlc.InvalidRequestError, match=r"message 0, part 0: .*without allow_local_media"):
            engine.chat(chat, max_tokens=1)
        own = [xlc.Message(role="user", content=(xlc.ImagePart(path=tmp_path / "red.png"),))]
        assert engine.chat(own, max_tokens=1).usage.prompt_tokens > 16
    for allowed in (True, tmp_path, str(tmp_path)):
        with xlc.Engine(model, allow_local_media=allowed, **options) as engine:
            assert engine.chat(chat, max_tokens=1).usage.prompt_tokens > 16


def test_objects_of_the_program_name_any_file(folder: Path) -> None:
    assert read(xlc.ImagePart(path=folder / "secret.png")) == 1
    assert read(untrusted(folder / "secret.png"), allowed=True) == 1


@pytest.mark.parametrize(
    "name", ["secret.png", "nothing.png", "open/link.png", "open/../secret.png", "open-too/red.png"]
)
def test_file_outside_the_folder_is_refused_in_the_same_words(folder: Path, name: str) -> None:
    with pytest.raises(xlc.InvalidRequestError, match="is not in the folder that allow_local_media names"):
        read(untrusted(folder / name), allowed=folder / "open")


def test_file_in_the_folder_is_read(folder: Path) -> None:
    for path in (folder / "open" / "red.png", "red.png", "./red.png"):
        assert read(untrusted(path), allowed=folder / "open") == 1


@pytest.mark.parametrize("path", ["a\0b", "\ud800", "~nobody-has-this-name/x", "x" * 5000])
def test_impossible_name_is_refused(folder: Path, path: str) -> None:
    for allowed in (False, True, folder):
        with pytest.raises(xlc.InvalidRequestError, match="part 0: the file"):
            read(untrusted(path), allowed=allowed)


def test_only_regular_files_are_read(folder: Path) -> None:
    fifo = folder / "open" / "pipe"
    os.mkfifo(fifo)
    for path in (fifo, folder, "/dev/zero", "/dev/stdin"):
        for part in (untrusted(path), xlc.ImagePart(path=path)):
            with pytest.raises(xlc.InvalidRequestError, match="it is not a regular file"):
                read(part, allowed=True)


def test_link_that_takes_a_files_place_is_not_followed(folder: Path) -> None:
    """Between looking at a path and opening it, a writer of the folder could replace the file by a link."""
    link = folder / "open" / "link.png"
    assert local_media.read_media_file(link, "here", Deadline(10.0)) == RED
    with pytest.raises(xlc.InvalidRequestError, match="cannot be read"):
        local_media.read_media_file(link, "here", Deadline(10.0), follow_link=False)


def test_size_is_limited(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_media, "MAX_FILE_BYTES", len(RED))
    assert read(xlc.ImagePart(path=folder / "secret.png")) == 1
    monkeypatch.setattr(local_media, "MAX_FILE_BYTES", len(RED) - 1)
    with pytest.raises(xlc.InvalidRequestError, match="it has more than 0 MiB"):
        read(xlc.ImagePart(path=folder / "secret.png"))


def test_timeout_ends_the_reading(folder: Path) -> None:
    with pytest.raises(xlc.RequestTimeoutError, match=r"timeout passed while .* was read"):
        local_media.read_media_file(folder / "secret.png", "here", Deadline(0.0))


def test_number_of_media_is_limited() -> None:
    part = xlc.ImagePart(data=b"x")
    for n, fits in ((media.MAX_PARTS, True), (media.MAX_PARTS + 1, False)):
        messages = [xlc.Message(role="user", content=(part,) * n)]
        if fits:
            assert len(media.placed_parts(messages, KINDS)) == n
        else:
            with pytest.raises(xlc.InvalidRequestError, match="more than 256 images"):
                media.placed_parts(messages, KINDS)


def test_parts_know_whether_they_were_dictionaries() -> None:
    made = xlc.ImagePart(path="a")
    read_from = xlc.Message.model_validate({"role": "user", "content": [made, {"type": "image", "path": "a"}]})
    assert [is_from_mapping(part) for part in read_from.content if not isinstance(part, str)] == [False, True]
    again = xlc.Message.model_validate_json('{"role": "user", "content": [{"type": "image", "path": "a"}]}')
    (part,) = again.content
    assert not isinstance(part, str)
    assert is_from_mapping(part)
    assert is_from_mapping(part.model_copy())
    assert part == made
    assert part.model_dump() == made.model_dump()


@pytest.mark.parametrize("url", ["http://[", "data:,\ud800", "data:;base64,\ud800", "\ud800", "HTTP://\ud800/", ":"])
def test_malformed_links_are_refused(url: str) -> None:
    part = {"type": "image_url", "image_url": {"url": url}}

    def load() -> None:
        parts = media.placed_parts(to_messages([{"role": "user", "content": [part]}]), KINDS)
        media.load(parts, rules=media.MediaRules(remote=True), deadline=Deadline(10.0))

    with pytest.raises(xlc.InvalidRequestError):
        load()
