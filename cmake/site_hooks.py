"""Hooks of the documentation site: its navigation, pages that are generated, and links to the rest of the repository.

mkdocs.yml names this file; `make docs` builds the site.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import site_links
import site_reference
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]

_LOADED = re.compile(
    r"""<(?:script|img|iframe)[^>]*\ssrc=["']?(https?://[^"'\s>]+)|<link[^>]*\shref=["']?(https?://\S+)"""
)


def on_config(config: Any) -> Any:
    """Make the navigation from the list of pages in docs/README.md, with the generated pages in "Reference"."""
    sections = site_links.navigation((ROOT / "docs" / "README.md").read_text("utf-8"))
    sections["Reference"] += site_reference.pages(ROOT)
    config.nav = [{"Home": "README.md"}, *({title: pages} for title, pages in sections.items())]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages, and the pages and sources outside docs/ that pages link to."""
    for uri, make in site_reference.pages(ROOT).items():
        files.append(File.generated(config, uri, content=make()))
    for path in site_links.linked_files(ROOT):
        files.append(File.generated(config, site_links.uri_of(path), abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links within the repository into links within the site."""
    return site_links.rewrite(markdown, page.file.src_uri, ROOT)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Refuse a page that loads something from another host."""
    if found := _LOADED.search(output):
        raise PluginError(f"{page.file.src_uri} loads {found[1] or found[2]}; the site must work without a network")
    return output
