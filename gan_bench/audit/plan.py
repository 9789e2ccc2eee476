"""Records -> checks, the most telling first, each with its cost here -> those that fit a budget."""

from __future__ import annotations

import contextlib
import hashlib
import math
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import count, islice, zip_longest
from pathlib import Path
from typing import Any

import torch

from gan_bench.audit import again, standards, whole
from gan_bench.audit.needs import missing_part
from gan_bench.config.image_folder import DataRoot
from gan_bench.config.naming import chosen_trials
from gan_bench.config.trial import Trial, TrialConfig, setting_key
from gan_bench.core.errors import RecordError, UserError, brief, is_stop
from gan_bench.core.text import as_argument, as_typed, names_instead, printable, some
from gan_bench.execution.preflight.estimate import Pace, estimate
from gan_bench.execution.trial.context import RunContext
from gan_bench.execution.trial.environment import describe_environment
from gan_bench.execution.workers.job import shape_key
from gan_bench.records.audits import LEVELS
from gan_bench.records.folders import existing, read_plan, suite_folders
from gan_bench.records.plan import declare_foreign_measures
from gan_bench.records.reader import StoredTrial
from gan_bench.records.schema import NO_RECORD, AuditFinding, AuditLevel, AuditMachine, AuditVerdict, PlannedTrial
from gan_bench.records.verify import RecordCheck, verified_suite
from gan_bench.rescoring import SuiteContexts

CHEAP: tuple[AuditLevel, ...] = ("consistent", "rescored", "begun")
"""Levels of an audit without a budget; all others train whole trials."""
TRAINED = ("done", "diverged")
"""Statuses of trials that are trained again; failures depend on the machine."""
SEEDS = 2**31
"""Seeds lie below."""


@dataclass(frozen=True, kw_only=True)
class AuditOptions:
    """What an audit covers, and how.

    Attributes:
        results: A results folder, or one suite's folder in it.
        data: Where the images are.
        device: What computes.
        nonce: Text that chooses trials and seeds; it must not have been known when the records were published.
        levels: Which levels; None takes those that train no whole trial, and with a budget all.
        budget: Most seconds that checks may cost together, or None.
        only: Glob or part of the names of trials; None takes all.
        further: Seeds of a setting that are drawn again.
        allow_plugins: Whether the local files that parts are of may run.
    """

    results: Path
    data: DataRoot
    device: torch.device
    nonce: str
    levels: tuple[AuditLevel, ...] | None
    budget: float | None
    only: str | None
    further: int
    allow_plugins: bool

    def command(self) -> str:
        """Return the command that repeats the audit on a folder of that name, without paths of this machine."""
        folder = as_argument(self.results.resolve().name)
        words = ["gan-bench", "audit", folder, "--levels", ",".join(self.asked)]
        words += ["--nonce", self.nonce, "--device", self.device.type]
        words += ["--budget", f"{Decimal(str(self.budget)).normalize():f}s"] if self.budget else []
        words += ["--only", self.only] if self.only else []
        words += ["--further", str(self.further)] if self.further > 1 else []
        return shlex.join([*words, *(["--allow-plugins"] if self.allow_plugins else [])])

    def contexts(self) -> SuiteContexts:
        """Return where trials of the audited suites are trained and scored again."""
        return SuiteContexts(self.data, self.device, allow_plugins=self.allow_plugins)

    @property
    def asked(self) -> tuple[AuditLevel, ...]:
        """Return the requested levels, the cheapest first."""
        wanted = self.levels or (LEVELS if self.budget else CHEAP)
        return tuple(level for level in LEVELS if level in wanted)


@dataclass(frozen=True)
class AuditedSetting:
    """The trials of a setting in one suite's folder that may be trained again.

    Attributes:
        suite: The folder.
        key: What its trials share.
        trials: All of them, those that are not audited too: their scores say what is to be expected.
    """

    suite: Path
    key: str
    trials: list[StoredTrial]

    @property
    def scores(self) -> dict[int, list[float]]:
        """The primary scores of its seeds, by epoch."""
        found: dict[int, list[float]] = {}
        for stored in self.trials:
            for epoch, value in whole.primary_scores(stored).items():
                found.setdefault(epoch, []).append(value)
        return found


