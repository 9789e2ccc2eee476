"""Drawing of plots: style, axes, legends, and the SVG of a figure."""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from gan_bench.core.text import slug
from gan_bench.report.study.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEWEST_TICKS, MOST_TICKS = 3, 9
"""Labels of a logarithmic axis."""
WRAP = 26
"""Characters of a line beside a factor plot."""
WIDTH = 4.25
"""Inches of a plot. On a page 390 pixels wide its text of 9 points is then 10 pixels high."""
INK = "#010203"
"""Placeholder for the colour of text, replaced by the page's."""
STYLE: dict[str, object] = {
    "svg.hashsalt": "gan_bench",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.color": INK,
    "legend.frameon": False,
    "savefig.transparent": True,
    "figure.constrained_layout.use": True,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor"), INK),
    **dict.fromkeys(("xtick.color", "ytick.color"), INK),
}


@dataclass(frozen=True)
class Plot:
    """A plot.

    Attributes:
        name: Name of its file.
        title: One line above it.
        description: What it shows, for those who cannot see it.
        svg: The image, in the page's own text colour.
        part: The section of the page that it stands in.
    """

    name: str
    title: str
    description: str
    svg: str
    part: str


def new_plot(height: float = 3.4) -> tuple[Figure, Axes]:
    """Return a figure of the width that all plots have, and of this height in inches, with its one plot."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height))
    return figure, figure.subplots()


def log_scale(axes: Axes, which: Literal["x", "y"], *, whole: bool = False) -> None:
    """Make an axis logarithmic with plain numbers as labels; matplotlib's are TeX.

    Args:
        axes: The plot, after everything is drawn.
        which: Of its two axes.
        whole: Whether its values are whole numbers.
    """
    from matplotlib.ticker import NullLocator

    getattr(axes, f"set_{which}scale")("log")
    low, high = getattr(axes, f"get_{which}lim")()
    ticks = [tick for tick in log_ticks(low, high) if not whole or tick == int(tick)]
    axis = getattr(axes, f"{which}axis")
    axis.set_minor_locator(NullLocator())
    axis.set_ticks(ticks, [_tick_label(tick) for tick in ticks])


def _tick_label(value: float) -> str:
    """Write a number without an exponent, unless it would have many zeros."""
    return np.format_float_positional(value, trim="-") if 1e-4 <= value < 1e7 else f"{value:g}"


def log_ticks(low: float, high: float) -> list[float]:
    """Return about three to ten plain numbers for a logarithmic axis of any span.

    Args:
        low: Its least value, above 0.
        high: Its greatest value.

    >>> log_ticks(0.9, 60)
    [1.0, 2.0, 5.0, 10.0, 20.0, 50.0]
    >>> log_ticks(61, 88)
    [65.0, 70.0, 75.0, 80.0, 85.0]
    >>> log_ticks(0.3, 2e6)
    [1.0, 10.0, 100.0, 1000.0, 10000.0, 100000.0, 1000000.0]
    """
    from matplotlib.ticker import MaxNLocator

    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1,)):
        ticks = [float(f"{step}e{decade}") for decade in decades[:: -(-len(decades) // MOST_TICKS)] for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= MOST_TICKS:
            break
    if len(ticks) >= FEWEST_TICKS:
        return ticks
    decade = max(math.floor(math.log10(high)), -300)  # below that a power of ten is no whole float
    scale = 10.0**decade
    even = MaxNLocator(2 * FEWEST_TICKS, steps=[1, 2, 5, 10]).tick_values(low / scale, high / scale)
    return [tick for each in even if low <= (tick := float(f"{each:.12f}e{decade}")) <= high]


def name_parts(figure: Figure, x: str, y: str) -> None:
    """Label the axes, and put the legend below the plot, in two columns if they fit."""
    (axis,) = figure.axes
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    names = axis.get_legend_handles_labels()[1]
    figure.legend(loc="outside lower center", ncols=1 if max(map(len, names), default=0) > WRAP else 2)


def finish(figure: Figure, study: Study, what: str, title: str, description: str, part: str = "curves") -> Plot:
    """Write a figure as SVG in the page's text colour, with unique ids.

    Args:
        figure: The figure.
        study: What it shows.
        what: Ends the name of its file.
        title: One line above it.
        description: What it shows, for those who cannot see it.
        part: The section of the page that it stands in.
    """
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    name = slug(study.slug, "plot", what)
    svg = re.sub(r'(id="|href="#|url\(#)', lambda found: f"{found[1]}{name}-", svg)  # several share one page
    return Plot(name, title, description, svg, part)


def standalone(svg: str) -> str:
    """Return a plot as a file of its own, with colours for light and dark."""
    dark = "@media(prefers-color-scheme:dark){svg{color:#ddd;background:#16181d}}"
    style = f"<style>svg{{color:#222;background:#fff}}{dark}</style>"
    start = svg.index(">") + 1
    return f'<?xml version="1.0" encoding="utf-8"?>\n{svg[:start]}{style}{svg[start:]}'
