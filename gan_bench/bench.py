"""The use case ``run``: suite -> plan -> checks -> remaining work -> executor; the caller displays it.

plan = prepare(options, stop)        reads, checks and estimates; writes nothing and computes no reference statistics
outcome = carry_out(plan, options, listener)
"""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from gan_bench.config.cuts import idle_cap
from gan_bench.config.image_folder import data_root
from gan_bench.config.suite import Plan, find_suite, make_plan
from gan_bench.core.errors import DamagedError, DataError, UserError
from gan_bench.data.own_images import register_folder
from gan_bench.execution.cluster.connection import Cluster, connected
from gan_bench.execution.cluster.executor import OnCluster
from gan_bench.execution.preflight.baselines import real_baselines
from gan_bench.execution.preflight.checks import Survey, check_names, refuse_to_fetch, survey
from gan_bench.execution.preflight.estimate import TimeEstimate, estimate, unmeasured
from gan_bench.execution.preflight.folder import check_space, check_writable, kept_remark, locks_remark
from gan_bench.execution.preflight.plan_state import (
    PlanState,
    declaration_remark,
    design_of_looks,
    find_plan_state,
    other_file_remark,
    state_remarks,
    up_to_looks,
)
from gan_bench.execution.trial.context import RunContext
from gan_bench.execution.trial.decision import Policy
from gan_bench.execution.trial.environment import choose_device, cores, fix_bits
from gan_bench.execution.trial.events import Interrupted, Listener
from gan_bench.execution.workers.inline import run_inline
from gan_bench.execution.workers.job import Site
from gan_bench.execution.workers.pool import run_processes
from gan_bench.execution.workers.work import Results, Work
from gan_bench.records import schema
from gan_bench.records.earlier import Earlier
from gan_bench.records.json_files import is_gone, read_optional
from gan_bench.records.layout import BASELINES, PLAN, RecordDirectory
from gan_bench.records.plan import write_plan, write_suite_text
from gan_bench.records.shared import known_baselines, write_baselines
from gan_bench.run_options import RunOptions
from gan_bench.tracking.server import refuse_memory

if TYPE_CHECKING:
    from gan_bench.tracking.sync_process import MirrorResult


T = TypeVar("T")


@dataclass(frozen=True)
class ThisMachine:
    """This process, and the worker processes that train for it.

    Attributes:
        context: Its run context.
        sites: Where worker processes run; none when trials run in this process.
        cluster: None.
    """

    context: RunContext
    sites: tuple[Site, ...] = ()
    cluster: None = None

    @property
    def device(self) -> str:
        """The device that computes."""
        return str(self.context.device)

    def call(self, work: Callable[..., T], *arguments: Any, **options: Any) -> T:  # noqa: ANN401 - the work's own
        """Call a function in this process."""
        return work(*arguments, context=self.context, **options)

    def jobs(self, count: int) -> int:
        """Return how many trials run at a time; those of a group count as one."""
        return len(self.sites) or 1

    def devices(self, count: int) -> int:
        """Return how many devices compute these; on a CPU each job has cores of its own."""
        if self.context.device.type != "cuda":
            return self.jobs(count)
        return len({site.device for site in self.sites}) or 1

    def train(self, work: Work) -> Results:
        """Run trials to their ends, in worker processes if there are any."""
        if not self.sites:
            return run_inline(work, self.context)
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            gc.collect()  # the workers train on the cards that this process has measured
            torch.cuda.empty_cache()
        return run_processes(work, self.sites)


Place = ThisMachine | OnCluster
"""Where a plan is checked and its trials run."""


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """A plan, and its remaining work here.

    Attributes:
        plan: The plan.
        place: Where its trials run.
        context: A run context of this process.
        policy: What becomes of trials that ended before or end badly.
        state: How its trials stand.
        estimate: What a short measurement says, or what is known without one; None when it could not be made.
        problem: Why it could not.
        remarks: Warnings to show before the run.
    """

    plan: Plan
    place: Place
    context: RunContext
    policy: Policy
    state: PlanState = field(default_factory=PlanState)
    estimate: TimeEstimate | None = None
    problem: str | None = None
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """The result of running a suite.

    Attributes:
        results: What became of its trials.
        mirror: What the MLflow mirror answered, or None when there was none.
    """

    results: Results
    mirror: MirrorResult | None


@contextmanager
def cluster_of(options: RunOptions) -> Iterator[Cluster | None]:
    """Connect to the requested cluster, if there is one, while the block runs.

    Raises:
        UserError: There is none, or it does not fit.
    """
    if options.executor != "ray":
        yield None
        return
    check_writable(options.folder, make=not options.dry_run)
    is_there = options.folder.is_dir()  # a dry run does not create it
    folder = options.folder if is_there else Path(tempfile.gettempdir())
    asked = (options.ray_address, options.gpus_per_trial, options.cpus_per_trial)
    with connected(*asked, options.device, folder, must_share=is_there) as cluster:
        yield cluster


