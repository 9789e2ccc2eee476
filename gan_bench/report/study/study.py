"""The trials of one suite on one dataset under one profile, which may be compared, and views for tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import pandas as pd

from gan_bench.config.design import Design
from gan_bench.config.measures import COLLAPSED, COPIES, MEASURES, primary_measure
from gan_bench.config.naming import plain, title
from gan_bench.core.text import slug
from gan_bench.records.plan import Suites
from gan_bench.records.record import Protocol
from gan_bench.records.schema import STATISTICS, Baseline, ScoreLine
from gan_bench.report.study.frame import BAD, COSTS, FAULTY, IMAGES, Frames
from gan_bench.report.study.settings import settings_of
from gan_bench.report.study.table import RANKED, Column, Table, name_table, profile_mark

NETWORK = ("architecture", "latent_dim", "latent", "init")
"""Fields of a trial, besides the seed, that determine its untrained generator."""
Network = tuple[object, ...]
"""Their values."""
_SETTING_COLUMNS = [
    *("trial", "seed", "status", "group", "label", "suite_setting", "recipe", "config", "epochs", "probabilities"),
    *(*STATISTICS, *COSTS, "path", *NETWORK),
]


class Study:
    """Comparable trials: of one suite, profile, dataset and image size.

    Args:
        trials: One row per trial, as ``build_frames`` makes them.
        frames: Scores, histories and steps of these trials, and of others too.
        suites: What is known of their suite besides.
        others: The trials of the same suite and profile that are in other studies.
        outdated: The version of the suite that its trials are of, where the suite has a newer one; else None.

    Attributes:
        suite: Name of the suite.
        profile: ``full`` or ``quick``.
        dataset: Name of the dataset.
        image_size: Height and width of its images.
        version: The newest version of the suite that a trial of it is of.
        values: Its settings as values.
        protocols: Its scores by protocol, those that were added later last.
        baselines: Scores of real images of the suite.
        command: What the suite was last run with, or None where no record says so.
        design: Which seeds its verdicts are made at; where none is declared a fixed list, those of its trials.
        withdrawn: Rows of trials that have not ended and are no longer planned: nothing waits for them. Those of a
            dataset that has no study any more are with another one of their suite.
        whole: Rows of the trials of its suite that are not cut down: of a quick study those that it is a trial run of.
    """

    def __init__(
        self, trials: pd.DataFrame, frames: Frames, suites: Suites, others: pd.DataFrame, outdated: int | None = None
    ) -> None:
        self.values = settings_of(dict(zip(trials["group"], trials["config"], strict=True)))
        trials = trials.assign(
            label=trials["group"].map(self.values.labels), recipe=trials["group"].map(self.values.recipes)
        )
        self.suite, self.profile, self.dataset = (str(trials[name].iloc[0]) for name in ("suite", "profile", "dataset"))
        self.image_size = int(trials["image_size"].iloc[0])
        self.trials, self.others, self.outdated = trials, others, outdated
        self.withdrawn = self.whole = trials.iloc[:0]
        self.set_histories(frames.history, frames.steps)
        self.baselines = suites.baselines.get(self.suite, [])
        self.command = None if outdated else suites.commands.get(self.suite)
        self.version = int(trials["suite_version"].max())
        newest = trials[trials["suite_version"] == self.version]  # each version has its own declaration
        design = suites.design(self.suite, self.version, self.profile, self.dataset)
        seeds = sorted({int(seed) for seed in newest["seed"]})
        self.design = (design or replace(Design.fixed(seeds), inferred=True)).with_seeds(seeds)
        known = trials[["trial", "recipe", "seed", "group", "label", "epochs_done", "status"]]
        self.scores = frames.scores.merge(known, on="trial")
        added = self.scores.groupby("protocol")["added"].all()  # pandas keeps plain text
        named = list(dict.fromkeys(name for config in newest["config"] for name in config["evaluation"]["extractors"]))
        found = sorted(
            map(Protocol, added.index),
            key=lambda each: (bool(added[each]), _extractor_order(each.extractor, named), each),
        )
        self.protocols = [ScoredStudy(self, protocol, added=bool(added[protocol])) for protocol in found]
        there = set(self.scores["metric"]) - ({COPIES} if len(self.held_out) > 1 else set())
        self.metrics = [name for name in MEASURES if name in there]

    def set_histories(self, history: pd.DataFrame, steps: pd.DataFrame) -> None:
        """Set histories and steps, which plots need, and which may be read later."""
        names = set(self.trials["trial"])
        self.history, self.steps = history[history["trial"].isin(names)], steps[steps["trial"].isin(names)]

    @property
    def names(self) -> tuple[str, ...]:
        """Suite, profile and dataset, with the size if a dataset has several, and an older version."""
        old = (f"version {self.outdated}",) if self.outdated else ()
        in_sizes = self.dataset in set(self.others["dataset"])
        size = (f"{self.image_size}x{self.image_size}",) if in_sizes else ()
        return (self.suite, self.profile, *([self.dataset] if self.dataset != self.suite else []), *size, *old)

    @property
    def of_version(self) -> str:
        """Its suite, with the version if the suite has a newer one."""
        return f"{self.suite} version {self.outdated}" if self.outdated else self.suite

    @property
    def title(self) -> str:
        """The study's title."""
        suite, profile, *rest = self.names
        return f"{', '.join([suite, *rest])} ({profile_mark(profile)})"

    @property
    def slug(self) -> str:
        """The study's name in files and links."""
        return slug(*self.names)

    def table(
        self, kind: str, title: str, columns: list[Column], rows: pd.DataFrame, note: str = "", *about: str
    ) -> Table:
        """Make a table of this study; see ``Table``."""
        return name_table(self.names, kind, title, columns, rows, note, *about)

    @cached_property
    def withdrawn_labels(self) -> frozenset[str]:
        """Labels of settings that the suite no longer has: they get no further seeds."""
        # a later run of a part may have planned some of them again
        withdrawn = self.trials.groupby("label")["withdrawn"].all()
        return frozenset(map(str, withdrawn.index[withdrawn]))

    @cached_property
    def withdrawn_before_first_look(self) -> frozenset[str]:
        """Labels of withdrawn settings without the seeds of a first look, which are not compared."""
        seeds = {label: set(self.trials["seed"][self.trials["label"] == label]) for label in self.withdrawn_labels}
        return frozenset(label for label, own in seeds.items() if not self.design.of(own).at(own).number)

    @cached_property
    def _collapses(self) -> Mapping[tuple[bool, str, int], bool]:
        """Whether generators collapsed, by average, trial and epoch, under the first protocol that counts classes.

        Only one extractor does; scores of the others are of the same generators.
        """
        seen = self.scores[self.scores["metric"] == COLLAPSED].dropna(subset=["value"])
        found = dict[tuple[bool, str, int], bool]()
        for each in reversed(self.protocols):  # so that values of the first protocol win
            own = seen[seen["protocol"] == each.protocol]
            for trial, epoch, value in zip(own["trial"], own["epoch"], own["value"], strict=True):
                found[(each.protocol.average, trial, epoch)] = value > 0
        return found

    @cached_property
    def _last_epochs(self) -> Mapping[str, int]:
        """Last epochs of finished trials."""
        done = self.trials[self.trials["status"] == "done"]
        return dict(zip(done["trial"], done["epochs_done"], strict=True))

    @property
    def counts_collapses(self) -> bool:
        """True if any of its scores tells which generators collapsed."""
        return bool(self._collapses)

    def collapsed(self, trials: pd.Series[str], *, epoch: int | None = None, average: bool = False) -> pd.Series[float]:
        """Return which generators collapsed, 1 or 0; NaN for finished trials without that measure.

        Args:
            trials: Names of trials; those that have not finished did not collapse.
            epoch: After which epoch; None for a trial's last one.
            average: Whether the moving averages of generators are meant, which collapse on their own.
        """
        last, known = self._last_epochs, self._collapses
        found = [
            float(known.get((average, trial, last[trial] if epoch is None else epoch), math.nan))
            if trial in last
            else 0
            for trial in trials
        ]
        return pd.Series(found, index=trials.index, dtype=float)

    @cached_property
    def asked_for(self) -> pd.DataFrame:
        """Its trials that the present suite has; no command trains others."""
        return self.trials[~self.trials["withdrawn"]]

    @property
    def of_command(self) -> pd.DataFrame:
        """The trials that its command should train: those of the present suite, or all if it has none of them."""
        asked = self.asked_for
        return self.trials if asked.empty else asked

    @cached_property
    def compared(self) -> pd.DataFrame:
        """Its trials without those that are never compared."""
        return self.trials[~self.trials["label"].isin(self.withdrawn_before_first_look)]

    @cached_property
    def counted(self) -> pd.DataFrame:
        """Its compared trials, and those of other settings with a finished trial.

        Who withdraws a setting after its first scores must not make the tests of the others fewer.
        """
        done = self.trials["label"][self.trials["status"] == "done"]
        return self.trials[self.trials["label"].isin({*self.compared["label"], *done})]

    @property
    def of_program(self) -> str | None:
        """A part that only a program registered, so that no command knows it, or None.

        Where that trial has it from a file or package, it was moved there since.
        """
        latest = dict[str, tuple[str, bool]]()
        for name, started, is_own in (part for parts in self.of_command["parts"] for part in parts):
            latest[name] = max(latest.get(name, ("", False)), (started, is_own))
        return next((name for name, (_, is_own) in sorted(latest.items()) if is_own), None)

    @property
    def images(self) -> frozenset[str]:
        """Digests of its trials' training images: several if the images changed in between."""
        made = set(self.trials["made_of"])
        return frozenset(digest for each in made for name, digest in each if name.startswith(IMAGES))

    @property
    def held_out(self) -> frozenset[str]:
        """Digests of its trials' held-out images, empty without any: several if the images changed in between."""
        return frozenset(self.trials["held_out"].dropna())  # missing where a record does not say

    @cached_property
    def scored(self) -> list[ScoredStudy]:
        """Its scores of networks by protocol that may rank its settings; the first ranks them."""
        return [each for each in self.protocols if each.is_whole and not each.protocol.average]

    @cached_property
    def averages(self) -> list[ScoredStudy]:
        """Its scores of moving averages of networks."""
        return [each for each in self.protocols if each.protocol.average]

    def shown(self, names: tuple[str, ...]) -> list[str]:
        """Return the given metrics that the study has."""
        return [name for name in names if name in self.metrics]

    @cached_property
    def settings(self) -> list[Setting]:
        """Its settings, in the order of their first trials."""
        groups = self.trials[_SETTING_COLUMNS].groupby("group", sort=False)
        return [self._setting(str(group), members) for group, members in groups]

    @property
    def of_two(self) -> str:
        """The remark on intervals of two seeds, after a word; empty if no setting has two."""
        return "; of two seeds from the lower to the higher" if any(len(s.done) == 2 for s in self.settings) else ""

    def _setting(self, group: str, trials: pd.DataFrame) -> Setting:
        first, values = trials.iloc[0], self.values.values[group]
        return Setting(
            study=self,
            label=first["label"],
            name=trials["suite_setting"].iloc[-1],
            recipe=first["recipe"],
            epochs=int(first["epochs"]),
            values={name: values.get(name) for name in self.values.columns},
            trials=trials,
            done=trials[trials["status"] == "done"],
            bad=int(trials["status"].isin(BAD).sum()),
            faulty=int(trials["status"].isin(FAULTY).sum()),
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Setting:
    """A setting of a study.

    Attributes:
        study: The study.
        label: Its name in tables: ``mnist-dcgan · lr 3e-4``.
        name: Its name in suites: ``mnist-dcgan,lr=0.0003``.
        recipe: What its recipe is called.
        epochs: The length of its trainings.
        values: What differs between the study's settings: field -> value.
        trials: Its planned trials, one row each.
        done: Those of them that are finished.
        bad: How many failed or diverged.
        faulty: How many have records that are damaged, altered or unreadable.
    """

    study: Study
    label: str
    name: str
    recipe: str
    epochs: int
    values: Mapping[str, object]
    trials: pd.DataFrame
    done: pd.DataFrame
    bad: int
    faulty: int

    @property
    def network(self) -> Network:
        """The key of its untrained generators."""
        return network_of(self.trials)

    def row(self) -> dict[str, Any]:
        """Return the first cells of its row."""
        done, planned = len(self.done), len(self.trials)
        return {
            "setting": self.label,
            **{f"value_{name}": value for name, value in self.values.items()},
            "recipe": self.recipe,
            "epochs": self.epochs,
            "planned": planned,
            "done": done,
            "bad": self.bad,
            "faulty": self.faulty,
            "seeds": str(done) if done == planned else f"{done} of {planned}",
        }


_P = ParamSpec("_P")
_T = TypeVar("_T")


def cached_on_study(compute: Callable[Concatenate[ScoredStudy, _P], _T]) -> Callable[Concatenate[ScoredStudy, _P], _T]:
    """Cache the results of a function in the ``memory`` of its study, as many tables need them."""

    @wraps(compute)
    def cached(scored: ScoredStudy, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        key = (compute, args, *kwargs.items())
        if key not in scored.memory:
            scored.memory[key] = compute(scored, *args, **kwargs)
        found: _T = scored.memory[key]
        return found

    return cached


UNTRAINED = "untrained generators"
AGREED = 1.02
"""Ratio of scores up to which untrained networks count as equal and share one row."""


class ScoredStudy:
    """A study under one of its protocols.

    Args:
        study: The study.
        protocol: Which scores.
        added: Whether all of them were added after training: new seeds will have none.
    """

    def __init__(self, study: Study, protocol: Protocol, *, added: bool = False) -> None:
        self.study, self.protocol, self.added = study, protocol, added
        self.memory: dict[object, Any] = {}  # of what ``cached_on_study`` computes

    def __str__(self) -> str:
        """Return the protocol."""
        return self.protocol

    @cached_property
    def is_whole(self) -> bool:
        """True if they may rank settings: every finished trial has its last scores, added ones included."""
        scores = self.study.scores
        kept = scores[(scores["protocol"] == self.protocol) & (scores["epoch"] == scores["epochs_done"])]
        trials = self.study.trials
        return not self.added or set(trials.loc[trials["status"] == "done", "trial"]) <= set(kept["trial"])

    @cached_on_study
    def final(self, value: str = "value") -> pd.DataFrame:
        """Return the last scores of finished trials, one column per metric, indexed by trial."""
        scores = self.study.scores
        at_end = scores["epoch"] == scores["epochs_done"]
        kept = scores[at_end & (scores["protocol"] == self.protocol) & (scores["status"] == "done")]
        wide = kept.pivot_table(index="trial", columns="metric", values=value, aggfunc="last", dropna=False)
        return wide.reindex(columns=list(MEASURES))

    @cached_on_study
    def by_epoch(self, *, unscored: bool = False) -> pd.DataFrame:
        """Return the primary scores of finished trials after training began, one row per trial and evaluation.

        Images that cannot be scored are left out, with all epochs of a trial whose last ones cannot: those would be
        other trials at each epoch. With ``unscored`` they have NaN.
        """
        scores = self.study.scores
        kept = scores[(scores["protocol"] == self.protocol) & (scores["metric"] == primary_measure())]
        kept = kept[(kept["status"] == "done") & (kept["epoch"] > 0)]
        return kept if unscored else kept[~kept["trial"].isin(self.unscored())].dropna(subset=["value"])

    @cached_on_study
    def unscored(self) -> frozenset[str]:
        """Return the finished trials whose last images have no primary score: they count as lost.

        Such images have features that are not finite.
        """
        values = self.final()[primary_measure()]
        return frozenset(values.index[values.isna()]) if values.notna().any() else frozenset()

    def real(self) -> Iterator[tuple[Baseline, dict[str, ScoreLine]]]:
        """Yield the real-data baselines of the protocol with their scores by metric.

        Copies are left out where they were counted with other held-out images than the trials'.
        """
        wanted, images = self.protocol, self.study.images
        left_out = COPIES if self.held_out_changed else None
        for baseline in self._baselines:
            of = baseline.get("data_sha256")
            if len(images) > 1 or (of and images and of not in images):  # of other images, or of unknown ones
                continue
            scores = {
                score["metric"]: score
                for score in baseline["scores"]
                if (score["extractor"], score["split"]) == (wanted.extractor, wanted.reference)
                and score["metric"] != left_out
            }
            if scores:
                yield baseline, scores

    @cached_property
    def _baselines(self) -> list[Baseline]:
        """The baselines of its dataset and as many images, of any content."""
        place = (self.study.dataset, self.study.image_size, self.protocol.generated)
        every = self.study.baselines
        return [each for each in every if (each["dataset"], each["image_size"], each["samples"]) == place]

    @cached_property
    def held_out_changed(self) -> bool:
        """True if held-out images changed between its trials, or between these and its baselines."""
        real = {each["held_out_sha256"] or "" for each in self._baselines if "held_out_sha256" in each}
        return bool(self.study.held_out) and len(self.study.held_out | real) > 1

    @cached_on_study
    def measurement_sd(self, metric: str, *, relative: bool, seeds: tuple[int, ...] | None = None) -> float:
        """Return the SD of repeated scoring of one generator, with ``relative`` as a fraction of its score.

        It is pooled over the trials of a setting whose finished generators were scored several times, and of settings
        it is the median: one with wild scores must not make ties of others. Where none was scored several times, it is
        that of as many real images, drawn several times, which is less than a generator's: fewer ones, as a small
        folder has, spread more. As a share it is one of the median score, as scores of real images are near 0.

        Args:
            metric: The measure.
            relative: Whether it is a share.
            seeds: Those of the trials that count: of a look, so that later ones do not change what it says; None for
                all.
        """
        trials = self.study.trials
        counted = trials["trial"] if seeds is None else trials["trial"][trials["seed"].isin(seeds)]
        sds, values = (self.final(each)[metric].astype(float) for each in ("draw_std", "value"))
        sds, values = (each[each.index.isin(counted)] for each in (sds, values))
        known = (sds / values.abs() if relative else sds).replace([math.inf, -math.inf], math.nan).dropna()
        if len(known):
            group = dict(zip(trials["trial"], trials["group"], strict=True))
            return math.sqrt(float((known**2).groupby([group[trial] for trial in known.index]).mean().median()))
        real = [scores for baseline, scores in self.real() if baseline["pictures"] >= self.protocol.generated]
        floors = [scores[metric].get("draw_std") for scores in real if metric in scores]
        scale = float(values.abs().median()) if relative else 1.0
        return max((float(sd) for sd in floors if sd is not None), default=0.0) / scale if scale > 0 else 0.0

    @cached_on_study
    def _untrained(self) -> pd.DataFrame:
        """Return the mean scores of generators before training, a row for each network and a column for each metric.

        There is none where images were changed in between: it would be of both.
        """
        every = self.study.scores
        start = every[(every["epoch"] == 0) & (every["protocol"] == self.protocol)]
        start = start.iloc[:0] if len(self.study.images) > 1 else start
        start = start.merge(self.study.trials[["trial", *NETWORK]], on="trial")
        return start.pivot_table(index=[*NETWORK], columns="metric", values="value", sort=False)

    def untrained(self, metric: str, network: Network) -> float | None:
        """Return the mean score of a network's untrained generators; None if none was scored."""
        known = self._untrained()
        value = known[metric].get(network) if metric in known else None
        return None if value is None or math.isnan(value) else float(value)

    def baseline_rows(self, names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        """Yield the two baseline rows, real data and untrained generators; one value is a median, too."""
        shown, found = self.study.shown(names), list[tuple[str, dict[str, object], Mapping[str, object]]]()
        for baseline, scores in self.real():
            text = f"real data: {baseline['pictures']:,} {baseline['what']}"
            found.append((text, {}, {name: scores[name]["value"] for name in shown if name in scores}))
        for text, means in self._start():
            found.append((text, {"epochs": 0}, {name: means.get(name, math.nan) for name in shown}))
        for text, more, values in found:
            median = {RANKED: values.get(primary_measure(), math.nan)}
            yield {"setting": text, "recipe": text, "baseline": True, **more, **values, **median}

    def _start(self) -> Iterator[tuple[str, pd.Series[float]]]:
        """Yield the scores of untrained generators: once if networks agree, else by network, named by differences."""
        known, primary = self._untrained(), primary_measure()
        if len(self.study.images) > 1:
            return
        scores = known[primary].dropna() if primary in known else pd.Series(dtype=float)
        if len(scores) < 2 or scores.max() <= scores.min() * AGREED:
            start = self.study.scores
            start = start[(start["epoch"] == 0) & (start["protocol"] == self.protocol)]
            yield UNTRAINED, start.groupby("metric")["value"].mean()
            return
        differing = [i for i in range(len(NETWORK)) if len({network[i] for network in known.index}) > 1]
        for network, (_, means) in zip(known.index.to_list(), known.iterrows(), strict=True):
            named = ", ".join(f"{title(NETWORK[i])} {plain(network[i])}" for i in differing)
            yield f"{UNTRAINED}: {named}", means


def _extractor_order(extractor: str, named: list[str]) -> tuple[int, bool]:
    """Return an extractor's index among those of a suite; ``auto`` stands for several, Inception the last."""
    if extractor in named:
        return named.index(extractor), False
    return (named.index("auto") if "auto" in named else len(named)), extractor == "inception"


def network_of(trials: pd.DataFrame, suffix: str = "") -> Network:
    """Return the network of the first of some trials; column names end in ``suffix``."""
    return tuple(trials[f"{name}{suffix}"].iloc[0] for name in NETWORK)


def values_of(trials: pd.DataFrame, scores: pd.DataFrame, metric: str) -> pd.Series[float]:
    """Return one metric of some trials, NaN if missing."""
    return trials["trial"].map(scores[metric]).astype(float)
