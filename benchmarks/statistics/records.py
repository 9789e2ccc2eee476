"""What our own records say of looks: ``run --until decided`` on runs simulated from them, and which measure decides."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gan_bench.config.design import Design
from gan_bench.config.measures import COLLAPSED, MEASURES, primary_measure
from gan_bench.records.plan import Suites
from gan_bench.report.findings.factors import factor_tables
from gan_bench.report.findings.pairs import paired
from gan_bench.report.findings.proposals import questions
from gan_bench.report.findings.standings import standings
from gan_bench.report.study.frame import Frames
from gan_bench.report.study.stats import ALPHA
from gan_bench.report.study.study import ScoredStudy, Study

Array = NDArray[np.float64]
FIVE = 5


@dataclass(frozen=True)
class Spread:
    """How one setting's final log FID lies over seeds.

    Attributes:
        group: Its group key.
        clean: Mean and standard deviation over the runs that did not collapse.
        collapsed: Mean over those that did.
        share: Of runs that collapse.
    """

    group: str
    clean: tuple[float, float]
    collapsed: float
    share: float

    @property
    def mean(self) -> float:
        """The true mean of log FID."""
        return (1 - self.share) * self.clean[0] + self.share * self.collapsed

    def draw(self, generator: np.random.Generator, seeds: int) -> tuple[Array, NDArray[np.bool_]]:
        """Draw log FIDs, and which runs collapsed."""
        collapsed = generator.random(seeds) < self.share
        return np.where(collapsed, self.collapsed, self.clean[0]) + generator.normal(0, self.clean[1], seeds), collapsed


def final_logs(scored: ScoredStudy, fewest: int = FIVE) -> Iterator[tuple[str, Array, NDArray[np.bool_]]]:
    """Yield group, final log FIDs and collapses of every setting of which so many runs were scored."""
    final = scored.final()
    for setting in scored.study.settings:
        done = setting.done
        values = done["trial"].map(final[primary_measure()]).dropna()
        if len(values) >= fewest:
            flags = done.loc[values.index, "trial"].map(final[COLLAPSED]) > 0
            yield str(done["group"].iloc[0]), np.log(values.to_numpy(dtype=float)), flags.to_numpy()


def spreads_of(scored: ScoredStudy) -> list[Spread]:
    """Return how the settings of a study spread; where all runs collapsed, that is how the setting is."""
    found = []
    for group, logs, flags in final_logs(scored):
        clean = logs if flags.all() else logs[~flags]
        sd = float(clean.std(ddof=1)) if len(clean) > 1 else float(logs.std(ddof=1))
        share = 0.0 if flags.all() else float(flags.mean())
        found.append(Spread(group, (float(clean.mean()), sd), float(logs[flags].mean()) if flags.any() else 0.0, share))
    return found


class SimulatedRuns:
    """A study of invented runs, of settings that spread as those of records.

    Args:
        scored: The study whose settings, values and protocol are taken.
        spreads: Of its settings.
        generator: Source of the runs.
        looks: Of its design.
    """

    def __init__(
        self, scored: ScoredStudy, spreads: list[Spread], generator: np.random.Generator, looks: tuple[int, ...]
    ) -> None:
        self._scored, self._design = scored, Design.of_looks(looks)
        runs = {each.group: each.draw(generator, looks[-1]) for each in spreads}
        known = scored.study.trials.drop_duplicates("group").set_index("group", drop=False)
        scores = scored.study.scores
        row = scores[(scores["protocol"] == scored.protocol) & (scores["metric"] == primary_measure())].iloc[0]
        self._trials, self._scores = [], []
        for group, (logs, collapsed) in runs.items():
            start = known.loc[group].to_dict()
            for seed, (value, is_collapsed) in enumerate(zip(logs, collapsed, strict=True)):
                name = f"{start['name']}/{seed}"
                self._trials.append({**start, "seed": seed, "trial": name, "name": name, "status": "done"})
                known_values = {primary_measure(): math.exp(value), COLLAPSED: float(is_collapsed)}
                for metric, number in known_values.items():
                    self._scores.append(
                        {"trial": name, "epoch": start["epochs_done"], "metric": metric, "protocol": scored.protocol,
                         "value": number, "draw_std": number * 0.005, "train_seconds": row["train_seconds"],
                         "added": False}
                    )  # fmt: skip

    def study(self, seeds: Mapping[str, int]) -> Study:
        """Return what is known after so many seeds of every setting."""
        base = self._scored.study
        trials = pd.DataFrame([row for row in self._trials if row["seed"] < seeds[row["group"]]])
        frames = Frames(trials, pd.DataFrame(self._scores), base.history[:0], base.steps[:0])
        designs = {(base.suite, 1, base.profile, base.dataset): self._design}
        return Study(trials, frames, Suites(versions={base.suite: 1}, designs=designs), trials[:0])

    @property
    def groups(self) -> list[str]:
        """Group keys of its settings."""
        return sorted({row["group"] for row in self._trials})


def claims(study: Study) -> Iterator[tuple[str, str]]:
    """Yield what a study decides between two settings: group key of the better one, then of the other."""
    group = {label: key for key, label in study.values.labels.items()}
    for scored in study.scored:
        found = standings(scored)
        for each in found.of("behind"):
            yield group[found.ranked[0].label], group[each.label]
        for table in factor_tables(scored):
            rows = table.rows[(table.rows["key"] == primary_measure()) & (table.rows["found"] == "decided")]
            for row in rows.to_dict("records"):
                sides = [group[label] for label in row["settings"]]
                if len(sides) == 2:
                    yield _ordered(study, scored, sides)


def _ordered(study: Study, scored: ScoredStudy, sides: list[str]) -> tuple[str, str]:
    """Return two settings, the one with the less log FID over the seeds that both have first."""
    final = scored.final()[primary_measure()]
    wide = study.trials.assign(value=study.trials["trial"].map(final)).pivot_table(
        index="seed", columns="group", values="value"
    )[sides].dropna()  # fmt: skip
    gap = float((np.log(wide[sides[1]]) - np.log(wide[sides[0]])).mean())
    return (sides[0], sides[1]) if gap > 0 else (sides[1], sides[0])


def until_decided(simulated: SimulatedRuns, looks: tuple[int, ...]) -> tuple[Study, int]:
    """Give settings seeds look by look as ``run --until decided`` does; return the study and its trials."""
    seeds = dict.fromkeys(simulated.groups, looks[0])
    while True:
        study = simulated.study(seeds)
        wanted = dict(seeds)
        for question in questions(study):
            for setting in question.settings:
                wanted[setting] = max(wanted[setting], question.next or 0)
        if wanted == seeds:
            return study, sum(seeds.values())
        seeds = wanted


def until(scored: ScoredStudy, studies: int, designs: tuple[tuple[int, ...], ...]) -> Iterator[dict[str, object]]:
    """Yield what ``--until decided`` costs and claims beside a fixed study of as many seeds."""
    spreads = spreads_of(scored)
    truth = {each.group: each.mean for each in spreads}
    for looks in designs:
        trials, right, said, found, known = 0, 0, 0, 0, 0
        generator = np.random.default_rng(len(looks))
        for _ in range(studies):
            simulated = SimulatedRuns(scored, spreads, generator, looks)
            study, count = until_decided(simulated, looks)
            made = set(claims(study))
            whole = simulated.study(dict.fromkeys(simulated.groups, looks[-1]))
            whole.design = Design.fixed(range(looks[-1]))
            every = set(claims(whole))
            trials += count
            said += len(made)
            right += sum(truth[better] < truth[worse] for better, worse in made)
            known += len(every)
            found += len(every & made)
        yield {
            "looks": ", ".join(map(str, looks)),
            "studies": studies,
            "trials": trials / studies,
            "trials of the fixed study": float(len(spreads) * looks[-1]),
            "share of trials": trials / studies / (len(spreads) * looks[-1]),
            "decided": said / studies,
            "decided by the fixed study": known / studies,
            "of these decided": found / known,
            "with the true sign": right / said,
        }


def measures(all_scored: list[ScoredStudy]) -> Iterator[dict[str, object]]:
    """Yield by measure how many of the pairs of settings five seeds tell apart, and how noisy scoring is.

    Pairs are all of two settings of a study whose first five seeds were scored and neither of which collapsed. The
    test is the paired one at 0.05, not corrected. The images that are needed are those with which scoring adds at most
    a tenth to the variance over seeds, if its variance falls with their number.
    """
    for metric, measure in MEASURES.items():
        if metric == COLLAPSED:
            continue
        pairs, decided, noise, spread, gaps, images = 0, 0, list[float](), list[float](), list[float](), list[int]()
        for scored in all_scored:
            values, draws = scored.final()[metric], scored.final("draw_std")[metric]
            sides = dict(_first_five(scored, values))
            for first, second in combinations(sides.values(), 2):
                pair = paired(metric, first, second)
                pairs += 1
                decided += pair.p <= ALPHA
                gaps.append(float(pair.values.std(ddof=1)))
            for rows in sides.values():
                scaled = np.log(rows) if measure.log_scale and (rows > 0).all() else rows
                spread.append(float(scaled.var(ddof=1)))
            scale = values.abs() if measure.log_scale else 1.0
            noise += ((draws / scale) ** 2).replace([np.inf], np.nan).dropna().tolist()
            images.append(scored.protocol.generated)
        if not pairs:
            continue
        of_scoring, of_seeds = float(np.mean(noise)) if noise else math.nan, float(np.median(spread))
        yield {
            "measure": measure.title,
            "on": "ratios" if measure.log_scale else "differences",
            "pairs": pairs,
            "decided by five seeds": decided / pairs,
            "spread of a difference": f"{np.median(gaps):.2g}",
            "spread over seeds": f"{math.sqrt(of_seeds):.2g}",
            "noise of scoring": f"{math.sqrt(of_scoring):.2g}",
            "images": max(images),
            "images needed": f"{10 * of_scoring / of_seeds * max(images):.2g}" if of_seeds > 0 else "",
        }


def _first_five(scored: ScoredStudy, values: pd.Series[float]) -> Iterator[tuple[str, Array]]:
    collapsed = scored.final()[COLLAPSED]
    for setting in scored.study.settings:
        first = setting.done.sort_values("seed")[:FIVE]
        numbers: Any = first["trial"].map(values).astype(float)
        if len(first) == FIVE and numbers.notna().all() and not (first["trial"].map(collapsed) > 0).any():
            yield str(first["group"].iloc[0]), numbers.to_numpy()
