"""A hub in miniature: what huggingface_hub asks of one, and the ways in which one fails."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from types import TracebackType

COMMIT = "c0ffee" + "0" * 34

_API = re.compile(r"/api/models/(?P<repo>[^/]+/[^/?]+)")
_FILE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/[^/]+/(?P<file>.+)")


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]


@dataclass
class HubServer:
    """Serves ``repos`` on 127.0.0.1 and notes every request.

    Attributes:
        repos: repository → file → content.
        gated: repositories whose files need ``token``.
        token: what the Authorization header must carry for a gated repository.
        cut_after: end the connection after so many bytes of a body, on the next download only.
        refuse_after_cut: answer 503 to downloads once a connection was cut.
        status: answer every request with this status.
        delay: wait so many seconds before any answer.
    """

    repos: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    token: str = "hf_let_me_in"
    cut_after: int | None = None
    refuse_after_cut: bool = False
    status: int | None = None
    delay: float = 0.0
    requests: list[Request] = field(default_factory=list)

    def __enter__(self) -> HubServer:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def downloads(self) -> list[Request]:
        return [r for r in self.requests if r.method == "GET" and "/resolve/" in r.path]


def _handler_for(hub: HubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):  # the client had enough
                super().handle()

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            hub.requests.append(Request(self.command, self.path, headers))
            time.sleep(hub.delay)
            path = self.path.partition("?")[0] if self.path.startswith("/") else urlsplit(self.path).path  # of a proxy
            if hub.status is not None:
                self._fail(hub.status)
            elif api := _API.match(path):
                self._describe(api["repo"])
            elif wanted := _FILE.match(path):
                self._serve(wanted["repo"], wanted["file"], headers)
            else:
                self._fail(404)

        def _describe(self, repo: str) -> None:
            if repo not in hub.repos:
                return self._fail(401, "RepoNotFound")
            siblings = [{"rfilename": name} for name in hub.repos[repo]]
            body = json.dumps({"id": repo, "sha": COMMIT, "siblings": siblings}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return None

        def _serve(self, repo: str, file: str, headers: dict[str, str]) -> None:
            if repo in hub.gated and headers.get("authorization") != f"Bearer {hub.token}":
                return self._fail(403, "GatedRepo")
            content = hub.repos[repo][file]
            first = 0
            if wanted := re.fullmatch(r"bytes=(\d+)-", headers.get("range", "")):
                first = int(wanted[1])
            body = content[first:]
            if self.command == "GET" and hub.refuse_after_cut and hub.cut_after is None:
                return self._fail(503)
            self.send_response(206 if first else 200)
            if first:
                last = len(content) - 1
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                if hub.cut_after is not None:
                    body, hub.cut_after = body[: hub.cut_after], None
                self.wfile.write(body)
            return None

        def _fail(self, status: int, code: str | None = None) -> None:
            self.send_response(status)
            if code is not None:
                self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

    return Handler
