"""Draws measurements as bars, in an SVG file."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path

from measure import Contender


@dataclass(frozen=True)
class Panel:
    """One set of bars.

    Attributes:
        title: names the figures, and the direction in which they are better.
        figures: by contender, one per round; the median, the least and the greatest are drawn.
    """

    title: str
    figures: dict[str, list[float]]


def panel(title: str, contenders: list[Contender], key: str = "wall") -> Panel:
    """Return a panel of the contenders that were measured."""
    return Panel(title, {one.name.replace("`", ""): figures for one in contenders if (figures := one.figures(key))})


def save(path: Path, heading: str, panels: list[Panel]) -> None:
    """Draw panels below each other. The same figures always give the same file.

    Args:
        path: SVG file to write.
        heading: heading above all panels.
        panels: the panels; those without figures are left out.
    """
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    mpl.rcParams.update({"svg.hashsalt": "xllama", "svg.fonttype": "none", "font.size": 9})
    drawn = [panel for panel in panels if panel.figures]
    heights = [len(panel.figures) + 1.5 for panel in drawn]
    figure, axes = pyplot.subplots(
        len(drawn), 1, figsize=(8, 0.32 * sum(heights) + 0.5), height_ratios=heights, squeeze=False
    )
    for panel_, axis in zip(drawn, axes[:, 0], strict=True):
        names = list(panel_.figures)
        medians = [statistics.median(figures) for figures in panel_.figures.values()]
        below = [middle - min(figures) for middle, figures in zip(medians, panel_.figures.values(), strict=True)]
        above = [max(figures) - middle for middle, figures in zip(medians, panel_.figures.values(), strict=True)]
        colours = ["#3b6ea5" if name.startswith("Engine") else "#b8bfc6" for name in names]
        axis.barh(names, medians, color=colours, xerr=(below, above), error_kw={"lw": 0.8, "capsize": 2})
        axis.invert_yaxis()
        axis.set_title(panel_.title, loc="left", fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(heading, x=0.01, ha="left", fontsize=10)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