@dataclass(frozen=True, kw_only=True)
class AuditCheck:
    """One level for one trial.

    Attributes:
        level: The level.
        setting: The setting of the trial.
        stored: Its record.
        name: What it is called.
        seconds: What it is expected to cost here.
        seeds: Seeds that are trained, where it is of a setting.
        cannot: Why it cannot be done here, or nothing.
    """

    level: AuditLevel
    setting: AuditedSetting
    stored: StoredTrial
    name: str
    seconds: float = 0.0
    seeds: tuple[int, ...] = ()
    cannot: str = ""


@dataclass(frozen=True)
class AuditPlan:
    """The checks of an audit, with their costs.

    Attributes:
        checks: In the order in which they are done.
        left: Those that the budget does not buy.
        consistent: What ``verify`` found, already.
        machine: What it runs on.
        absent: Names of planned trials without a record.
        unended: Names of trials whose record has no end.
        failed: Names of trials that ended otherwise than by their training, each with the reason; no level follows it.
        added: Count of scores that were added to records later, which no level audits.
    """

    checks: list[AuditCheck]
    left: list[AuditCheck]
    consistent: list[tuple[Path, AuditFinding]]
    machine: AuditMachine
    absent: Sequence[str] = ()
    unended: Sequence[str] = ()
    failed: Sequence[str] = ()
    added: int = 0


def plan_audit(options: AuditOptions) -> AuditPlan:
    """Check that records are consistent, which is free, and lay out the other levels with their costs.

    Raises:
        UserError: There is no trial that has ended, or none is called so.
    """
    declare_foreign_measures(existing(options.results))
    checked = [(suite, *each) for suite in suite_folders(options.results) for each in _called(suite)]
    configs = [trial for _, _, trial in checked if trial]
    asked = frozenset(name for name, _ in configs)
    asked = asked if options.only is None else chosen_trials(configs, options.only)
    ended = [each for each in checked if _has_ended(each[1])]
    settings: dict[tuple[Path, str], AuditedSetting] = {}
    failed = list[StoredTrial]()
    for suite, check, _ in ended:
        stored = check.stored
        if stored is not None and stored.record and not stored.fault:
            key = setting_key(stored.trial["config"])
            if stored.record["status"] in TRAINED:
                settings.setdefault((suite, key), AuditedSetting(suite, key, [])).trials.append(stored)
            elif stored.trial["name"] in asked:
                failed.append(stored)
    trials = [(each, stored) for each in settings.values() for stored in each.trials if stored.trial["name"] in asked]
    suites = {suite for suite, _, trial in checked if options.only is None or (trial and trial[0] in asked)}
    ended = [each for each in ended if (each[2][0] in asked if each[2] else each[0] in suites)]
    consistent = ended if "consistent" in options.asked else []
    if not (trials or failed or any(trial or options.only is None for *_, trial in consistent)):
        names = [trial[0] for _, check, trial in checked if trial and _has_ended(check)]
        raise UserError(f"{options.results} holds no trial that has ended{_and_matches(options.only, names)}")
    machine = _machine(options.device)
    checks = list(_laid_out(options, trials, _Costs(options, machine))) if set(options.asked) - {"consistent"} else []
    bought, left = _bought(checks, options.budget)
    others = [check for _, check, trial in checked if trial and trial[0] in asked and not _has_ended(check)]
    return AuditPlan(
        checks=bought,
        left=left,
        consistent=[(suite, _consistency(check)) for suite, check, _ in consistent],
        machine=machine,
        absent=[
            check.stored.trial["name"] for check in others if check.stored and check.planned and not check.withdrawn
        ],
        unended=[check.stored.trial["name"] for check in others if check.stored and not check.planned],
        failed=[f"{stored.trial['name']}: {(stored.record or NO_RECORD)['reason']}" for stored in failed],
        added=sum(again.count_added(check.stored) for _, check, _ in ended if check.stored),
    )


