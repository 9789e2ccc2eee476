"""What the records say of a plan before it runs: how each trial stands, and which seeds were declared.

A trial has ended, is to run, is begun, at work elsewhere, or unreadable.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from gan_bench.config.design import LOOKS, Design
from gan_bench.config.suite import Plan
from gan_bench.config.trial import Trial, TrialConfig, setting_key
from gan_bench.core.errors import RecordError, UserError
from gan_bench.core.text import plural
from gan_bench.execution.trial.decision import Action, Decision, Identify, Policy, decide
from gan_bench.records.earlier import Earlier
from gan_bench.records.folders import plan_of, read_plan
from gan_bench.records.json_files import REMEDY
from gan_bench.records.layout import PLAN, RECORD, RecordDirectory
from gan_bench.records.lock import trial_lock
from gan_bench.records.plan import declaration_lost, design_so_far
from gan_bench.records.record import Status
from gan_bench.records.schema import PlannedTrial


@dataclass(frozen=True, kw_only=True)
class PlanState:
    """How the trials of a plan stand.

    Attributes:
        todo: Trials to run.
        blocked: Why trials can neither be read nor run here, by trial id.
        retrain: Why trials that had ended are trained again, by trial id.
        restart: Why trials that had begun are trained from their start, by trial id.
        ended: How trials ended that need no further run, by trial id.
        held: Trials to run that another process is at now, by trial id.
        kept: Most epochs that trials are resumed after, by trial id; a checkpoint may be older than the history.
        deleted: Trials to run whose earlier record ``--fresh`` deletes, each when its trial starts.
    """

    todo: list[Trial] = field(default_factory=list)
    blocked: Mapping[str, str] = field(default_factory=dict)
    retrain: Mapping[str, str] = field(default_factory=dict)
    restart: Mapping[str, str] = field(default_factory=dict)
    ended: Mapping[str, Status] = field(default_factory=dict)
    held: frozenset[str] = frozenset()
    kept: Mapping[str, int] = field(default_factory=dict)
    deleted: tuple[Trial, ...] = ()


def find_plan_state(results: Path, plan: Plan, policy: Policy, identify: Identify | None) -> PlanState:
    """Find out how each trial of a plan stands.

    Args:
        results: The results folder.
        plan: The plan.
        policy: What counts as ended.
        identify: Says what the trials' images, networks and parts are now; None where that is not known.
    """
    earlier = {trial.id: Earlier(RecordDirectory.of(results, trial)) for trial in plan.trials}
    found = {trial.id: decide(earlier[trial.id], trial.config, policy, identify) for trial in plan.trials}
    todo = [t for t in plan.trials if found[t.id].action not in (Action.NOTHING, Action.REFUSE)]
    begun = [trial for trial in todo if earlier[trial.id].directory.path.exists()]
    resumed = [trial_id for trial_id, decision in found.items() if identify and decision.action is Action.RESUME]
    replaced = {
        trial_id: (decision.had_begun, _why_retrained(decision, results / plan.suite))
        for trial_id, decision in found.items()
        if decision.action is Action.REPLACE
    }
    return PlanState(
        todo=todo,
        blocked={trial_id: str(each.why) for trial_id, each in found.items() if each.action is Action.REFUSE},
        retrain={trial_id: why for trial_id, (had_begun, why) in replaced.items() if not had_begun},
        restart={trial_id: why for trial_id, (had_begun, why) in replaced.items() if had_begun},
        ended={
            trial_id: record.status
            for trial_id, decision in found.items()
            if decision.action is Action.NOTHING and (record := earlier[trial_id].record)
        },
        held=frozenset(trial.id for trial in begun if trial_lock(earlier[trial.id].directory).holder()),
        kept={trial_id: _epochs_trained(earlier[trial_id]) for trial_id in resumed},
        deleted=tuple(trial for trial in todo if found[trial.id].action is Action.DELETE),
    )


def _why_retrained(decision: Decision, suite_folder: Path) -> str:
    """Return why a trial is trained again, and where its earlier record is kept."""
    why = str(decision.why).removesuffix(f"; {REMEDY}")
    return f"{why} (its earlier record goes to {suite_folder / str(decision.keep)})"


def _epochs_trained(earlier: Earlier) -> int:
    """Count the finished epochs that the history tells of: a killed run may have gone beyond its checkpoint."""
    try:
        return earlier.epochs_trained()
    except RecordError:
        return 0


def other_file_remark(results: Path, plan: Plan) -> Iterator[str]:
    """Yield that a suite's folder was planned with another file of its name and version, which has other settings.

    Args:
        results: The results folder.
        plan: A plan that has all settings of its file.
    """
    folder, rows = results / plan.suite, list[PlannedTrial]()
    with suppress(UserError):  # nothing is known of what was planned
        rows = [row for row in read_plan(folder) if not row.get("withdrawn")]
    asked = {_uncut(trial.config) for trial in plan.trials}
    profiles = {trial.config.profile for trial in plan.trials}
    others = dict[str, None]()
    for row in rows:
        config = TrialConfig.from_json(row["config"])
        is_comparable = config.suite_version == plan.version and config.profile in profiles
        if is_comparable and _uncut(config) not in asked:
            others[row["setting"]] = None
    if others:
        first, *rest = others
        more = f" and {plural(len(rest), 'more setting')}" if rest else ""
        yield (
            f"{folder} was planned with another file of {plan.suite}, version {plan.version}, for what this one does "
            f"not train: {first}{more}. What was trained stays in one table with it; raise the version of the suite, "
            "or choose another folder with --results, to keep them apart"
        )


def _uncut(config: TrialConfig) -> str:
    """Return what options such as ``--epochs`` leave of a setting; one that they cut short is marked as quick."""
    cuts = ("epochs", "train_limit") if config.profile == "quick" else ()
    return setting_key(config.to_json(), ("evaluation", *cuts))


def state_remarks(results: Path, plan: Plan, state: PlanState) -> Iterator[str]:
    """Yield what a run does that people may not expect, with earlier records."""
    if state.deleted:
        yield f"--fresh deletes {plural(len(state.deleted), 'earlier record')}, each when its trial starts"
    yield from _other_lengths(results, plan, state.todo)


def _other_lengths(results: Path, plan: Plan, todo: list[Trial]) -> Iterator[str]:
    """Yield that shorter trials are finished, which people may expect to be continued."""

    def key(config: Mapping[str, object]) -> tuple[str, object]:
        return setting_key(config, ("epochs", "evaluation", "profile")), config.get("seed")

    finished: dict[tuple[str, object], int] = {}
    for row in plan_of(results / plan.suite).get("trials", ()):
        epochs = row["config"].get("epochs")
        ended = os.path.isfile(results / plan.suite / row["directory"] / RECORD)  # noqa: PTH113 - no error where closed
        if ended and isinstance(epochs, int):
            finished[key(row["config"])] = max(epochs, finished.get(key(row["config"]), 0))
    longer = [trial for trial in todo if 0 < finished.get(key(trial.config.to_json()), 0) < trial.config.epochs]
    if longer:
        first, epochs = longer[0], finished[key(longer[0].config.to_json())]
        more = f"; the same holds for {plural(len(longer) - 1, 'more trial')}" if len(longer) > 1 else ""
        yield (
            f"{first.name} trains from the start, though a training of {plural(epochs, 'epoch')} is finished beside "
            f"it: the state of a finished training is not kept{more}"
        )


# ------------------------------------------------------------------------------------------ declared seeds


def design_of_looks(plan: Plan, results: Path, max_seeds: int | None) -> Design:
    """Return the design that a run until all is decided follows: that of the records, else the suite's own.

    Args:
        plan: The plan.
        results: The results folder.
        max_seeds: How many seeds a setting may get, or None for all of the design.

    Raises:
        UserError: The suite has no looks, seeds were added that were not declared, or the first look has more seeds
            than are allowed.
    """
    profile, where = str(plan.trials[0].config.profile), results / plan.suite
    datasets = dict.fromkeys(trial.config.dataset for trial in plan.trials)
    begun = [design_so_far(results, plan.suite, plan.version, profile, dataset) for dataset in datasets]
    designs = {plan.design.following(each, ()) for each in begun}
    if len(designs) > 1:
        raise UserError(f"the datasets of {where} were begun with different seeds; run them one by one with --only")
    (design,), known = designs, next((each for each in begun if each), None)
    if design.extended:
        raise UserError(
            f"{where} has seeds that are not known to have been declared first, so nothing is decided there; choose "
            "another folder with --results"
        )
    if design.is_fixed:
        fresh = [max(design.seeds) + 1 + i for i in range(LOOKS[-1])]
        begun_with = f" and `seeds: {fresh}`, which were not looked at"
        elsewhere = ", and choose another folder with --results" if known else ""
        raise UserError(
            f"{plan.suite} has a fixed list of {plural(len(design.seeds), 'seed')}, which is judged once and may not "
            f"grow; write `looks: {list(LOOKS)}`{begun_with if known else ' in place of `seeds`'} in the suite"
            f"{elsewhere}"
        )
    if max_seeds is not None and max_seeds < design.looks[0]:
        raise UserError(f"--max-seeds must be at least {design.looks[0]}, the first look of {plan.suite}")
    return design


def up_to_looks(plan: Plan, design: Design, targets: Mapping[str, int]) -> Plan:
    """Leave of a plan the seeds of the looks that settings are to reach, in the order that was declared.

    Args:
        plan: A plan with every seed up to the last of these looks.
        design: What was declared.
        targets: The look that settings are to reach, by ``setting_key``; others reach the first.
    """
    order = {seed: place for place, seed in enumerate(design.seeds)}
    kept = [
        trial
        for trial in plan.trials
        if order[trial.config.seed] < targets.get(setting_key(trial.config.to_json()), design.looks[0])
    ]
    return replace(plan, trials=tuple(kept), design=design)


def declaration_remark(results: Path, plan: Plan) -> Iterator[str]:
    """Yield that nothing will be decided: it is not known which seeds were declared, or others are added."""
    seeds = dict[tuple[str, str], set[int]]()
    for trial in plan.trials:
        seeds.setdefault((str(trial.config.profile), trial.config.dataset), set()).add(trial.config.seed)
    if seeds.keys() & declaration_lost(results, plan.suite, plan.version):
        yield (
            f"which seeds {results / plan.suite} was begun with is not known, as its {PLAN} was lost or replaced: "
            "nothing is decided there; choose another folder with --results, or raise the version of the suite"
        )
        return
    for (profile, dataset), asked in seeds.items():
        known = design_so_far(results, plan.suite, plan.version, profile, dataset)
        design = plan.design.following(known, sorted(asked))
        if design.extended and not (known and known.extended):
            added = ", ".join(map(str, sorted(asked - set(design.seeds))))
            declared = ", ".join(map(str, design.seeds))
            yield (
                f"not declared before the first seed: {added} ({declared} were). With these trials nothing is decided "
                f"in {results / plan.suite} any more, for good; another folder with --results, or a new version of the "
                "suite, keeps its verdicts"
            )