def prepare(
    options: RunOptions,
    stop: Callable[[], bool],
    planned: Callable[[Preparation], None] = lambda _: None,
    cluster: Cluster | None = None,
    targets: Mapping[str, int] | None = None,
) -> Preparation:
    """Plan a suite, check it, and determine the remaining work and its time.

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
    refuse_memory(options.tracking_uri or "")
    device = choose_device("cpu" if cluster else options.device)
    fix_bits(device)
    root = data_root(None if options.data is None else Path(options.data))
    if options.dry_run:
        root = replace(root, given=True)  # a plan downloads no dataset
    context = RunContext(root, device, stop, options.engine)
    place: Place = ThisMachine(context)
    if cluster:
        place = OnCluster.of(cluster, Site.of(context, cluster.device, cluster.share.threads), stop, options.workers)
    plan = _plan(options, place.device, targets or {})
    if isinstance(place, OnCluster):
        place = place.for_plan(plan)
    check_names(plan)  # before images are read, which may take minutes
    for folder in plan.folders:
        register_folder(folder, anew=True)
    check_writable(options.folder, make=not options.dry_run)
    plan_file = options.folder / plan.suite / PLAN
    read_optional(plan_file, schema.PLAN, DamagedError)  # a plan of another version ends the run here
    policy = Policy(retry_failed=options.retry_failed, fail_fast=options.fail_fast, time_limit=options.time_limit)
    if options.fresh:
        policy = policy.fresh(options.folder, plan.trials)
    prepared = Preparation(plan=plan, place=place, context=context, policy=policy)
    planned(prepared)
    try:
        if options.dry_run:
            refuse_to_fetch(plan)
        return _with_work(prepared, options)
    except DataError as error:
        if not options.dry_run:
            raise
        state = find_plan_state(options.folder, plan, policy, None)
        return replace(
            prepared,
            state=state,
            remarks=[*idle_cap(options.plan, plan.trials), *state_remarks(options.folder, plan, state)],
            problem=str(error),
        )


def _plan(options: RunOptions, device: str, targets: Mapping[str, int]) -> Plan:
    """Plan a suite in the requested profile, or in that of the device; ``targets`` as in ``prepare``."""
    profile = options.profile if options.profile != "auto" else "quick" if device == "cpu" else "full"
    plan = make_plan(find_suite(options.suite), replace(options.plan, profile=profile))
    if options.until != "decided":
        return plan
    design = design_of_looks(plan, options.folder, options.max_seeds)
    seeds = design.first(max(design.looks[0], *targets.values(), 0))
    whole = make_plan(find_suite(options.suite), replace(options.plan, profile=plan.profile, seeds=seeds))
    return up_to_looks(whole, design, targets)


def _with_work(prepared: Preparation, options: RunOptions) -> Preparation:
    """Add the remaining work, where it runs, and its time."""
    plan, place = prepared.plan, prepared.place
    found = place.call(survey, plan.trials)
    if isinstance(place, OnCluster):
        place = place.checked(plan.trials, found.identity)
        found.require_known()
    state = find_plan_state(options.folder, plan, prepared.policy, found.identity)
    todo = state.todo
    if todo:
        read_optional(options.folder / plan.suite / BASELINES, schema.BASELINES, DamagedError)
    # a large group would leave no trials to other processes
    group = 1 if options.join and options.group is None else options.group
    if isinstance(place, ThisMachine):
        place = replace(place, sites=_workers(options, place.context, plan, found, state))
    workers = place.jobs(len(todo)) if place.cluster or place.sites else None
    return replace(
        prepared,
        place=place,
        state=state,
        remarks=[
            *idle_cap(options.plan, plan.trials),
            *found.remarks,
            *kept_remark(todo),
            *locks_remark(options.folder),
            *declaration_remark(options.folder, plan),
            *(other_file_remark(options.folder, plan) if options.plan.has_all_settings else ()),
            *state_remarks(options.folder, plan, state),
        ],
        estimate=unmeasured(todo, group, state.kept)
        if options.no_estimate
        else place.call(
            estimate,
            todo,
            workers=workers,
            group=group,
            done=state.kept,
            apart=place.cluster is not None,
            devices=place.devices(len(todo)),
        ),
    )


def _workers(options: RunOptions, context: RunContext, plan: Plan, found: Survey, state: PlanState) -> tuple[Site, ...]:
    """Choose where worker processes run: a thread each on a CPU, one process per GPU, never more than there are trials.

    Beside other work, one thread per process is also the robust choice: threads of one operation wait for the slowest.
    The bits of a CPU depend on threads. So the plan says whether there are workers, and not what is left of it: a trial
    that an earlier run of the same command left alone has the thread that it would have had there.

    Returns:
        The site of each; none when trials run in this process.

    Raises:
        UserError: Worker processes are asked for and would not know a part.
    """
    cuda, count = context.device.type == "cuda", len(state.todo)
    several = cuda and options.device in ("auto", "cuda")
    devices = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if several else [str(context.device)]
    most = options.workers or (len(devices) if cuda else cores())
    number = max(1, min(most, count))
    has_workers = min(most, count if cuda else len(plan.trials)) > 1 or _began_in_a_worker(options, plan, state)
    is_one_group = (options.group or 1) > 1 and len(devices) == 1  # a group is one process's, and fills its device
    inline_is_better = not has_workers or not count or is_one_group
    if options.executor == "inline" or (options.executor == "auto" and (inline_is_better or found.own_part())):
        return ()
    found.require_known()
    threads = None if cuda else 1
    sites = (Site.of(context, devices[i % len(devices)], threads) for i in range(number))
    return tuple(site.knowing(plan.folders, plan.plugins) for site in sites)


def _began_in_a_worker(options: RunOptions, plan: Plan, state: PlanState) -> bool:
    """True if all trials that are resumed had one thread, and this process has more; the plan may be a part of one."""
    places = (RecordDirectory.of(options.folder, trial) for trial in plan.trials if trial.id in state.kept)
    threads = {Earlier(place).environment.get("threads") for place in places if options.workers != 1}
    return threads == {1} and torch.get_num_threads() > 1


def carry_out(
    prepared: Preparation,
    options: RunOptions,
    listener: Listener,
    ended: Callable[[], None],
    leave: Callable[[], bool],
) -> Outcome:
    """Run the remaining trials of a plan, mirrored to MLflow meanwhile.

    Args:
        prepared: What ``prepare`` returned, with an estimate.
        options: What is asked for.
        listener: Receives progress events.
        ended: Called when all trials have ended, before the mirror's last pass, which takes the report along.
        leave: Whether a person asked for an end, and waits for that last pass no longer.

    Raises:
        UserError: There is too little space.
    """
    from gan_bench.tracking.sync_process import MirrorResult, SyncProcess

    assert prepared.estimate is not None  # noqa: S101 - only a dry run has none
    plan, place, todo, results = prepared.plan, prepared.place, prepared.state.todo, options.folder
    expected = prepared.estimate
    at_a_time = min(len(todo), place.jobs(len(todo)) * expected.largest_group)
    check_space(todo, at_a_time, results, mirrored=options.tracking_uri is not None)
    write_plan(
        results, plan.suite, plan.version, plan.trials, options.command(), plan.design, whole=options.plan.is_whole
    )
    write_suite_text(results, plan.suite, plan.text)
    known = [] if todo else known_baselines(results, plan.suite)
    if known is not None:
        with suppress(Interrupted):  # after a stop, no trial is begun either
            if rows := place.call(real_baselines, plan.trials, known):
                write_baselines(results, plan.suite, plan.version, rows)
    mirror: SyncProcess | None = None
    answer: MirrorResult | None = None
    if options.tracking_uri is not None:
        try:
            mirror = SyncProcess(results / plan.suite, options.tracking_uri, options.experiment_prefix)
        except (UserError, OSError) as error:  # the run continues without its mirror
            answer = MirrorResult(error=str(error))
    declared, was_gone = results / plan.suite / PLAN, False

    def plan_was_gone() -> bool:
        """True once the plan was removed or renamed, even if it is back: no undeclared trial is trained."""
        nonlocal was_gone
        was_gone = was_gone or is_gone(declared)
        return was_gone

    work = Work(
        trials=todo,
        results=results,
        policy=prepared.policy,
        listener=listener,
        stop=lambda: plan_was_gone() or prepared.context.stop(),
        sizes=expected.group,
        seconds=lambda trial: expected.work.get(trial.id, 0.0),
    )
    try:
        try:
            found = place.train(work)
        except UserError:  # a device or node failed: report the trials that had ended
            ended()
            raise
        if plan_was_gone():
            raise UserError(
                f"{declared} was removed or renamed while the suite ran, so that nothing more is trained; put it "
                "back and run the same command, or name another folder with --results"
            )
        ended()
    finally:
        answer = mirror.close(leave=leave) if mirror else answer
    return Outcome(found, answer)