def _called(suite: Path) -> Iterator[tuple[RecordCheck, tuple[str, Mapping[str, Any]] | None]]:
    """Yield the record checks of a suite, each with the name and config of its trial, or None if it is not a trial's.

    A damaged record is called as the plan says, or by its directory where the plan does not have it.
    """
    planned = dict[str, PlannedTrial]()
    with contextlib.suppress(RecordError):  # a damaged plan is among what is found
        planned = {row["directory"]: row for row in read_plan(suite)}
    for check in verified_suite(suite):
        trial = check.stored.trial if check.stored else planned.get(check.directory)
        if trial:
            yield check, (trial["name"], trial["config"])
        else:
            name = check.directory.rpartition("--")[0]
            yield check, (name, {}) if name else None


def _has_ended(check: RecordCheck) -> bool:
    """True if something that was checked is a record that has ended or is faulty."""
    return (check.checked or bool(check.faults)) and (check.stored is None or check.stored.record is not None)


def _and_matches(only: str | None, names: Collection[str]) -> str:
    """Return, for the error, that no trial has the name that was asked for, and the likely one."""
    if only is None:
        return ""
    hint = names_instead(sorted(names)) if names else ""
    return f' and matches "{as_typed(only)}"' + (f"; {hint}" if hint else "")


def _consistency(check: RecordCheck) -> AuditFinding:
    """Return what ``verify`` found as a finding of an audit."""
    stored, faults = check.stored, "; ".join(check.faults)
    judged: AuditVerdict = "contradicted" if faults else "holds"
    text = faults or f"digests, history, scores and end agree{again.said_of_added(stored) if stored else ''}"
    if check.unreadable or check.missing:
        judged = "not audited"
        text = f"files are missing, fetch them again ({some(check.missing)})" if check.missing else text
    name = stored.trial["name"] if stored else check.directory or check.name
    return finding_of("consistent", stored, name, judged, text, 0.0)


