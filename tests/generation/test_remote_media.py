"""Links to images: fetched only when the engine allows it, within limits, from a server in this process.

The server is on 127.0.0.1, so the engine names that address: without it such links are refused.
"""

from __future__ import annotations

import ipaddress
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import xlc_core as xlc
from helpers.tiny_media import RED, write_mmproj
from helpers.tiny_models import write_byte_llama
from xlc_core.generation import remote_media
from xlc_core.generation.public_addresses import is_public, to_address
from xlc_core.generation.remote_media import LinkReader
from xlc_core.waiting import Deadline

HERE = frozenset({"127.0.0.1"})


class Handler(BaseHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012  # of all requests, in order

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == "/red.png":
            self.answer(200, RED)
        elif self.path == "/moved":
            self.answer(302, b"", Location="/red.png")
        elif self.path == "/to-file":
            self.answer(302, b"", Location="file:///etc/passwd")
        elif self.path == "/round":
            self.answer(302, b"", Location="/round")
        elif self.path == "/to-name":
            self.answer(302, b"", Location=f"http://localhost:{self.server.server_address[1]}/red.png")
        elif self.path == "/to-metadata":
            self.answer(302, b"", Location="http://169.254.169.254/latest/meta-data/")
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
        write_byte_llama(folder / "base.gguf"), mmproj=mmproj, allow_remote_media=HERE, n_ctx=512, n_parallel=1,
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
    with monkeypatch.context() as smaller:
        smaller.setattr(remote_media, "MAX_REMOTE_BYTES", 1 << 19)
        with pytest.raises(xlc.InvalidRequestError, match=r"has more than 0\.5 MiB"):
            ask(seeing, f"{base}/large")
    monkeypatch.setattr(remote_media, "REMOTE_TIMEOUT", 0.2)
    for path in ("/slow", "/slow-head"):
        with pytest.raises(xlc.InvalidRequestError, match=r"did not answer within 0\.2 s"):
            ask(seeing, base + path)


def read(url: str, allowed: Any) -> bytes:
    return LinkReader(allowed, Deadline(10.0)).fetch(url, "here")


def test_links_of_one_request_share_limits(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_media, "MAX_REMOTE_TOTAL_BYTES", len(RED) + 10)
    links = LinkReader(HERE, Deadline(10.0))
    assert links.fetch(f"{base}/red.png", "here") == RED
    with pytest.raises(xlc.InvalidRequestError, match="MiB, which are left for this link"):
        links.fetch(f"{base}/red.png", "here")
    monkeypatch.setattr(remote_media, "REMOTE_TOTAL_TIMEOUT", 0.3)
    links = LinkReader(HERE, Deadline(10.0))
    with pytest.raises(xlc.InvalidRequestError, match=r"did not answer within 0\.3 s"):
        links.fetch(f"{base}/slow", "here")
    with pytest.raises(xlc.InvalidRequestError, match="did not answer within"):
        links.fetch(f"{base}/red.png", "here")


# Which hosts may be asked


@pytest.mark.parametrize("allowed", [True, frozenset({"example.org"}), lambda url: True, lambda url: False], ids=str)
def test_own_machine_is_not_asked_without_its_address(base: str, allowed: Any) -> None:
    n_before = len(Handler.asked)
    for host in ("127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"):
        with pytest.raises(xlc.InvalidRequestError, match="could not be fetched"):
            read(base.replace("127.0.0.1", host) + "/red.png", allowed)
    assert len(Handler.asked) == n_before


def test_name_and_address_must_both_be_allowed(base: str) -> None:
    url = base.replace("127.0.0.1", "localhost") + "/red.png"
    with pytest.raises(xlc.InvalidRequestError, match=r"its host is not public; name the host and its address"):
        read(url, frozenset({"localhost"}))
    with pytest.raises(xlc.InvalidRequestError, match="'localhost' is not in allow_remote_media"):
        read(url, frozenset({"127.0.0.0/8", "::1"}))
    assert read(url, frozenset({"localhost", "127.0.0.0/8", "::1"})) == RED


def test_function_decides_each_redirect(base: str) -> None:
    asked: list[str] = []

    def allowed(url: str) -> bool:
        asked.append(url)
        return not url.endswith("/red.png")

    # A function does not make private addresses public.
    with pytest.raises(xlc.InvalidRequestError, match="not public"):
        read(f"{base}/moved", allowed)
    assert asked == [f"{base}/moved"]
    with pytest.raises(xlc.InvalidRequestError, match="the function in allow_remote_media refuses it"):
        read(f"{base}/red.png", allowed)


@pytest.mark.parametrize("path", ["/to-name", "/to-metadata"])
def test_redirects_are_checked_again(base: str, path: str) -> None:
    n_before = len(Handler.asked)
    with pytest.raises(xlc.InvalidRequestError, match="is not in allow_remote_media"):
        read(base + path, HERE)
    assert Handler.asked[n_before:] == [path]


def test_connection_goes_to_the_address_that_was_checked(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host is looked up once, so a name server cannot change its answer later (DNS rebinding)."""
    port = int(base.rpartition(":")[2])
    answers = iter(["127.0.0.1", "192.0.2.1"])
    real = socket.getaddrinfo

    def rebinding(host: Any, *rest: Any, **options: Any) -> Any:
        return real(next(answers) if host == "example.test" else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    assert read(f"http://example.test:{port}/red.png", frozenset({"example.test", "127.0.0.1"})) == RED
    assert next(answers) == "192.0.2.1"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_certificate_is_that_of_the_host_and_not_of_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection goes to an address, but TLS must ask for the host's certificate and check it."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=media.test",
         "-addext", "subjectAltName=DNS:media.test", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    real = socket.getaddrinfo

    def resolve(host: Any, *rest: Any, **options: Any) -> Any:
        return real("127.0.0.1" if str(host).endswith(".test") else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    try:
        allowed = frozenset({"media.test", "other.test", "127.0.0.1"})
        assert read(f"https://media.test:{server.server_port}/red.png", allowed) == RED
        for host in ("other.test", "127.0.0.1"):
            with pytest.raises(xlc.InvalidRequestError, match="CERTIFICATE_VERIFY_FAILED"):
                read(f"https://{host}:{server.server_port}/red.png", allowed)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("8.8.8.8", True),
        ("2606:4700:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("168.63.129.16", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("240.0.0.1", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00:ec2::254", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::10.0.0.1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_public_addresses(address: str, expected: bool) -> None:
    assert is_public(to_address(address)) is expected


@pytest.mark.parametrize("wrong", ["example.org", 3, ["http://example.org"], ["a:80"], [""], [7], [{}], b"x"])
def test_wrong_hosts_are_refused(wrong: Any) -> None:
    with pytest.raises(xlc.InvalidRequestError, match="allow_remote_media"):
        xlc.EngineOptions.checked(allow_remote_media=wrong)


def test_hosts_are_kept_in_one_form() -> None:
    options = xlc.EngineOptions.checked(allow_remote_media=["Example.ORG.", "10.0.0.0/8"])
    assert options.allow_remote_media == frozenset({"example.org", "10.0.0.0/8"})
    assert ipaddress.ip_network("10.0.0.0/8")
    assert hash(options)
