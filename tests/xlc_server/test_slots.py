"""Slots, properties and LoRA adapters, in llama-server's shapes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import xlc_core as xlc
from helpers.servers import WAYS, reached
from helpers.tiny_models import write_byte_llama
from helpers.waiting import is_idle, wait_until

MODELS = Path(__file__).parents[1] / "model_files"
GREEDY: Any = {"temperature": 0, "seed": 1, "max_tokens": 4}


@pytest.fixture(scope="module")
def pool_of_two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[xlc.EnginePool]:
    tiny = write_byte_llama(tmp_path_factory.mktemp("models") / "tiny.gguf", n_ctx=4096)
    models: Any = {
        "one": {"model": tiny, "n_parallel": 1},
        "two": {"model": tiny, "n_parallel": 2},
        "vectors": {"model": MODELS / "bert-embedder.gguf"},
    }
    with xlc.EnginePool(models, others="none", n_ctx=4096, n_threads=1) as pool:
        yield pool


@pytest.fixture(params=WAYS)
def http(request: pytest.FixtureRequest, pool_of_two: xlc.EnginePool, tmp_path: Path) -> Iterator[httpx.Client]:
    with reached(request.param, pool_of_two, slot_save_path=tmp_path) as client:
        yield client


def test_slots_show_what_runs(http: httpx.Client, pool_of_two: xlc.EnginePool) -> None:
    endless = {"model": "two", "prompt": "a", "max_tokens": 4000, "ignore_eos": True, "stream": True}
    with pool_of_two.acquire("two") as lease, http.stream("POST", "/v1/completions", json=endless) as stream:
        lines = stream.iter_lines()  # the stream lives as long as they do
        assert next(lines)
        slots = http.get("/slots", params={"model": "two"}).json()
        assert slots == [
            {"id": 0, "n_ctx": 4096, "speculative": False, "is_processing": True},
            {"id": 1, "n_ctx": 4096, "speculative": False, "is_processing": False},
        ]
        assert http.get("/slots", params={"model": "two", "fail_on_no_slot": 1}).status_code == 200
        with http.stream("POST", "/v1/completions", json=endless) as other:
            other_lines = other.iter_lines()
            assert next(other_lines)
            full = http.get("/slots", params={"model": "two", "fail_on_no_slot": 1})
            assert (full.status_code, full.json()["error"]["code"]) == (503, "no_slot")
        stream.close()
        assert wait_until(lambda: is_idle(lease.engine))
    assert not any(slot["is_processing"] for slot in http.get("/slots", params={"model": "two"}).json())
    assert http.get("/slots", params={"model": "nothing"}).status_code == 404
    assert http.get("/slots", params={"fail_on_no_slot": "maybe"}).status_code == 400


def test_model_that_is_not_open_has_no_slots(tmp_path: Path) -> None:
    tiny = write_byte_llama(tmp_path / "tiny.gguf")
    with xlc.EnginePool({"closed": tiny}, n_ctx=256) as pool, reached("portless", pool) as client:
        assert client.get("/slots").json() == []
        assert pool.opened("closed") is None


def test_conversation_is_saved_and_restored(http: httpx.Client, pool_of_two: xlc.EnginePool, tmp_path: Path) -> None:
    body: Any = {"model": "one", "prompt": "a story of " + "many words " * 20, **GREEDY}
    first = http.post("/v1/completions", json=body).json()
    saved = http.post("/slots/0?action=save", json={"model": "one", "filename": "talk.bin"}).json()
    assert saved["n_written"] == (tmp_path / "talk.bin").stat().st_size
    assert saved["n_saved"] >= first["usage"]["prompt_tokens"]
    assert (saved["id_slot"], saved["filename"]) == (0, "talk.bin")
    http.post("/v1/completions", json={**body, "prompt": "something else " * 20})
    restored = http.post("/slots/0?action=restore", json={"model": "one", "filename": "talk.bin"}).json()
    assert (restored["n_restored"], restored["n_read"]) == (saved["n_saved"], saved["n_written"])
    again = http.post("/v1/completions", json={**body, "seed": None, "prompt": body["prompt"] + "more"}).json()
    assert again["usage"]["prompt_tokens_details"]["cached_tokens"] >= first["usage"]["prompt_tokens"] - 2


def test_several_slots_need_the_conversation(http: httpx.Client) -> None:
    unnamed = http.post("/slots/1?action=save&model=two", json={"filename": "x.bin"})
    assert unnamed.status_code == 400
    assert "several slots" in unnamed.json()["error"]["message"]
    for body in ({"prompt": "some text"}, {"messages": [{"role": "user", "content": "Hi"}]}):
        saved = http.post("/slots/1?action=save&model=two", json={"filename": "x.bin", **body})
        assert saved.status_code == 200, saved.text
        assert saved.json()["n_saved"] > 0


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/slots/0?action=restore", {"filename": "missing.bin"}, 404),
        ("/slots/7?action=restore", {"filename": "x.bin"}, 400),
        ("/slots/x?action=save", {"filename": "x.bin"}, 400),
        ("/slots/0?action=eat", {"filename": "x.bin"}, 400),
        ("/slots/0", {"filename": "x.bin"}, 400),
        ("/slots/0?action=save", {}, 400),
        ("/slots/0?action=erase", {}, 501),
        ("/slots/0?action=restore&model=vectors", {"filename": "x.bin"}, 400),
    ],
)
def test_wrong_actions(http: httpx.Client, path: str, body: dict[str, Any], status: int) -> None:
    answer = http.post(path, json=body)
    assert answer.status_code == status, answer.text
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


NAMES = ["", ".", "..", "../x", "a/b", "a\\b", "/etc/passwd", "C:x", "a\0b", "a\nb", " a", "a ", "a.", "a..b"]
NAMES += ["x" * 256, "é" * 128, "a\uff0eb", "a\u2215b", "a\ufffdb", "a\u0085b", "a|b", "a*b"]


@pytest.mark.parametrize("name", NAMES)
def test_names_stay_in_the_folder(http: httpx.Client, tmp_path: Path, name: str) -> None:
    answer = http.post("/slots/0?action=save", json={"filename": name, "prompt": "a"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "filename")
    assert list(tmp_path.iterdir()) == []


def test_file_of_another_kind_is_refused(http: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "foreign.bin").write_bytes(b"not a session")
    (tmp_path / "folder").mkdir()
    for name, status in (("foreign.bin", 400), ("folder", 500)):
        assert http.post("/slots/0?action=restore", json={"filename": name}).status_code == status


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_saved_without_a_folder(way: str, pool_of_two: xlc.EnginePool) -> None:
    with reached(way, pool_of_two) as client:
        answer = client.post("/slots/0?action=save", json={"filename": "x.bin", "prompt": "a"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (501, "not_supported")
    assert "--slot-save-path" in answer.json()["error"]["message"]
    assert answer.headers["x-should-retry"] == "false"


def test_props(http: httpx.Client, pool_of_two: xlc.EnginePool) -> None:
    props = http.get("/props", params={"model": "two"}).json()
    with pool_of_two.acquire("two") as lease:
        assert props["chat_template"] == lease.engine.chat_template
        assert props["default_generation_settings"]["params"] == lease.engine.request_settings()
    assert (props["total_slots"], props["default_generation_settings"]["n_ctx"]) == (2, 4096)
    assert props["model_path"] == "tiny.gguf"
    assert props["modalities"] == {"vision": False, "audio": False, "video": False}
    assert xlc.__version__ in props["build_info"]
    assert http.get("/props", params={"model": "vectors"}).json()["total_slots"] == 0
    assert http.get("/props", params={"model": "nothing"}).status_code == 404


@pytest.fixture(params=WAYS)
def adapted(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    model: Any = {"model": MODELS / "llama.gguf", "lora": {str(MODELS / "llama-lora.gguf"): 0.0}}
    with (
        xlc.EnginePool({"m": model}, n_ctx=256, n_parallel=2, n_threads=1) as pool,
        reached(request.param, pool) as client,
    ):
        yield client


def test_lora_adapters(adapted: httpx.Client) -> None:
    listed = adapted.get("/lora-adapters").json()
    assert listed == [{"id": 0, "path": "llama-lora.gguf", "name": "llama-lora", "scale": 0.0}]
    body: Any = {"prompt": "a b c", "logprobs": 1, **GREEDY}

    def likelihoods(**further: Any) -> Any:
        answer = adapted.post("/v1/completions", json={**body, **further})
        assert answer.status_code == 200, answer.text
        return answer.json()["choices"][0]["logprobs"]["token_logprobs"]

    plain, by_name = likelihoods(), likelihoods(lora={"llama-lora": 1})
    assert plain != pytest.approx(by_name, abs=1e-3)
    assert likelihoods(lora=[{"id": 0, "scale": 1}]) == pytest.approx(by_name, abs=1e-3)
    assert adapted.post("/lora-adapters", json=[{"id": 0, "scale": 1.0}]).json()[0]["scale"] == 1.0
    assert likelihoods() == pytest.approx(by_name, abs=1e-3)
    assert likelihoods(lora=[]) == pytest.approx(plain, abs=1e-3)  # those that are not in the list get 0
    assert adapted.post("/lora-adapters", json=[]).json()[0]["scale"] == 0.0
    assert likelihoods() == pytest.approx(plain, abs=1e-3)


@pytest.mark.parametrize("wrong", [{"id": 0}, [{"id": 1, "scale": 1}], [{"id": 0, "scale": "x"}], [5], "x", None])
def test_wrong_scales(adapted: httpx.Client, wrong: Any) -> None:
    assert adapted.post("/lora-adapters", json=wrong).status_code == 400
    assert adapted.get("/lora-adapters").json()[0]["scale"] == 0.0
    if isinstance(wrong, list):
        assert adapted.post("/v1/completions", json={"prompt": "a", "lora": wrong}).status_code == 400