def _machine(device: torch.device) -> AuditMachine:
    facts = describe_environment(device, "auto")
    return {
        "device": facts["device"],
        "device_name": facts["device_name"],
        "platform": facts["platform"],
        "libraries": facts["libraries"],
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


# ---------------------------------------------------------------------------------------- what it may do


def _rank(nonce: str, *what: str) -> str:
    """Return the sort key of a trial: without the nonce, no one can choose a place in the order."""
    return hashlib.sha256("\0".join([nonce, *what]).encode(errors="surrogateescape")).hexdigest()


def _laid_out(
    options: AuditOptions, trials: list[tuple[AuditedSetting, StoredTrial]], costs: _Costs
) -> Iterator[AuditCheck]:
    """Yield all checks, the most telling first: a beginning of every setting, weights, then whole trainings in turn."""
    everything = sorted(trials, key=lambda each: _rank(options.nonce, each[1].trial["id"]))
    first = dict[int, tuple[AuditedSetting, StoredTrial]]()
    for setting, stored in everything:
        first.setdefault(id(setting), (setting, stored))
    others = [each for each in everything if first[id(each[0])][1] is not each[1]]
    if "begun" in options.asked:
        yield from (costs.check("begun", *each) for each in first.values())
    if "rescored" in options.asked:
        yield from (costs.check("rescored", *each) for each in everything if again.has_weights(each[1]))
    if "begun" in options.asked:
        yield from (costs.check("begun", *each) for each in others)
    for further, of_one in zip_longest(first.values(), everything):
        if "drawn again" in options.asked and further:
            yield costs.drawn(*further)
        if "repeated" in options.asked and of_one:
            yield costs.check("repeated", *of_one)


def _bought(checks: Iterable[AuditCheck], budget: float | None) -> tuple[list[AuditCheck], list[AuditCheck]]:
    """Take checks in order while they fit the budget; one that does not fit is skipped for cheaper later ones."""
    bought, left, rest = list[AuditCheck](), list[AuditCheck](), math.inf if budget is None else budget
    for check in checks:
        if check.seconds <= rest:
            bought.append(check)
            rest -= check.seconds
        else:
            left.append(check)
    return bought, left


class _Costs:
    """Estimates the cost of checks on this machine from a short measurement of every kind of step."""

    def __init__(self, options: AuditOptions, machine: AuditMachine) -> None:
        self._options, self._machine = options, machine
        self._contexts = options.contexts()
        self._known: dict[object, Pace | str] = {}

    def check(self, level: AuditLevel, setting: AuditedSetting, stored: StoredTrial) -> AuditCheck:
        """Return a check of one trial."""
        name, config = printable(stored.trial["name"]), again.config_of(stored)
        check = AuditCheck(level=level, setting=setting, stored=stored, name=name)
        context = self._contexts.of(setting.suite)
        pace = missing_part(stored) or self._pace(setting, stored, context)
        if isinstance(pace, str):
            return replace(check, cannot=pace)
        evaluation = pace.image * config.evaluation.samples
        other = standards.noise_between(stored.environment, self._options.device.type) == "other"
        draws = standards.DRAWS if other else 1
        if level == "begun":
            line, scored = again.first_logged(stored), any(line["epoch"] == 0 for line in stored.evaluations)
            trainings = 1 if other or self._rounds_alike(stored) else 2 + again.PERTURBED
            seconds = pace.step * (line["step"] * trainings if line else 0) + evaluation * (draws if scored else 0)
        elif level == "rescored":
            seconds = evaluation * (draws if other else config.evaluation.draws)
        else:
            seconds = pace.seconds(config, len(context.training_images(config)))
        return replace(check, seconds=seconds)

    def drawn(self, setting: AuditedSetting, stored: StoredTrial) -> AuditCheck:
        """Return the check of a setting by further seeds."""
        one, options = self.check("repeated", setting, stored), self._options
        taken = {trial.trial["config"]["seed"] for trial in setting.trials}
        drawn = (int(_rank(options.nonce, setting.key, str(index))[:16], 16) % SEEDS for index in count())
        seeds = tuple(islice((seed for seed in drawn if seed not in taken), options.further))
        name = f"{printable(stored.trial['setting'])}, seed {', '.join(map(str, seeds))}"
        check = replace(one, level="drawn again", seeds=seeds, name=name)
        if len(whole.final_scores(setting.trials)) < standards.FEW:
            why = f"fewer than {standards.FEW} seeds of the setting were published"
            return replace(check, seconds=0.0, cannot=check.cannot or why)
        return replace(check, seconds=one.seconds * len(seeds))

    def _rounds_alike(self, stored: StoredTrial) -> bool:
        """True if a record names this kind of machine and version; rounding may still differ."""
        here, before = self._machine, stored.environment
        return (before.get("device_name"), before.get("libraries")) == (here["device_name"], here["libraries"])

    def _pace(self, setting: AuditedSetting, stored: StoredTrial, context: RunContext) -> Pace | str:
        """Return the speed of trials of one kind, or why they cannot be trained here."""
        config = again.config_of(stored)
        key = (setting.suite, shape_key(config), config.evaluation.samples, config.evaluation.extractors)
        if key not in self._known:
            self._known[key] = _measured(stored, config, context)
        return self._known[key]


def _measured(stored: StoredTrial, config: TrialConfig, context: RunContext) -> Pace | str:
    short = replace(config, epochs=1, evaluation=replace(config.evaluation, epochs=(1,), draws=1))
    trial = Trial(setting=stored.trial["setting"], config=short)
    try:
        return estimate([trial], context, group=1).paces[shape_key(short)]
    except Exception as error:  # of data, weights or code that is not gan_bench's own
        if is_stop(error):
            raise
        return str(error) if isinstance(error, UserError) else brief(error)


def finding_of(
    level: AuditLevel,
    stored: StoredTrial | None,
    name: str,
    verdict: AuditVerdict,
    text: str,
    seconds: float,
    seeds: tuple[int, ...] = (),
) -> AuditFinding:
    """Return a finding as it is written; one that is not about a trial names none."""
    found: AuditFinding = {
        "trial": stored.trial["id"] if stored else "",
        "name": printable(name),
        "record_sha256": stored.record_sha256 if stored else "",
        "level": level,
        "verdict": verdict,
        "text": printable(text),
        "seconds": round(seconds, 1),
    }
    if seeds:
        found["seeds"] = list(seeds)
    return found
