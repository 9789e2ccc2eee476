"""How often the verdicts of a report are wrong, and how often they find what is there.

    python benchmarks/statistics/simulate.py [RESULTS...] [--studies 200000] [--out results/published/statistics]

Every study draws the final FIDs of two settings over n seeds and compares them as a report does: a paired t test on
differences or on log ratios, its p value at least ``coincidence(n)``, corrected for the m comparisons of a table. Where
all m comparisons are between equal settings, a study errs when its smallest p is at most 0.05 / m, which is Holm's
first step. ``sequential.py`` has the studies with looks. With RESULTS, values as those of its records are drawn as
well (``records.py``); this takes most of the time.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent))
import records
import sequential

from gan_bench.core.atomic import write_atomically
from gan_bench.report.findings.verdicts import correct_for_choice
from gan_bench.report.study.stats import ALPHA, paired_test
from gan_bench.report.study.studies import read_studies
from gan_bench.report.study.study import ScoredStudy

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]

SEEDS = (2, 3, 4, 5, 8, 10)
SHOWN = (3, 5, 10)
FAMILIES = (1, 3, 9)
FACTORS = (1.25, 1.5, 2.0)
SPREADS = (0.1, 0.2, 0.4)
"""Standard deviations of log FID over seeds."""
CHUNK = 20_000


def log_normal(sigma: float) -> Draw:
    return lambda generator, shape: 100 * np.exp(generator.normal(0, sigma, shape))


def collapsing(share: float) -> Draw:
    """Runs of FID 100 with a spread of 10 %, a share of which collapses to about four times as much."""

    def draw(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return log_normal(0.1)(generator, shape) * np.where(generator.random(shape) < share, 4.0, 1.0)

    return draw


NULLS: dict[str, Draw] = {
    "normal, sd 10 %": lambda generator, shape: generator.normal(100, 10, shape),
    "log-normal, sigma 0.1": log_normal(0.1),
    "log-normal, sigma 0.5": log_normal(0.5),
    "log-normal, sigma 1": log_normal(1.0),
    "Student's t, 3 degrees, sd 17 %": lambda generator, shape: np.maximum(
        100 + 10 * generator.standard_t(3, shape), 1
    ),
    "20 % of runs collapse": collapsing(0.2),
    "50 % of runs collapse": collapsing(0.5),
}
"""Both settings are drawn from the same distribution."""
UNEQUAL = {
    "equal geometric means, sigma 0.1 and 0.5": (log_normal(0.1), log_normal(0.5)),
    "equal means, sigma 0.1 and 0.5": (
        log_normal(0.1),
        lambda generator, shape: log_normal(0.5)(generator, shape) * np.exp((0.1**2 - 0.5**2) / 2),
    ),
}
"""Settings that are equal in one sense only: log ratios test the first, differences the second."""


def differences(a: Array, b: Array, scale: str) -> Array:
    return np.log(b) - np.log(a) if scale == "log ratio" else b - a


def share_below(first: Draw, second: Draw, n: int, tests: int, scale: str, studies_: int, *, any_test: bool) -> float:
    """Return the share of studies with a decision.

    Args:
        first: Draws the FIDs of A.
        second: Draws those of B.
        n: Seeds.
        tests: Comparisons of the table.
        scale: ``log ratio`` or ``difference``.
        studies_: Studies.
        any_test: Whether any comparison counts, or the first one alone (power).
    """
    generator, hits = np.random.default_rng(n * 100 + tests), 0
    for start in range(0, studies_, CHUNK):
        shape = (min(CHUNK, studies_ - start), tests if any_test else 1, n)
        p = paired_test(differences(first(generator, shape), second(generator, shape), scale))
        hits += int((p.min(axis=1) <= ALPHA / tests).sum())
    return hits / studies_


def residuals_of(all_scored: list[ScoredStudy]) -> Array:
    """Return how final log FIDs differ from the mean of their setting, widened to the spread they estimate."""
    values = [logs for scored in all_scored for _, logs, _ in records.final_logs(scored, fewest=2)]
    return np.concatenate([(logs - logs.mean()) * np.sqrt(len(logs) / (len(logs) - 1)) for logs in values])


def from_records(residuals: Array) -> Draw:
    return lambda generator, shape: 100 * np.exp(generator.choice(residuals, shape))


def errors(nulls: dict[str, Draw], studies_: int) -> Iterator[dict[str, object]]:
    pairs = {name: (draw, draw) for name, draw in nulls.items()} | UNEQUAL
    for name, (first, second) in pairs.items():
        for scale in ("difference", "log ratio"):
            row: dict[str, object] = {"two equal settings": name, "test on": scale}
            for n in SEEDS:
                for tests in FAMILIES:
                    share = share_below(first, second, n, tests, scale, studies_, any_test=True)
                    row[f"{n} seeds, {tests} tests"] = share
            yield row


def power(residuals: Array | None, studies_: int) -> Iterator[dict[str, object]]:
    draws: dict[str, Draw] = {f"log-normal, sigma {sigma}": log_normal(sigma) for sigma in SPREADS}
    if residuals is not None:
        draws["our records"] = from_records(residuals)
    for (name, draw), factor, scale in product(draws.items(), FACTORS, ("difference", "log ratio")):
        row: dict[str, object] = {"spread over seeds": name, "true factor": factor, "test on": scale}

        def better(
            generator: np.random.Generator, shape: tuple[int, ...], draw: Draw = draw, f: float = factor
        ) -> Array:
            return draw(generator, shape) / f

        for n in SHOWN:
            for tests in FAMILIES:
                share = share_below(draw, better, n, tests, scale, studies_, any_test=False)
                row[f"{n} seeds, {tests} tests"] = share
        yield row


def choices(studies_: int) -> Iterator[dict[str, object]]:
    """Yield how often some of K equal settings is called worse than the best of them, which the same data chose."""
    for settings in (2, 4, 8, 13, 16):
        row: dict[str, object] = {"equal settings": settings}
        for n in (5, 10):
            generator, hits, done = np.random.default_rng(settings * 100 + n), 0, 0
            while done < studies_:
                values = generator.normal(0, 0.2, (min(CHUNK // settings, studies_ - done), settings, n))
                order = np.argsort(np.median(values, axis=2), axis=1)
                ranked = np.take_along_axis(values, order[:, :, None], axis=1)
                gaps = ranked[:, 1:] - ranked[:, :1]
                p = np.where(gaps.mean(axis=2) > 0, paired_test(gaps), 1.0)
                lowest = [correct_for_choice([smallest] + [1.0] * (settings - 2))[0] for smallest in p.min(axis=1)]
                hits += int((np.array(lowest) <= ALPHA).sum())
                done += len(values)
            row[f"{n} seeds"] = hits / studies_
        yield row


FAMILY = re.compile(r"(.*), (\d+) tests")


def readable(frame: pd.DataFrame) -> str:
    """Write shares in percent, those of one, three and more comparisons in one cell."""
    families: dict[str, list[str]] = {}
    for column in map(str, frame.columns):
        match = FAMILY.fullmatch(column)
        families.setdefault(match[1] if match else column, []).append(column)
    shown = {}
    for name, columns in families.items():
        cells = [frame[column].map(_cell) for column in columns]
        counts = ", ".join(FAMILY.fullmatch(column)[2] for column in columns) if columns != [name] else ""  # type: ignore[index]
        shown[f"{name}: {counts} tests" if counts else name] = [", ".join(row) for row in zip(*cells, strict=True)]
    return pd.DataFrame(shown).to_markdown(index=False, disable_numparse=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="*", help="results folders whose spread over seeds is drawn too")
    parser.add_argument("--only", nargs="*", help="names of the tables to make; all when left out")
    parser.add_argument("--suite", default="mnist-cpu", help="suite that --until decided is tried on")
    parser.add_argument("--studies", type=int, default=200_000)
    parser.add_argument("--out", type=Path, default=Path("results/published/statistics"))
    asked = parser.parse_args()
    all_scored = [scored for path in asked.results for study in read_studies(path)[1] for scored in study.scored]
    residuals = residuals_of(all_scored) if all_scored else None
    nulls, with_looks = dict(NULLS), list(sequential.NULLS)
    tables: dict[str, Iterator[dict[str, object]]] = {}
    if residuals is not None:
        nulls["our records"] = from_records(residuals)
        print(f"{len(residuals)} residuals of log FID, standard deviation {residuals.std():.3f}")
        chosen = next(scored for scored in all_scored if scored.study.suite == asked.suite)
        with_looks += sequential.of_records([(logs, flags) for _, logs, flags in records.final_logs(chosen)])
        tables["measures"] = records.measures(all_scored)
        tables["until-decided"] = records.until(
            chosen, max(2, asked.studies // 1000), (sequential.LOOKS, sequential.LONG)
        )
    tables |= {
        "errors": errors(nulls, asked.studies),
        "power": power(residuals, asked.studies),
        "best": choices(asked.studies // 4),
        "looks-errors": sequential.errors(with_looks, asked.studies),
        "looks-power": sequential.power(asked.studies),
        "looks-peeking": sequential.peeking(asked.studies),
        "looks-estimates": sequential.estimates(asked.studies),
        "looks-equivalence": sequential.equivalence(asked.studies),
        "looks-both-claims": sequential.both_claims(asked.studies // 4),
    }
    asked.out.mkdir(parents=True, exist_ok=True)
    for name in asked.only or tables:
        rows = tables[name]
        frame = pd.DataFrame(rows)
        write_atomically(asked.out / f"{name}.csv", frame.to_csv(index=False, float_format="%.5f"))
        text = readable(frame)
        write_atomically(asked.out / f"{name}.md", text + "\n")
        print(f"\n{name}\n{text}", flush=True)


def _cell(value: object) -> str:
    """Write a share in percent, another number with four digits."""
    if not isinstance(value, float):
        return str(value)
    return "" if math.isnan(value) else f"{value:.1%}" if abs(value) <= 1 else f"{value:.4g}"


if __name__ == "__main__":
    main()
