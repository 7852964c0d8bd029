"""Links to images: fetched only when the engine allows it, within limits, from a server in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import xlc_core as xlc
from helpers.tiny_media import RED, write_mmproj
from helpers.tiny_models import write_byte_llama
from xlc_core.generation import remote_media


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/red.png":
            self.answer(200, RED)
        elif self.path == "/moved":
            self.answer(302, b"", Location="/red.png")
        elif self.path == "/to-file":
            self.answer(302, b"", Location="file:///etc/passwd")
        elif self.path == "/round":
            self.answer(302, b"", Location="/round")
        elif self.path == "/large":
            self.answer(200, bytes(1 << 20))
        elif self.path == "/slow":
            self.send_response(200)
            self.end_headers()
            self.drip()
        elif self.path == "/slow-head":
            self.wfile.write(b"HTTP/1.0 200 OK\r\nX-Long: ")
            self.drip()
        else:
            self.answer(404, b"not here")

    def drip(self) -> None:
        try:
            for _ in range(100):
                self.wfile.write(b"x")
                time.sleep(0.05)
        except OSError:
            return

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, *_: object) -> None:
        """Do not log requests."""


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[xlc.Engine]:
    folder: Path = tmp_path_factory.mktemp("models")
    mmproj = write_mmproj(folder / "mmproj.gguf")
    with xlc.Engine(
        write_byte_llama(folder / "base.gguf"), mmproj=mmproj, allow_remote_media=True, n_ctx=512, n_parallel=1,
        warmup=False,
    ) as engine:  # fmt: skip
        yield engine


def ask(engine: xlc.Engine, url: str, timeout: float | None = None) -> xlc.Completion:
    message = xlc.Message(role="user", content=(xlc.ImagePart(url=url),))
    return engine.chat([message], temperature=0, max_tokens=4, ignore_eos=True, timeout=timeout)


def test_link_is_followed_where_allowed(seeing: xlc.Engine, base: str) -> None:
    local = xlc.Message(role="user", content=(xlc.ImagePart(data=RED),))
    expected = seeing.chat([local], temperature=0, max_tokens=4, ignore_eos=True).text
    assert ask(seeing, f"{base}/red.png").text == expected
    assert ask(seeing, f"{base}/moved").text == expected


async def test_it_is_fetched_off_the_event_loop(seeing: xlc.Engine, base: str) -> None:
    part = {"type": "image_url", "image_url": {"url": f"{base}/red.png"}}
    answer = await seeing.achat([{"role": "user", "content": [part]}], max_tokens=2)
    assert answer.usage.prompt_tokens > 16


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/none", "could not be fetched: HTTP error 404"),
        ("/to-file", "could not be fetched: .*unsupported protocol 'file://'"),
        ("/round", "could not be fetched: it redirects more than 5 times"),
    ],
)
def test_unfetchable_link_is_named(seeing: xlc.Engine, base: str, path: str, reason: str) -> None:
    with pytest.raises(xlc.InvalidRequestError, match=f"message 0, part 0: '{base}{path}' {reason}"):
        ask(seeing, base + path)


def test_no_server_is_an_error(seeing: xlc.Engine) -> None:
    with pytest.raises(xlc.InvalidRequestError, match="could not be fetched"):
        ask(seeing, "http://127.0.0.1:9/x.png")
    with pytest.raises(xlc.InvalidRequestError, match="is not a URL that can be read"):
        ask(seeing, "ftp://127.0.0.1/x.png")


def test_limits_of_size_and_time(seeing: xlc.Engine, base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("/slow", "/slow-head"):
        with pytest.raises(xlc.RequestTimeoutError, match="was fetched"):
            ask(seeing, base + path, timeout=0.2)
    monkeypatch.setattr(remote_media, "REMOTE_TIMEOUT", 0.2)
    monkeypatch.setattr(remote_media, "MAX_REMOTE_BYTES", 1 << 19)
    for path in ("/slow", "/slow-head"):
        with pytest.raises(xlc.InvalidRequestError, match=r"did not answer within 0\.2 s"):
            ask(seeing, base + path)
    with pytest.raises(xlc.InvalidRequestError, match="has more than 0 MiB"):
        ask(seeing, f"{base}/large")
