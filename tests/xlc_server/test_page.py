"""The page at ``/``, without a browser; tests/frameworks_outside/page uses it in one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from typer.testing import CliRunner

import xlc_core as xlc
import xlc_server.serving
from helpers.servers import running_server
from xlc_core.cli import app as command
from xlc_server import create_app
from xlc_server.page import PAGE_PATHS

FOLDER = Path(xlc_server.serving.__file__).with_name("ui")
FILES = sorted(FOLDER.iterdir())


@pytest.fixture(scope="module")
def locked(pool: xlc.EnginePool) -> Iterator[str]:
    with running_server(pool, api_keys=("secret",)) as address:
        yield address


@pytest.mark.parametrize("path", sorted(PAGE_PATHS))
def test_page_needs_no_key_and_is_strict(locked: str, path: str) -> None:
    answer = httpx.get(locked + path)
    assert answer.status_code == 200
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    sources = {source for name, value in policy.items() if name.endswith("-src") for source in value.split()}
    assert policy["default-src"] == "'none'"
    assert sources == {"'none'", "'self'"}  # neither inline scripts nor other hosts
    assert policy["require-trusted-types-for"] == "'script'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert httpx.post(locked + path).status_code == 405
    assert httpx.get(locked + path, headers={"authorization": "Bearer secret"}).status_code == 200


def test_page_opens_nothing_else(locked: str, url: str) -> None:
    for path in ("/ui/", "/ui/../app.py", "/ui/page.html", "/v1/models", "//"):
        assert httpx.get(locked + path).status_code == 401, path
        assert httpx.get(url + path, headers={"host": "evil.example"}).status_code == 403, path
    assert httpx.get(url, headers={"host": "evil.example"}).status_code == 403


def test_every_file_is_served_and_named_by_page(url: str) -> None:
    page = httpx.get(url).text
    modules = "".join(file.read_text("utf-8") for file in FILES if file.suffix == ".js")
    for file in FILES:
        if file.name == "page.html":
            continue
        assert httpx.get(f"{url}/ui/{file.name}").content == file.read_bytes()
        assert f'"ui/{file.name}"' in page or f'"./{file.name}"' in modules


def test_page_is_small_and_uses_no_other_host() -> None:
    texts = {file.name: file.read_text("utf-8") for file in FILES}
    assert sum(text.count("\n") for text in texts.values()) < 400
    assert sum(len(text.encode()) for text in texts.values()) < 32_000
    texts["icon.svg"] = texts["icon.svg"].replace("http://www.w3.org/2000/svg", "")  # a name, not a link
    for name, text in texts.items():
        assert not re.search(r"(?:\w:|[\"'(=])//", text), name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", text), name
        assert not re.search(r"@import|url\(|\bon\w+=|<style|style=|localStorage|cookie", text), name


def test_fields_have_labels() -> None:
    page = (FOLDER / "page.html").read_text("utf-8")
    labelled = set(re.findall(r'<label for="(\w+)"', page)) | {
        name for label in re.findall(r"<label.*?</label>", page, re.DOTALL) for name in re.findall(r'id="(\w+)"', label)
    }
    for tag, name in re.findall(r'(<(?:input|select|textarea) id="(\w+)".*?>)', page):
        assert name in labelled or "aria-label=" in tag, name


def test_page_can_be_left_out(pool: xlc.EnginePool) -> None:
    with running_server(pool, ui=False) as url:
        for path in PAGE_PATHS:
            assert httpx.get(url + path).status_code == 404, path
        assert httpx.get(f"{url}/health").status_code == 200


@pytest.mark.parametrize("flags", [[], ["--no-ui"]])
def test_command_serves_page_unless_told_not_to(flags: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[bool] = []
    monkeypatch.setattr(xlc_server.serving, "run_server", lambda pool, *, ui, **options: started.append(ui))
    result = CliRunner().invoke(command, ["serve", *flags])
    assert result.exit_code == 0, result.output
    assert started == [not flags]


async def test_mounted_application_has_page_if_asked(pool: xlc.EnginePool) -> None:
    routes = [
        Mount("/bare", create_app(pool, protect=False)),
        Mount("/shown", create_app(pool, api_keys=["secret"], ui=True)),
    ]
    transport = httpx.ASGITransport(Starlette(routes=routes))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", follow_redirects=True) as client:
        assert (await client.get("/bare/")).status_code == 404
        page = await client.get("/shown")  # is redirected to /shown/, so that the page finds its files
        assert page.url.path == "/shown/"
        assert "<title>xllama</title>" in page.text
        assert (await client.get("/shown/ui/chat.js")).status_code == 200
        assert (await client.get("/shown/v1/models")).status_code == 401
