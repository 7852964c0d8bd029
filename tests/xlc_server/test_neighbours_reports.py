"""Public reports about other servers' slots, recordings and completions, tried on this one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import xlc_core as xlc
from helpers.servers import WAYS, reached
from helpers.tiny_media import LOW, write_mmproj
from helpers.tiny_models import write_byte_llama

GREEDY: Any = {"temperature": 0, "max_tokens": 4}
STORY = "once upon a time " * 10
CACHED = ("usage", "prompt_tokens_details", "cached_tokens")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("models")
    mmproj = write_mmproj(folder / "mmproj.gguf", audio=True)
    return {"ears": {"model": write_byte_llama(folder / "tiny.gguf", n_ctx=2048), "mmproj": mmproj}}


@pytest.fixture(params=WAYS)
def http(request: pytest.FixtureRequest, models: dict[str, Any], tmp_path: Path) -> Iterator[httpx.Client]:
    with (
        xlc.EnginePool(models, others="none", n_ctx=2048, n_parallel=1, n_threads=1) as pool,
        reached(request.param, pool, slot_save_path=tmp_path) as client,
    ):
        yield client


def cached(client: httpx.Client, prompt: str) -> int:
    found: Any = client.post("/v1/completions", json={"prompt": prompt, **GREEDY}).json()
    for name in CACHED:
        found = found[name]
    return int(found)


def test_empty_slot_is_not_saved_and_a_missing_file_costs_nothing(http: httpx.Client, tmp_path: Path) -> None:
    """llama.cpp #14434: saving an empty slot and restoring it crashed, and restoring a missing file lost the cache."""
    empty = http.post("/slots/0?action=save", json={"filename": "empty.bin"})
    assert empty.status_code == 400, empty.text
    assert list(tmp_path.iterdir()) == []
    cached(http, STORY)
    assert http.post("/slots/0?action=restore", json={"filename": "missing.bin"}).status_code == 404
    (tmp_path / "cut.bin").write_bytes(b"XLLAMA")
    assert http.post("/slots/0?action=restore", json={"filename": "cut.bin"}).status_code == 400
    assert cached(http, STORY + "and") > len(STORY) // 2


@pytest.mark.parametrize("way", WAYS)
def test_conversation_is_there_after_a_restart(way: str, models: dict[str, Any], tmp_path: Path) -> None:
    """llama.cpp #26676: with a projector, restoring reported success and no request used the state."""
    for action in ("save", "restore"):
        with (
            xlc.EnginePool(models, others="none", n_ctx=2048, n_parallel=1, n_threads=1) as pool,
            reached(way, pool, slot_save_path=tmp_path) as client,
        ):
            if action == "save":
                cached(client, STORY)
            answer = client.post(f"/slots/0?action={action}&model=ears", json={"filename": "talk.bin"})
            assert answer.status_code == 200, answer.text
            if action == "restore":
                assert cached(client, STORY + "and") > len(STORY) // 2


def test_recording_without_a_model_is_streamed(http: httpx.Client) -> None:
    """vLLM #36679: a stream without the name of a model failed after its headers."""
    form = {"stream": "true", "max_tokens": "3"}
    answer = http.post("/v1/audio/transcriptions", files={"file": ("a.wav", LOW)}, data=form)
    assert answer.status_code == 200
    events = [json.loads(line[6:]) for line in answer.text.split("\n\n") if line.startswith("data: {")]
    assert events[-1]["type"] == "transcript.text.done"


@pytest.mark.parametrize("head", [b"\x1aE\xdf\xa3webm", b"OggS\0\2", b"\0\0\0\x20ftypM4A "])
def test_container_that_cannot_be_read_is_a_clear_error(http: httpx.Client, head: bytes) -> None:
    """OpenWhispr #769: browsers record webm, which some servers answered with a status of 500."""
    answer = http.post("/v1/audio/transcriptions", files={"file": ("a.webm", head + bytes(500))})
    assert answer.status_code == 400
    assert "sound" in answer.json()["error"]["message"]


def test_every_prompt_is_answered(http: httpx.Client) -> None:
    """openai-python #90: of the answers to several prompts, only those to the last one came."""
    body: Any = {"prompt": ["first ", "second "], "echo": True, **GREEDY}
    choices = http.post("/v1/completions", json=body).json()["choices"]
    assert [choice["index"] for choice in choices] == [0, 1]
    assert [choice["text"].partition(" ")[0] for choice in choices] == ["first", "second"]
