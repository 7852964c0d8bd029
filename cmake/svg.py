"""Pieces of SVG pictures for light and dark pages, without scripts and fonts.

The colours follow the reader's preference by a media query. cmake/site_hooks.py makes a light and a dark file of each
picture for the site, where a button chooses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

__all__ = ["arrow", "box", "is_for_both", "label", "picture", "recoloured", "width_of"]

_LIGHT = {
    "text": "fill: #24292f", ".muted": "fill: #57606a", ".bar": "fill: #9aa4af", ".ours": "fill: #3f51b5",
    ".line": "stroke: #57606a; fill: none", ".tip": "fill: #57606a", ".box": "fill: #f6f8fa; stroke: #8c959f",
    ".accent": "fill: #e8eaf6; stroke: #3f51b5", ".mark": "stroke: #e36209; fill: none",
}  # fmt: skip
_DARK = {
    "text": "fill: #e6edf3", ".muted": "fill: #9da7b1", ".bar": "fill: #6e7681", ".ours": "fill: #8c9eff",
    ".line": "stroke: #9da7b1; fill: none", ".tip": "fill: #9da7b1", ".box": "fill: #21262d; stroke: #6e7681",
    ".accent": "fill: #2a3163; stroke: #8c9eff", ".mark": "stroke: #f0883e; fill: none",
}  # fmt: skip
_SHAPES = (
    "text { font: 13px system-ui, sans-serif } .title { font-weight: 600 } .muted { font-size: 11px }"
    " .code { font: 12px ui-monospace, monospace; white-space: pre }"
)
_DARK_RULES = re.compile(r"^@media \(prefers-color-scheme: dark\) \{ (.*) \}\n", re.MULTILINE)


def picture(width: float, height: float, title: str, parts: Iterable[str]) -> str:
    """Return an SVG file.

    Args:
        width: in pixels.
        height: in pixels.
        title: read aloud for those who do not see it.
        parts: its elements.
    """
    width, height = round(width) + 2, round(height) + 2  # for half of the lines at the edges
    size = f'width="{width}" height="{height}" viewBox="-1 -1 {width} {height}"'
    style = f"<style>\n{_SHAPES}\n{_rules(_LIGHT)}\n@media (prefers-color-scheme: dark) {{ {_rules(_DARK)} }}\n</style>"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">\n<title>{escape(title)}</title>'
    return "\n".join([head, style, *parts, "</svg>", ""])


def _rules(colours: dict[str, str]) -> str:
    return " ".join(f"{name} {{ {rule} }}" for name, rule in colours.items())


def is_for_both(svg: str) -> bool:
    """Return whether a picture has other colours on dark pages."""
    return _DARK_RULES.search(svg) is not None


def recoloured(svg: str, scheme: str) -> str:
    """Return a picture that is always light or always dark.

    Args:
        svg: a picture of ours.
        scheme: light or dark.
    """
    return _DARK_RULES.sub(lambda found: f"{found[1]}\n" if scheme == "dark" else "", svg)


def label(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    """Return a line of text.

    Args:
        x: its start, middle or end, as `anchor` says.
        y: its base line.
        text: what it says.
        kind: classes of the style.
        anchor: start, middle or end.
    """
    classes = f' class="{kind}"' if kind else ""
    anchored = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text{classes} x="{x:g}" y="{y:g}"{anchored}>{escape(text)}</text>'


def width_of(text: str, *, code: bool = False) -> float:
    """Return about how wide a text is, in pixels; rather too much than too little."""
    if code:
        return 7.3 * len(text)
    return sum(3.8 if letter in " .,:;'`|()ijl" else 11 if letter in "MWmw" else 7.9 for letter in text)


def box(x: float, y: float, width: float, height: float, lines: Iterable[str], kind: str = "box") -> str:
    """Return a rectangle with centred lines of text; a line that begins with a backtick is code."""
    drawn = [f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="5"/>']
    rows = list(lines)
    top = y + height / 2 - 9 * len(rows) + 13
    for row, line in enumerate(rows):
        style = "code" if line.startswith("`") else ""
        drawn.append(label(x + width / 2, top + 18 * row, line.strip("`"), style, "middle"))
    return "\n".join(drawn)


def arrow(*points: tuple[float, float]) -> str:
    """Return a line through the points, with a tip at its end; its last part is horizontal or vertical."""
    (x0, y0), (x, y) = points[-2:]
    dx, dy = (x > x0) - (x < x0), (y > y0) - (y < y0)
    path = " ".join(f"{'ML'[i > 0]}{px:g} {py:g}" for i, (px, py) in enumerate(points))
    back_x, back_y = x - 8 * dx, y - 8 * dy
    tip = f"M{x:g} {y:g} L{back_x + 4 * dy:g} {back_y + 4 * dx:g} L{back_x - 4 * dy:g} {back_y - 4 * dx:g} Z"
    return f'<path class="line" d="{path}"/>\n<path class="tip" d="{tip}"/>'
