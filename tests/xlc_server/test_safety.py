"""Who may call a server, its limits, and what its log does not hold."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import xlc_core as xlc
from helpers.servers import WAYS, reached, running_server
from helpers.tiny_media import write_mmproj
from helpers.tiny_models import write_byte_llama
from xlc_server import create_app, openai_client
from xlc_server.serving import is_loopback, make_server

KEY = "secret-key-of-this-test"
CHAT: dict[str, Any] = {"model": "chat", "messages": [{"role": "user", "content": "private words"}], "max_tokens": 2}


@pytest.fixture(scope="module")
def locked(pool: xlc.EnginePool) -> Iterator[str]:
    with running_server(pool, api_keys=("another", KEY), cors_origins=("https://good.example",)) as address:
        yield address


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": KEY}, 401),
        ({"authorization": f"Basic {KEY}"}, 401),
        ({"authorization": f"Bearer {KEY}"}, 200),
        ({"authorization": f"bearer {KEY}"}, 200),
        ({"x-api-key": "another"}, 200),
    ],
)
def test_key_is_required(locked: str, headers: dict[str, str], status: int) -> None:
    answer = httpx.get(f"{locked}/v1/models", headers=headers)
    assert answer.status_code == status
    if status == 401:
        assert answer.json()["error"]["code"] == "invalid_api_key"
        assert KEY not in answer.text
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("way", WAYS)
def test_refusals_have_the_form_of_the_path(pool: xlc.EnginePool, way: str) -> None:
    with reached(way, pool, api_keys=(KEY,), allowed_hosts=("localhost", "127.0.0.1")) as client:
        for path in ("/v1/messages", "/v1/messages/count_tokens"):
            missing = client.post(path, json={})
            assert (missing.status_code, missing.json()["error"]["type"]) == (401, "authentication_error")
            wrong = client.post(path, json={}, headers={"host": "evil.example", "x-api-key": KEY})
            assert (wrong.status_code, wrong.json()["error"]["type"]) == (403, "permission_error")
            method = client.get(path, headers={"x-api-key": KEY})
            assert (method.status_code, method.headers["allow"]) == (405, "POST")
            assert all(answer.json()["type"] == "error" for answer in (missing, wrong, method))
        assert client.post("/v1/completions").json()["error"]["code"] == "invalid_api_key"


def test_health_needs_no_key(locked: str) -> None:
    assert httpx.get(f"{locked}/health").status_code == 200
    assert httpx.get(f"{locked}/health/../v1/models").status_code == 401


def test_neither_keys_nor_texts_are_logged(locked: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for headers in ({"authorization": f"Bearer {KEY}"}, {"x-api-key": KEY + "x"}):
        httpx.post(f"{locked}/v1/chat/completions", json=CHAT, headers=headers, timeout=60)
    logged = [record.getMessage() for record in caplog.records if record.name.startswith(("uvicorn", "xllama"))]
    assert any("/v1/chat/completions" in line for line in logged)
    assert not any(KEY in line or "private words" in line for line in logged)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:1234"}, 200),
        ({"host": "LOCALHOST."}, 200),
        ({"host": "[::1]:80"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "localhost.evil.example:8080"}, 403),
        ({"host": ""}, 403),
        ({"origin": "http://localhost:3000"}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_web_pages_of_others_reach_nothing_without_a_key(url: str, headers: dict[str, str], status: int) -> None:
    answer = httpx.get(f"{url}/v1/models", headers=headers)
    assert answer.status_code == status
    assert "access-control-allow-origin" not in answer.headers


def test_pages_may_be_allowed(locked: str) -> None:
    asked = httpx.options(
        f"{locked}/v1/models", headers={"origin": "https://good.example", "access-control-request-method": "GET"}
    )
    assert asked.headers["access-control-allow-origin"] == "https://good.example"
    headers = {"authorization": f"Bearer {KEY}", "origin": "https://evil.example"}
    assert "access-control-allow-origin" not in httpx.get(f"{locked}/v1/models", headers=headers).headers


async def ask_from(app: Any, address: tuple[str, int], host: str = "localhost", **headers: str) -> int:
    transport = httpx.ASGITransport(app, client=address)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
        return (await client.get("/v1/models", headers=headers)).status_code


async def test_other_machines_need_a_key(pool: xlc.EnginePool) -> None:
    app = create_app(pool)
    assert await ask_from(app, ("127.0.0.9", 1)) == 200
    assert await ask_from(app, ("::ffff:127.0.0.1", 1)) == 200
    assert await ask_from(app, ("192.168.0.9", 1)) == 403
    assert await ask_from(app, ("::ffff:10.0.0.1", 1)) == 403
    keyed = create_app(pool, api_keys=[KEY])
    assert await ask_from(keyed, ("192.168.0.9", 1), "any.example", authorization=f"Bearer {KEY}") == 200
    named = create_app(pool, api_keys=[KEY], allowed_hosts=["our.example"])
    assert await ask_from(named, ("192.168.0.9", 1), "our.example", authorization=f"Bearer {KEY}") == 200
    assert await ask_from(named, ("192.168.0.9", 1), "any.example", authorization=f"Bearer {KEY}") == 403
    unprotected = create_app(pool, protect=False)
    assert await ask_from(unprotected, ("192.168.0.9", 1), "any.example") == 200


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("example.org", False),
    ],
)
def test_addresses_that_only_this_machine_reaches(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


async def test_other_addresses_get_a_key_that_is_shown_once(
    pool: xlc.EnginePool, capsys: pytest.CaptureFixture[str]
) -> None:
    server = make_server(pool, host="0.0.0.0")
    key = capsys.readouterr().err.rpartition(": ")[2].strip()
    assert len(key) >= 32
    assert await ask_from(server.config.app, ("127.0.0.1", 1)) == 401
    assert await ask_from(server.config.app, ("10.0.0.1", 1), authorization=f"Bearer {key}") == 200
    make_server(pool, host="0.0.0.0", api_keys=("own",))
    make_server(pool, host="127.0.0.1")
    assert capsys.readouterr().err == ""


def test_body_has_a_limit(pool: xlc.EnginePool) -> None:
    with running_server(pool, max_body_bytes=1000) as url:
        path = f"{url}/v1/chat/completions"
        long = {**CHAT, "user": "x" * 2000}
        assert httpx.post(path, json=long).status_code == 413
        pieces = (b" " * 500 for _ in range(5))
        answer = httpx.post(path, content=pieces)  # without a length in its header
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "body_too_large"
        assert httpx.post(path, json=CHAT, timeout=60).status_code == 200


def test_inputs_have_a_limit(pool: xlc.EnginePool) -> None:
    with running_server(pool, max_inputs=2) as url:
        assert httpx.post(f"{url}/v1/embeddings", json={"model": "embed", "input": ["a"] * 3}).status_code == 400
        body = {"model": "rank", "query": "a", "documents": ["a"] * 3}
        assert httpx.post(f"{url}/v1/rerank", json=body).status_code == 400


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}},
        {"type": "image_url", "image_url": {"url": "http://127.0.0.1:1/x.png"}},
        {"type": "image", "path": "/etc/passwd"},
    ],
)
def test_messages_name_neither_files_nor_links(tmp_path: Path, part: dict[str, Any]) -> None:
    model = write_byte_llama(tmp_path / "model.gguf")
    options: Any = {"model": model, "mmproj": write_mmproj(tmp_path / "mmproj.gguf"), "n_ctx": 512, "n_parallel": 1}
    with xlc.EnginePool({"sees": options}) as seeing, running_server(seeing) as url:
        messages = [{"role": "user", "content": [part]}]
        answer = httpx.post(f"{url}/v1/chat/completions", json={"messages": messages, "max_tokens": 1}, timeout=60)
    assert answer.status_code == 400
    assert "root:" not in answer.text


@pytest.mark.parametrize(
    "options",
    [{"api_keys": [""]}, {"max_requests": 0}, {"unknown": 1}, {"timeout": -1}],
    ids=lambda options: next(iter(options)),
)
def test_wrong_options_are_refused(pool: xlc.EnginePool, options: dict[str, Any]) -> None:
    with pytest.raises(xlc.InvalidRequestError, match=next(iter(options))):
        create_app(pool, **options)


def test_requests_open_listed_models_only(tmp_path: Path) -> None:
    path = str(write_byte_llama(tmp_path / "model.gguf"))
    with xlc.EnginePool({"named": path}, others="any", n_ctx=512, n_parallel=1) as pool:
        body: Any = {"prompt": "a", "max_tokens": 1}
        with running_server(pool) as url:
            for name, status in (("named", 200), (path, 404), ("hf:owner/repo", 404), ("../x.gguf", 404)):
                assert httpx.post(f"{url}/v1/completions", json={**body, "model": name}).status_code == status, name
            assert httpx.get(f"{url}/v1/models/{path}").status_code == 404
        with running_server(pool, allow_any_model=True) as url:
            assert httpx.post(f"{url}/v1/completions", json={**body, "model": path}).status_code == 200
        with openai_client(pool) as client:
            assert client.completions.create(**body, model=path).choices
