"""Simulated comparisons of two folders in which runs collapse: how often ``compare`` calls the newer one worse.

Runs collapse at random, each with its setting's rate, and ``gan_bench.report.compare.collapses`` judges the counts:

    python benchmarks/statistics/collapses.py --out FOLDER

writes ``collapses-errors`` (equal rates in both folders) and ``collapses-power`` (rates that grow), shares of
comparisons that are worse.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from gan_bench.report.compare.collapses import Collapses, worse_settings, worse_together

SEEDS = (3, 5, 12)
SETTINGS = (1, 4, 13)
EQUAL = (0.05, 0.1, 0.2, 0.3, 0.5)
RATES = ((0.0, 0.2), (0.0, 0.4), (0.0, 1.0), (0.1, 0.4), (0.1, 1.0))
"""Of a setting that got worse: its rate in the older folder, which is that of all others in both, and in the newer."""


@cache
def is_worse(counts: tuple[tuple[int, int], ...], seeds: int) -> tuple[bool, bool]:
    """Return whether a setting is worse, and whether all are together, of those in which a run collapsed."""
    settings = [Collapses("study", str(i), old, new, seeds) for i, (old, new) in enumerate(counts)]
    return bool(worse_settings(settings)), bool(worse_together(settings))


def share(
    generator: np.random.Generator, old: Sequence[float], new: Sequence[float], seeds: int, studies: int
) -> float:
    """Return the share of comparisons that are worse.

    Args:
        generator: Source of the collapses.
        old: (settings,) rates in the older folder.
        new: (settings,) rates in the newer one.
        seeds: Runs of a setting on either side.
        studies: How many comparisons.
    """
    before, after = (generator.binomial(seeds, rates, (studies, len(rates))) for rates in (old, new))
    tables = zip(before.tolist(), after.tolist(), strict=True)
    counts = (sorted((a, b) for a, b in zip(*rows, strict=True) if a + b) for rows in tables)
    return sum(any(is_worse(tuple(table), seeds)) for table in counts) / studies


def errors(generator: np.random.Generator, studies: int) -> Iterator[dict[str, object]]:
    """Yield rows of comparisons in which nothing changed."""
    for settings in SETTINGS:
        kinds = {f"{rate:.0%} in all": [rate] * settings for rate in EQUAL}
        if settings > 1:
            half = settings // 2
            kinds["50% in half of them, else 0%"] = [0.5] * half + [0.0] * (settings - half)
            kinds["50% in two of them, else 0%"] = [0.5] * 2 + [0.0] * (settings - 2)
        for name, rates in kinds.items():
            yield {"settings": settings, "runs that collapse": name} | {
                f"{seeds} seeds": share(generator, rates, rates, seeds, studies) for seeds in SEEDS
            }


def power(generator: np.random.Generator, studies: int) -> Iterator[dict[str, object]]:
    """Yield rows of comparisons in which more runs collapse: of one setting, or of all."""
    for settings in SETTINGS:
        for old, new in RATES:
            for changed in sorted({1, settings}):
                rates = [old] * settings, [new] * changed + [old] * (settings - changed)
                yield {"settings": settings, "collapse in": f"{old:.0%} -> {new:.0%}", "of": f"{changed} of them"} | {
                    f"{seeds} seeds": share(generator, *rates, seeds, studies) for seeds in SEEDS
                }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=20_000, help="simulated comparisons of each kind")
    parser.add_argument("--out", type=Path, default=Path("results/published/statistics"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    for name, rows in (("errors", errors), ("power", power)):
        frame = pd.DataFrame(rows(np.random.default_rng(0), asked.studies))
        frame.to_csv(asked.out / f"collapses-{name}.csv", index=False)
        shown = frame.copy()
        for column in (f"{seeds} seeds" for seeds in SEEDS):
            shown[column] = frame[column].map("{:.1%}".format)
        (asked.out / f"collapses-{name}.md").write_text(shown.to_markdown(index=False) + "\n")
        print(shown.to_string(index=False))


if __name__ == "__main__":
    main()
