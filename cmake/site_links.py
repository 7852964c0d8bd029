"""Links between pages: as they are in the repository, and as they are in the documentation site.

A page of docs/ has the same name in the site. Another page of the repository is in the site's folder project/, and a
file that is not a page in source/. The pages are written with the links that work in the repository.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

_LINK = re.compile(r"(\]\()(?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?\)")
_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
_PAGE_LINK = re.compile(r"\]\(([^)#\s]+\.md)\)")
_CODE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_DOCS, _PAGES, _SOURCES = "docs/", "project/", "source/"


def uri_of(path: str) -> str:
    """Return the place in the site of a file of the repository."""
    if path.startswith(_DOCS):
        return path.removeprefix(_DOCS)
    return (_PAGES if path.endswith(".md") else _SOURCES) + path


def path_of(uri: str) -> str:
    """Return the file of the repository for a place in the site."""
    for prefix in (_PAGES, _SOURCES):
        if uri.startswith(prefix):
            return uri.removeprefix(prefix)
    return _DOCS + uri


def navigation(index: str) -> dict[str, list[str]]:
    """Return the sections of docs/README.md with the places of the pages that each lists, in their order."""
    _, *parts = _SECTION.split(index)
    return {
        title: list(dict.fromkeys(uri_of(posixpath.normpath(_DOCS + link)) for link in _PAGE_LINK.findall(text)))
        for title, text in zip(parts[::2], parts[1::2], strict=True)
    }


def rewrite(markdown: str, uri: str, root: Path) -> str:
    """Return a page's text with links for its place in the site. A link to a folder leads to its README.md."""
    here = path_of(uri)

    def replace(found: re.Match[str]) -> str:
        before, link, anchor = found.groups()
        path = _target(here, link, root)
        if path is None:
            return found[0]
        return f"{before}{posixpath.relpath(uri_of(path), posixpath.dirname(uri) or '.')}{anchor or ''})"

    parts = _CODE.split(markdown)
    parts[::2] = [_LINK.sub(replace, part) for part in parts[::2]]
    return "".join(parts)


def linked_files(root: Path) -> list[str]:
    """Return the files outside docs/ that pages of the site link to, directly or through such pages."""
    waiting = sorted(str(path.relative_to(root)) for path in (root / "docs").rglob("*.md"))
    seen = set(waiting)
    while waiting:
        page = waiting.pop()
        text = _CODE.sub("", (root / page).read_text("utf-8"))
        for path in {_target(page, link, root) for _, link, _ in _LINK.findall(text)} - {None, *seen}:
            seen.add(path)
            waiting += [path] if path.endswith(".md") else []
    return sorted(path for path in seen if not path.startswith(_DOCS))


def _target(page: str, link: str, root: Path) -> str | None:
    """Return the file of the repository that a link of a page leads to; None if it does not exist."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), link))
    if (root / path).is_dir():
        path += "/README.md"
    return path if (root / path).is_file() else None
