"""``/``: a page to chat and to try constraints. Its files are in ``ui/``; it uses nothing but this server."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

__all__ = ["PAGE_PATHS", "page_routes"]

_FOLDER = Path(__file__).with_name("ui")
_TYPES = {
    "page.html": "text/html",
    "style.css": "text/css",
    "server.js": "text/javascript",
    "chat.js": "text/javascript",
    "constraints.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}

PAGE_PATHS = frozenset("/" if name == "page.html" else f"/ui/{name}" for name in _TYPES)
"""Paths of the page and its files. They hold no secrets, so that a browser loads them without a key."""

_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
        "trusted-types 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}
"""Scripts and styles are this server's files, requests go to it alone, and texts cannot become HTML or scripts."""


def page_routes() -> list[Route]:
    """Return the routes of the page and its files."""
    return [_route(name, media_type) for name, media_type in _TYPES.items()]


def _route(name: str, media_type: str) -> Route:
    content = (_FOLDER / name).read_bytes()

    async def answer(_: Request) -> Response:
        return Response(content, headers=_HEADERS, media_type=media_type)

    return Route("/" if name == "page.html" else f"/ui/{name}", answer)
