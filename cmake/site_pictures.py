"""Pictures of the site in two colours: GitHub asks the reader's system for the colours, the site has a button.

A picture that is for both (svg.py) becomes a light and a dark file, of which mkdocs-material shows one: it hides what
ends in `#only-light` on dark pages, and the other way round.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from svg import is_for_both, recoloured

__all__ = ["SCHEMES", "colour_files", "use_both"]

SCHEMES = ("light", "dark")
_IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s#]+)\.svg\)")


def colour_files(docs: Path) -> Iterator[tuple[str, str]]:
    """Return the place in the site and the text of each light and each dark file.

    Args:
        docs: the folder of the pages.
    """
    for path in sorted(docs.rglob("*.svg")):
        text = path.read_text("utf-8")
        if is_for_both(text):
            for scheme in SCHEMES:
                name = path.relative_to(docs).with_suffix("").as_posix()
                yield f"{name}-{scheme}.svg", recoloured(text, scheme)


def use_both(markdown: str, uri: str, docs: Path) -> str:
    """Return a page's text with the light and the dark file in place of each picture that is for both.

    Args:
        markdown: the text, with links for its place in the site.
        uri: that place.
        docs: the folder of the pages.
    """

    def replace(found: re.Match[str]) -> str:
        alt, link = found.groups()
        path = docs / posixpath.normpath(posixpath.join(posixpath.dirname(uri), f"{link}.svg"))
        if not path.is_file() or not is_for_both(path.read_text("utf-8")):
            return found[0]
        return "".join(f"![{alt}]({link}-{scheme}.svg#only-{scheme})" for scheme in SCHEMES)

    return _IMAGE.sub(replace, markdown)
