"""The use case ``run``: suite -> plan -> checks -> what is left to do -> executor; the caller shows it to people.

plan = prepare(options, stop)        reads, checks and estimates; writes nothing and computes no reference statistics
outcome = carry_out(plan, options, listener)
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from gan_bench.config.design import LOOKS
from gan_bench.config.images import data_root
from gan_bench.config.suite import Plan, find_suite, make_plan
from gan_bench.config.trial import Trial, setting_key
from gan_bench.core.errors import DataError, UserError
from gan_bench.core.text import plural
from gan_bench.data.datasets import DATASETS
from gan_bench.data.own_images import register_folder
from gan_bench.execution.cluster.connection import Cluster, connected
from gan_bench.execution.cluster.executor import OnCluster, run_ray
from gan_bench.execution.preflight.baselines import real_baselines
from gan_bench.execution.preflight.checks import Survey, check_space, kept_remark, locks_remark, survey
from gan_bench.execution.preflight.estimate import TimeEstimate, estimate, unmeasured
from gan_bench.execution.preflight.placement import Place, ThisProcess, check_known, choose_pool
from gan_bench.execution.trial.claim import KnowsIdentity, Policy, State, state_of
from gan_bench.execution.trial.context import RunContext
from gan_bench.execution.trial.environment import choose_device, fix_bits
from gan_bench.execution.trial.events import Listener
from gan_bench.execution.workers.executors import run_inline, run_processes
from gan_bench.execution.workers.job import Site
from gan_bench.execution.workers.pool import WorkerPoolConfig
from gan_bench.execution.workers.results import Results
from gan_bench.metrics.extractors import EXTRACTORS
from gan_bench.models.architectures import ARCHITECTURES
from gan_bench.models.losses import LOSSES
from gan_bench.records.baselines import has_damaged_baselines, write_baselines
from gan_bench.records.earlier import Earlier
from gan_bench.records.json_files import REMEDY
from gan_bench.records.layout import BASELINES, PLAN, RECORD, RecordDirectory
from gan_bench.records.lock import trial_lock
from gan_bench.records.plan import declaration_lost, design_so_far, planned_before, write_plan, write_suite_text
from gan_bench.records.record import Status
from gan_bench.records.shared import require_readable
from gan_bench.run_options import RunOptions

if TYPE_CHECKING:
    from gan_bench.tracking.sync_process import MirrorResult


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """A plan, and what is left to do of it here.

    Attributes:
        plan: The plan.
        place: Where its trials run.
        context: A run context of this process.
        policy: What becomes of trials that ended before or end badly.
        todo: Trials to run.
        blocked: Why trials can neither be read nor run here, by trial id.
        retrain: Why trials that had ended are trained again, by trial id.
        ended: How trials ended that need no further run, by trial id.
        kept: Epochs, as far as is known, that trials are resumed after, by trial id.
        held: Trials to run that another process is at now, by trial id.
        pool: The worker processes, or None when trials run in this process.
        estimate: What a short measurement says, or what is known without one; None when it could not be made.
        problem: Why it could not.
        remarks: Warnings to show before the run.
        cluster: The cluster it runs on, or None.
    """

    plan: Plan
    place: Place
    context: RunContext
    policy: Policy
    todo: list[Trial]
    blocked: dict[str, str] = field(default_factory=dict)
    retrain: dict[str, str] = field(default_factory=dict)
    ended: dict[str, Status] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    held: frozenset[str] = frozenset()
    pool: WorkerPoolConfig | None = None
    estimate: TimeEstimate | None = None
    problem: str | None = None
    remarks: list[str] = field(default_factory=list)
    cluster: Cluster | None = None


@dataclass(frozen=True)
class Outcome:
    """What a run of a suite came to.

    Attributes:
        results: What became of its trials.
        mirror: What the MLflow mirror answered, or None when there was none.
    """

    results: Results
    mirror: MirrorResult | None


@contextmanager
def cluster_of(options: RunOptions) -> Iterator[Cluster | None]:
    """Connect to the cluster that is asked for, if one is, for as long as the block runs.

    Raises:
        UserError: There is none, or it does not fit.
    """
    if options.executor != "ray":
        yield None
        return
    _check_writable(options.folder, make=not options.dry_run)
    is_there = options.folder.is_dir()  # a dry run makes none
    folder = options.folder if is_there else Path(tempfile.gettempdir())
    with connected(options.ray, options.device, folder, must_share=is_there) as cluster:
        yield cluster


def prepare(
    options: RunOptions,
    stop: Callable[[], bool],
    planned: Callable[[Preparation], None] = lambda _: None,
    cluster: Cluster | None = None,
    targets: Mapping[str, int] | None = None,
) -> Preparation:
    """Plan a suite, check it, and find out what is left to do and how long that will take.

    Args:
        options: What is asked for.
        stop: Returns True once the run should stop.
        planned: Called with the plan before anything is read or measured.
        cluster: Where trials run, or None for this machine. Device, profile and all measurements are then its.
        targets: Of a run until all is decided, the look that settings are to reach, by ``setting_key``; others reach
            the first.

    Raises:
        UserError: Something asked for cannot be.
    """
    if options.join and options.fresh:
        raise UserError("--join and --fresh do not go together: each process would train again what others finished")
    device = choose_device("cpu" if cluster else options.device)
    fix_bits(device)
    root = data_root(None if options.data is None else Path(options.data))
    if options.dry_run:
        root = replace(root, given=True)  # a plan downloads no dataset
    context = RunContext(root, device, stop, options.engine)
    place: Place = OnCluster.of(cluster, _site(context, cluster), stop) if cluster else ThisProcess(context)
    profile = options.profile if options.profile != "auto" else "quick" if place.device == "cpu" else "full"
    plan = make_plan(find_suite(options.suite), replace(options.plan, profile=profile))
    if options.until == "decided":
        plan = _of_looks(plan, options, targets or {})
    place = place.for_plan(plan)
    own = {folder.name for folder in plan.folders}
    _check_names(plan, own)  # before images are read, which may take minutes
    for folder in plan.folders:
        register_folder(folder, anew=True)
    _check_writable(options.folder, make=not options.dry_run)
    require_readable(options.folder, plan.suite, PLAN)
    policy = options.policy
    if options.fresh:
        policy = replace(policy, fresh_since=options.started)
    prepared = Preparation(plan=plan, place=place, context=context, policy=policy, todo=[], cluster=cluster)
    planned(prepared)
    try:
        if options.dry_run:
            _refuse_to_fetch(plan)
        return _with_work(prepared, options)
    except DataError as error:
        if not options.dry_run:
            raise
        return replace(_standing(prepared, options, None), problem=str(error))


def _standing(prepared: Preparation, options: RunOptions, knows: KnowsIdentity | None) -> Preparation:
    """Add how each trial stands: ended, to run, at work elsewhere, unreadable; ``knows`` as ``state_of`` takes it."""
    trials, folder = prepared.plan.trials, options.folder
    states = {trial.id: state_of(folder, trial, knows, prepared.policy) for trial in trials}
    blocked = {trial_id: state.blocked for trial_id, state in states.items() if state.blocked}
    todo = [trial for trial in trials if not states[trial.id].finished and trial.id not in blocked]
    begun = [(trial, directory) for trial in todo if (directory := RecordDirectory.of(folder, trial)).path.exists()]
    retrain = {
        trial.id: _why_retrained(states[trial.id], folder / prepared.plan.suite)
        for trial in todo
        if states[trial.id].retrain
    }
    deleted = [trial for trial, _ in begun if options.fresh and trial.id not in retrain]
    return replace(
        prepared,
        todo=todo,
        blocked=blocked,
        retrain=retrain,
        ended={trial_id: state.status for trial_id, state in states.items() if state.status},
        held=frozenset(trial.id for trial, directory in begun if trial_lock(directory).holder()),
        remarks=[f"--fresh deletes {plural(len(deleted), 'earlier record')}, each when its trial starts"]
        if deleted
        else [],
    )


def _refuse_to_fetch(plan: Plan) -> None:
    """Keep a look at the plan from fetching weights, which may be a gigabyte.

    Raises:
        DataError: An extractor's weights are not here.
    """
    for name in dict.fromkeys(each for trial in plan.trials for each in trial.config.evaluation.extractors):
        weights = EXTRACTORS[name].weights if name in EXTRACTORS else None
        if weights and not weights.path():
            raise DataError(f"the {weights.megabytes:,} MB of weights of {name} are not here yet; the run fetches them")


def _check_names(plan: Plan, own: set[str]) -> None:
    """Look every part up that a plan names, but a suite's own images, which are no parts yet.

    Raises:
        UserError: There is none of that name.
    """
    for config in (trial.config for trial in plan.trials):
        asked = config.evaluation.extractors
        for registry, name in (
            *(() if config.dataset in own else [(DATASETS, config.dataset)]),
            (ARCHITECTURES, config.architecture),
            (LOSSES, config.loss),
            *((EXTRACTORS, each) for each in asked if each != "auto"),
        ):
            registry[name]


def _of_looks(plan: Plan, options: RunOptions, targets: Mapping[str, int]) -> Plan:
    """Give settings the seeds of the looks that they are to reach, in the order that was declared.

    Raises:
        UserError: The suite has no looks, seeds were added that were not declared, or the first look has more seeds
            than are allowed.
    """
    profile, where = str(plan.trials[0].config.profile), options.folder / plan.suite
    datasets = dict.fromkeys(trial.config.dataset for trial in plan.trials)
    begun = [design_so_far(options.folder, plan.suite, plan.version, profile, dataset) for dataset in datasets]
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
        begun_with = f" and `seeds: {fresh}`, which were not looked at, and choose another folder with --results"
        raise UserError(
            f"{plan.suite} has a fixed list of {plural(len(design.seeds), 'seed')}, which is judged once and may not "
            f"grow; write `looks: {list(LOOKS)}`{begun_with if known else ' in place of `seeds`'} in the suite"
        )
    if options.max_seeds is not None and options.max_seeds < design.looks[0]:
        raise UserError(f"--max-seeds must be at least {design.looks[0]}, the first look of {plan.suite}")
    most = max(design.looks[0], *targets.values(), 0)
    asked = replace(options.plan, profile=plan.profile, seeds=design.first(most))
    whole = make_plan(find_suite(options.suite), asked)
    order = {seed: place for place, seed in enumerate(design.seeds)}
    kept = [
        trial
        for trial in whole.trials
        if order[trial.config.seed] < targets.get(setting_key(trial.config.to_json()), design.looks[0])
    ]
    return replace(whole, trials=tuple(kept), design=design)


def _other_lengths(results: Path, plan: Plan, todo: list[Trial]) -> Iterator[str]:
    """Yield that shorter trials are finished, which people may expect to be continued."""

    def key(config: Mapping[str, object]) -> tuple[str, object]:
        return setting_key(config, ("epochs", "evaluation", "profile")), config.get("seed")

    finished: dict[tuple[str, object], int] = {}
    for row in planned_before(results, plan.suite):
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


def _site(context: RunContext, cluster: Cluster, plan: Plan | None = None) -> Site:
    return Site(
        data=context.data.path,
        data_given=context.data.given,
        device=cluster.device,
        engine=context.engine_choice,
        threads=cluster.threads,
        folders=plan.folders if plan else (),
        plugins=plan.plugins if plan else (),
    )


def _with_work(prepared: Preparation, options: RunOptions) -> Preparation:
    """Add what is left to do, where, and how long it will take."""
    plan, place, cluster = prepared.plan, prepared.place, prepared.cluster
    found = place.call(survey, plan.trials)
    place.check_data(plan.trials, found)
    prepared = _standing(prepared, options, found)
    todo = prepared.todo
    if todo:
        require_readable(options.folder, plan.suite, BASELINES)
    resumable = () if options.fresh else [trial for trial in todo if trial.id not in prepared.retrain]
    found_epochs = {trial.id: _epochs_kept(options.folder, trial, place, found) for trial in resumable}
    kept = {trial_id: epochs for trial_id, epochs in found_epochs.items() if epochs is not None}
    group = 1 if options.join and options.group is None else options.group  # a group would take all that is free
    pool, workers, beside = None, None, None
    if cluster:
        check_known(found)
        workers, beside = _tasks(cluster, options, len(todo)), 0
    elif pool := choose_pool(
        options.executor, options.workers, options.group, _devices(options, prepared.context), plan, found, len(todo)
    ):
        workers = len(pool.devices)
    return replace(
        prepared,
        kept=kept,
        pool=pool,
        remarks=[
            *found.remarks,
            *prepared.remarks,
            *kept_remark(todo, (trial for trial in plan.trials if trial.id in prepared.ended), options.folder),
            *locks_remark(options.folder),
            *_declaration_remark(options.folder, plan),
            *_other_lengths(options.folder, plan, todo),
        ],
        estimate=place.call(estimate, todo, workers=workers, group=group, done=kept, beside=beside)
        if not options.no_estimate
        else unmeasured(todo, group, kept),
    )


def _declaration_remark(results: Path, plan: Plan) -> Iterator[str]:
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
            yield (
                f"not declared before the first seed: {added}; what was declared are the seeds "
                f"{', '.join(map(str, design.seeds))}. With these trials nothing is decided in {results / plan.suite} "
                "any more"
            )


def _why_retrained(state: State, suite_folder: Path) -> str:
    """Return why a finished trial is trained again, and where its earlier record is kept."""
    why = str(state.retrain).removesuffix(f"; {REMEDY}")
    return f"{why} (its earlier record goes to {suite_folder / state.keep})" if state.keep else why


def _epochs_kept(results: Path, trial: Trial, place: Place, found: Survey) -> int | None:
    """Count the epochs of an earlier run that will not be trained again; None where it is not resumed."""
    earlier = Earlier(RecordDirectory.of(results, trial))
    device = str(earlier.environment.get("device")).partition(":")[0]
    restarts = device != place.device.partition(":")[0] or earlier.changed(found.identity(trial.config))
    return None if restarts else earlier.epochs_kept()


def _tasks(cluster: Cluster | None, options: RunOptions, count: int) -> int:
    """Return how many trials run at a time; one without a cluster or worker processes."""
    return max(1, min(cluster.slots(), count, options.workers or count)) if cluster else 1


def _devices(options: RunOptions, context: RunContext) -> list[str]:
    """List where trials may run on this machine."""
    if context.device.type == "cuda" and options.device in ("auto", "cuda"):
        return [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return [str(context.device)]


def carry_out(
    prepared: Preparation, options: RunOptions, listener: Listener, ended: Callable[[], None] = lambda: None
) -> Outcome:
    """Run what is left of a plan, mirrored to MLflow while it runs.

    Args:
        prepared: What ``prepare`` returned, with an estimate.
        options: What is asked for.
        listener: Receives progress events.
        ended: Called when all trials have ended, before the mirror's last pass, which takes the report along.

    Raises:
        UserError: There is too little space.
    """
    from gan_bench.tracking.sync_process import MirrorResult, SyncProcess

    assert prepared.estimate is not None  # noqa: S101 - only a dry run has none
    plan, context, todo, results = prepared.plan, prepared.context, prepared.todo, options.folder
    jobs = len(prepared.pool.devices) if prepared.pool else _tasks(prepared.cluster, options, len(todo))
    check_space(todo, jobs * max(prepared.estimate.groups.values(), default=1), results)
    write_plan(results, plan.suite, plan.version, plan.trials, options.command(), plan.design)
    write_suite_text(results, plan.suite, plan.text)
    if todo or has_damaged_baselines(results, plan.suite):
        write_baselines(results, plan.suite, plan.version, prepared.place.call(real_baselines, plan.trials))
    mirror: SyncProcess | None = None
    answer: MirrorResult | None = None
    if options.tracking_uri is not None:
        try:
            mirror = SyncProcess(results / plan.suite, options.tracking_uri, options.experiment_prefix)
        except (UserError, OSError) as error:  # a run does without its mirror
            answer = MirrorResult(error=str(error))
    expected, policy = prepared.estimate, prepared.policy
    group = expected.group

    def seconds(trial: Trial) -> float:
        return expected.work.get(trial.id, 0.0)

    try:
        if prepared.cluster:
            found = run_ray(
                results,
                todo,
                prepared.cluster,
                _site(context, prepared.cluster, plan),
                listener,
                policy,
                context.stop,
                seconds,
                group,
                options.workers,
            )
        elif prepared.pool:
            found = run_processes(results, todo, context, listener, policy, prepared.pool, group, seconds)
        else:
            found = run_inline(results, todo, context, listener, policy, group, seconds)
        ended()
    finally:
        answer = mirror.close() if mirror else answer
    return Outcome(found, answer)


def _check_writable(results: Path, *, make: bool) -> None:
    try:
        if not make and not results.exists():
            return
        results.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=results):
            pass
    except OSError as error:
        raise UserError(
            f"the results folder {results} cannot be written ({error.strerror}); choose another with --results"
        ) from None
