"""Draw t against seeds with the bounds of looks, from our records and one invented study: `looks.svg`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import special

from gan_bench.config.design import LOOKS
from gan_bench.config.measures import primary_measure
from gan_bench.report.study.looks import level
from gan_bench.report.study.stats import ALPHA
from gan_bench.report.study.studies import read_studies

RECORDS = Path(__file__).parents[1] / "results" / "published" / "amd-epyc-2-cores"
SUITE = "mnist-cpu"
PAIRS = {
    "decided": ("mnist-dcgan · lr 3e-4 · β₁ 0.5", "mnist-dcgan · lr 2e-4 · β₁ 0.5"),
    "open": ("mnist-dcgan · lr 3e-4 · β₁ 0.9", "mnist-dcgan · lr 2e-4 · β₁ 0.9"),
}
"""Settings whose log FIDs are compared, second against first."""
NOTHING = 229
"""Seed of an invented study without a difference that one look at five seeds would have called decided."""
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 900, 400, 60, 250, 20, 50
STEEPEST = 5.0
STYLE = (
    "text{font:14px sans-serif;fill:#263238}path{fill:none;stroke-width:2}.axis{stroke:#90a4ae;stroke-width:1}"
    ".bound{stroke:#c62828}.naive{stroke:#90a4ae;stroke-dasharray:5 4}.one{stroke:#00796b}.two{stroke:#1565c0}"
    ".none{stroke:#9e9e9e}circle{stroke:none}"
    ".one circle{fill:#00796b}.two circle{fill:#1565c0}.none circle{fill:#9e9e9e}"
    ".red{fill:#c62828}.middle{text-anchor:middle}"
    "@media(prefers-color-scheme:dark){svg{background:#1e2129}text{fill:#eceff1}.red{fill:#ef9a9a}.bound{stroke:#ef9a9a}}"
)


def statistics(gaps: NDArray[np.float64]) -> list[tuple[int, float]]:
    """Return t of the first two, three, … differences."""
    return [(n, float(gaps[:n].mean() / gaps[:n].std(ddof=1) * np.sqrt(n))) for n in range(2, len(gaps) + 1)]


def of_records() -> dict[str, list[tuple[int, float]]]:
    """Return the paths of our pairs, over the seeds that the records have."""
    (study,) = [each for each in read_studies(RECORDS)[1] if each.suite == SUITE]
    values = study.trials.assign(value=study.trials["trial"].map(study.scored[0].final()[primary_measure()]))
    wide = np.log(values.pivot_table(index="seed", columns="label", values="value"))
    return {name: statistics((wide[b] - wide[a]).to_numpy()) for name, (a, b) in PAIRS.items()}


def _x(seeds: float) -> float:
    return LEFT + (seeds - 1.5) / (LOOKS[-1] - 1.0) * (WIDTH - LEFT - RIGHT)


def _y(t: float) -> float:
    return TOP + (STEEPEST - min(max(t, -STEEPEST), STEEPEST)) / (2 * STEEPEST) * (HEIGHT - TOP - BOTTOM)


def _line(kind: str, points: Sequence[tuple[float, float]], *, dots: bool = False) -> str:
    path = "L".join(f"{_x(n):.0f} {_y(t):.0f}" for n, t in points)
    marks = "".join(f'<circle cx="{_x(n):.0f}" cy="{_y(t):.0f}" r="4"/>' for n, t in points) if dots else ""
    return f'<g class="{kind}"><path class="{kind}" d="M{path}"/>{marks}</g>'


def _text(x: float, y: float, words: str, kind: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}"{f" class={chr(34)}{kind}{chr(34)}" if kind else ""}>{words}</text>'


def picture() -> str:
    """Return the drawing as SVG."""
    bounds = {n: float(special.stdtrit(n - 1, 1 - level(LOOKS, n) / 2)) for n in LOOKS}
    naive = [(n, float(special.stdtrit(n - 1, 1 - ALPHA / 2))) for n in range(LOOKS[0], LOOKS[-1] + 1)]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        "<title>t over the number of seeds, with the bounds at 5, 8 and 12 seeds</title>",
        f"<style>{STYLE}</style>",
        _line("axis", [(1.5, 0), (LOOKS[-1] + 0.5, 0)]),
    ]
    parts += [_text(LEFT - 34, _y(t) + 5, f"{t:+d}" if t else "0") for t in range(-4, 5, 2)]
    parts += [_text(_x(n), HEIGHT - BOTTOM + 22, str(n), "middle") for n in range(2, LOOKS[-1] + 1)]
    parts.append(_text(_x(7), HEIGHT - 6, "seeds", "middle"))
    for sign in (1, -1):
        parts.append(_line("naive", [(n, sign * t) for n, t in naive]))
        for n, t in bounds.items():
            parts.append(_line("bound", [(n - 0.35, sign * t), (n + 0.35, sign * t)]))
            parts.append(_line("bound", [(n, sign * t), (n, sign * STEEPEST)]))
    for n, t in bounds.items():
        parts.append(_text(_x(n) + 8, _y(t) - 8, f"{t:.2f}", "red"))
    drawn = np.random.default_rng(NOTHING).normal(size=LOOKS[-1])
    paths = {"one": of_records()["decided"], "two": of_records()["open"], "none": statistics(drawn)}
    parts += [_line(kind, points, dots=True) for kind, points in paths.items()]
    side = WIDTH - RIGHT + 16
    said = (
        ("red", "red: what a look has to reach"),
        ("", "dashed: one look alone"),
        ("", ""),
        ("", "green: DCGAN, β₁ 0.5,"),
        ("", "lr 2e-4 against 3e-4: decided"),
        ("", "blue: the same with β₁ 0.9:"),
        ("", "would go on to eight seeds"),
        ("", ""),
        ("", "grey: an invented study without"),
        ("", "a difference, which one look at"),
        ("", "five seeds would have decided"),
    )
    parts += [_text(side, TOP + 24 + 26 * i, words, kind) for i, (kind, words) in enumerate(said) if words]
    return "\n".join([*parts, "</svg>", ""])
