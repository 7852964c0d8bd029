"""Servers that run: clients that leave, wait, or read slowly; ending; mounting; the command."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

import xlc_core as xlc
import xlc_server
from helpers.servers import running_server, server_on_thread
from helpers.tiny_models import write_byte_llama
from helpers.waiting import N_POLLS, is_idle, wait_until

LONG: dict[str, Any] = {
    "model": "chat",
    "messages": [{"role": "user", "content": "Tell me a story."}],
    "max_tokens": 1500,
    "ignore_eos": True,
}

XLLAMA = [sys.executable, "-c", "from xlc_core.cli import app; app()"]


def test_client_that_does_not_wait_frees_its_slot(url: str, chat_engine: xlc.Engine) -> None:
    before = chat_engine.metrics().generation_tokens
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{url}/v1/chat/completions", json=LONG, timeout=httpx.Timeout(60, read=0.3))
    assert wait_until(lambda: is_idle(chat_engine))
    assert chat_engine.metrics().generation_tokens - before < 1400


def test_too_many_requests_wait_elsewhere(pool: xlc.EnginePool, chat_engine: xlc.Engine) -> None:
    short = {**LONG, "max_tokens": 1}
    with running_server(pool, max_requests=1) as url:
        path = f"{url}/v1/chat/completions"
        with httpx.stream("POST", path, json={**LONG, "stream": True}, timeout=60) as stream:
            lines = stream.iter_lines()  # dropping it would close the stream
            assert next(lines)
            refused = httpx.post(path, json=short)
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) > 0
            assert refused.json()["error"]["type"] == "rate_limit_error"
            for monitored in ("health", "metrics", "slots"):
                assert httpx.get(f"{url}/{monitored}", timeout=60).status_code == 200
        assert wait_until(lambda: httpx.post(path, json=short, timeout=60).status_code == 200)
    assert is_idle(chat_engine)


def ask_and_never_read(slow: socket.socket, url: str) -> None:
    """Ask for a stream that is larger than what the sockets hold."""
    body = {**LONG, "model": "tiny", "max_tokens": 3000, "stream": True, "logprobs": True, "top_logprobs": 20}
    host, port = url.removeprefix("http://").split(":")
    data = json.dumps(body).encode()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect((host, int(port)))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(data)}\r\n\r\n"
    slow.sendall(head.encode() + data)


def test_reader_that_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    model = write_byte_llama(tmp_path / "tiny.gguf", n_ctx=4096)
    with (
        xlc.EnginePool({"tiny": model}, n_ctx=4096, n_parallel=2) as pool,
        running_server(pool, grace=0) as url,
        pool.acquire("tiny") as lease,
        socket.socket() as slow,
    ):
        ask_and_never_read(slow, url)
        assert wait_until(lambda: not is_idle(lease.engine))
        short = {**LONG, "model": "tiny", "max_tokens": 2}
        assert httpx.post(f"{url}/v1/chat/completions", json=short, timeout=60).status_code == 200
        assert wait_until(lambda: is_idle(lease.engine), 10 * N_POLLS), "its answer ends, though nobody reads it"
        assert httpx.post(f"{url}/v1/chat/completions", json=short, timeout=60).status_code == 200


def test_reader_that_does_not_read_is_given_up(tmp_path: Path) -> None:
    model = write_byte_llama(tmp_path / "tiny.gguf", n_ctx=4096)
    with (
        xlc.EnginePool({"tiny": model}, n_ctx=4096, n_parallel=2) as pool,
        running_server(pool, stall_timeout=0.2) as url,
        socket.socket() as slow,
    ):
        ask_and_never_read(slow, url)
        assert wait_until(lambda: "xllama_http_requests 1" in httpx.get(f"{url}/metrics").text)
        assert wait_until(lambda: "xllama_http_requests 0" in httpx.get(f"{url}/metrics").text)
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        received = b"".join(iter(lambda: slow.recv(1 << 16), b""))
        assert received.startswith(b"HTTP/1.1 200")
        assert b"[DONE]" not in received, "its stream was cut off before its end"


def test_body_that_does_not_arrive_is_given_up(pool: xlc.EnginePool) -> None:
    with running_server(pool, stall_timeout=0.2, max_requests=1) as url, socket.socket() as silent:
        host, port = url.removeprefix("http://").split(":")
        silent.connect((host, int(port)))
        silent.sendall(f"POST /v1/embeddings HTTP/1.1\r\nHost: {host}\r\nContent-Length: 99\r\n\r\n{{".encode())
        assert silent.recv(1 << 16).startswith(b"HTTP/1.1 408")
        answer = httpx.post(f"{url}/v1/embeddings", json={"model": "embed", "input": "x"}, timeout=60)
        assert answer.status_code == 200


def read_events(url: str, first: threading.Event, lines: list[str]) -> None:
    body = {**LONG, "max_tokens": 20, "stream": True}
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=120) as stream:
        for line in stream.iter_lines():
            lines.append(line)
            first.set()


def test_server_that_ends_answers_those_who_wait(
    pool: xlc.EnginePool, chat_engine: xlc.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    answers: list[httpx.Response] = []
    with server_on_thread(pool, grace=0) as (server, url):
        asker = threading.Thread(
            target=lambda: answers.append(httpx.post(f"{url}/v1/chat/completions", json=LONG, timeout=120))
        )
        asker.start()
        assert wait_until(lambda: not is_idle(chat_engine))
        server.should_exit = True
        asker.join()
    assert answers[0].status_code == 503
    assert answers[0].json()["error"]["code"] == "cancelled"
    assert "Traceback" not in caplog.text
    assert wait_until(lambda: is_idle(chat_engine))


@pytest.mark.parametrize("grace", [0, 120])
def test_server_that_ends_finishes_streams_or_ends_them(
    pool: xlc.EnginePool, chat_engine: xlc.Engine, grace: int
) -> None:
    first, lines = threading.Event(), list[str]()
    with server_on_thread(pool, grace=grace) as (server, url):
        reader = threading.Thread(target=read_events, args=(url, first, lines))
        reader.start()
        assert first.wait(60)
        server.should_exit = True
        reader.join()
    events = [line for line in lines if line]
    if grace:
        assert events[-1] == "data: [DONE]"
    else:
        assert json.loads(events[-1].removeprefix("data: "))["error"]["code"] == "cancelled"
    assert wait_until(lambda: is_idle(chat_engine))


async def test_mounted_into_another_application(pool: xlc.EnginePool) -> None:
    app = Starlette(routes=[Mount("/llm", xlc_server.create_app(pool, api_keys=["key"]))])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
        assert (await http.get("/llm/health")).status_code == 200
        assert (await http.get("/llm/v1/models")).status_code == 401
        client = openai.AsyncOpenAI(base_url="http://localhost/llm/v1", api_key="key", http_client=http)
        assert [model.id async for model in client.models.list()] == ["chat", "embed", "rank"]
        answer = await client.chat.completions.create(model="chat", messages=LONG["messages"], max_tokens=2)
        assert answer.choices[0].message.content


def test_own_pool_closes_with_the_server_and_the_client() -> None:
    with xlc_server.openai_client("all-minilm-l6-v2", n_ctx=128) as client:
        client.embeddings.create(model="all-minilm-l6-v2", input="x")
        pool = client._client._transport._app.state.pool  # type: ignore[attr-defined]
        engine = pool.opened("all-minilm-l6-v2")
        assert not engine.closed
    assert engine.closed


async def test_sync_client_works_beside_a_running_loop(pool: xlc.EnginePool) -> None:
    with xlc_server.openai_client(pool) as client:
        assert client.chat.completions.create(model="chat", messages=LONG["messages"], max_tokens=2).choices


def test_timeout_of_a_client_without_a_port(pool: xlc.EnginePool, chat_engine: xlc.Engine) -> None:
    with xlc_server.openai_client(pool) as client, pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(
            model="chat", messages=LONG["messages"], max_tokens=1500, extra_body={"ignore_eos": True}, timeout=0.3
        )
    assert wait_until(lambda: is_idle(chat_engine))


def test_threads_share_a_client_without_a_port(pool: xlc.EnginePool) -> None:
    lengths: list[int] = []

    def ask(n_tokens: int) -> None:
        answer = client.chat.completions.create(
            model="chat", messages=LONG["messages"], max_tokens=n_tokens, extra_body={"ignore_eos": True}
        )
        assert answer.usage is not None
        lengths.append(answer.usage.completion_tokens)

    with xlc_server.openai_client(pool) as client:
        threads = [threading.Thread(target=ask, args=(n_tokens,)) for n_tokens in range(1, 9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(lengths) == list(range(1, 9))


def test_client_that_is_dropped_while_it_closes_ends_its_loop(pool: xlc.EnginePool) -> None:
    with xlc_server.openai_client(pool) as client:
        client.models.list()
        loop = client._client._transport._thread._loop  # type: ignore[attr-defined]
        # Its work takes a while to end, so that the client is collected meanwhile.
        asyncio.run_coroutine_threadsafe(end_slowly(), loop)
    del client
    gc.collect()
    assert wait_until(loop.is_closed)


async def end_slowly() -> None:
    try:
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(0.3)


def test_dropped_client_ends_its_loop(pool: xlc.EnginePool) -> None:
    client = xlc_server.openai_client(pool)
    client.models.list()
    loop = client._client._transport._thread._loop  # type: ignore[attr-defined]
    del client
    gc.collect()
    assert wait_until(loop.is_closed)


def test_clients_take_a_pool_or_options() -> None:
    with xlc.EnginePool() as pool, pytest.raises(TypeError, match="cannot be given again"):
        xlc_server.openai_client(pool, n_ctx=512)


def test_command_serves_until_it_is_interrupted() -> None:
    command = [*XLLAMA, "serve", "all-minilm-l6-v2", "--port", "0", "--api-key", "k"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                break
        assert found, "".join(lines)
        client = openai.OpenAI(base_url=f"{found[0]}/v1", api_key="k")
        assert len(client.embeddings.create(model="all-minilm-l6-v2", input="x").data[0].embedding) == 384
        client.close()
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert "Application shutdown complete" in rest
        assert "Traceback" not in rest


def test_missing_extra_is_one_sentence() -> None:
    program = "import sys; sys.modules['starlette'] = None; from xlc_core.cli import app; app(['serve'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "pip install 'xllama[server]'" in done.stderr
