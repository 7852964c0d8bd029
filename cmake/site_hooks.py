"""Hooks of the documentation site: its navigation, pages that are generated, and links to the rest of the repository.

mkdocs.yml names this file; `make docs` builds the site.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import site_links
import site_pictures
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
    """Add the generated pages, light and dark pictures, and what pages link to outside docs/."""
    for uri, make in site_reference.pages(ROOT).items():
        files.append(File.generated(config, uri, content=make()))
    for uri, text in site_pictures.colour_files(ROOT / "docs"):
        files.append(File.generated(config, uri, content=text))
    for path in site_links.linked_files(ROOT):
        files.append(File.generated(config, site_links.uri_of(path), abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links within the repository into links within the site, and show pictures in the page's colours."""
    uri = page.file.src_uri
    return site_pictures.use_both(site_links.rewrite(markdown, uri, ROOT), uri, ROOT / "docs")


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Refuse a page that loads something from another host."""
    if found := _LOADED.search(output):
        raise PluginError(f"{page.file.src_uri} loads {found[1] or found[2]}; the site must work without a network")
    return output


def on_post_build(config: Any, **_: Any) -> None:
    """Write the search's index as a script too: pages that are read without a server cannot load JSON."""
    index = Path(config.site_dir) / "search" / "search_index.json"
    index.with_suffix(".js").write_text(f"var __index = {index.read_text('utf-8')}", "utf-8")
