"""``run`` as people see it: what is planned, how it goes, what came of it."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import torch

from gan_bench.bench import Outcome, Preparation, carry_out, cluster_of, prepare
from gan_bench.config.cuts import PlanOptions
from gan_bench.config.suite import Plan
from gan_bench.config.trial import Trial
from gan_bench.core.errors import UnreadableError, UserError
from gan_bench.core.preparing import told_to
from gan_bench.core.text import duration, plural
from gan_bench.data.datasets import DATASETS
from gan_bench.execution.cluster.connection import Cluster
from gan_bench.execution.cluster.node import RayOptions
from gan_bench.execution.preflight.estimate import GroupLimit, TimeEstimate
from gan_bench.records.earlier import Earlier
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.lock import trial_lock
from gan_bench.records.record import Status
from gan_bench.report.build import Report, build_report
from gan_bench.run_options import RunOptions
from gan_bench.terminal.console import (
    CLUSTER_GRACE_SECONDS,
    CONNECTING_GRACE_SECONDS,
    PlainConsole,
    PreparationLines,
    StopRequest,
    table_console,
)
from gan_bench.terminal.display import ProgressDisplay, short_names
from gan_bench.terminal.tables import print_answers, print_tables
from gan_bench.terminal.until import Budget, look_by_look
from gan_bench.tracking.server import is_default, server_page, shown
from gan_bench.tracking.sync_process import MirrorResult
from gan_bench.tracking.views import link

PATIENCE = 2.0
"""Seconds between two looks at trials that other processes train."""
MOST_REASONS = 5
"""Reasons for which trials are trained again that are said one by one."""
CONTENTION = 1.3
"""One thread is advised when it is so many times as fast as all. On two cores of an AMD EPYC beside one busy process it
was 3.0 (fully connected), 2.9 (DCGAN 28x28) and 1.7 (DCGAN 64x64); on the quiet machine 0.60 to 0.64 and 0.56 to 0.59
for the first two."""


def run_suite(options: RunOptions, console: PlainConsole, *, all_tables: bool = False, signals: bool = True) -> int:
    """Run a suite and say what becomes of it.

    Args:
        options: What is asked for.
        console: Where it is said.
        all_tables: Whether every table is printed, or the ranking alone.
        signals: Whether Ctrl-C and SIGTERM end it with a checkpoint of every trial under way. Without, no handler is
            installed, and a trial under way continues from its last checkpoint.

    Returns:
        0 when all trials are done, 1 when one failed or diverged, 130 when interrupted.

    Raises:
        UserError: Something asked for cannot be.
    """
    if options.executor == "ray":
        return _run_on_cluster(options, console, all_tables=all_tables, signals=signals)
    return _run(options, StopRequest(console, hears=signals), console, all_tables=all_tables)


def _run_on_cluster(options: RunOptions, console: PlainConsole, *, all_tables: bool, signals: bool) -> int:
    """Run a suite on a Ray cluster, hearing signals from the first: one may end parts of the cluster as well."""
    stop = StopRequest(console, CONNECTING_GRACE_SECONDS, hears=signals)
    with stop.listening():
        try:
            return _run(options, stop, console, all_tables=all_tables)
        except UserError as error:
            if not stop.asked:
                raise
            console.say(f"interrupted: {error}", style="yellow")
            return 130


def _run(options: RunOptions, stop: StopRequest, console: PlainConsole, *, all_tables: bool) -> int:
    with told_to(PreparationLines(console)), cluster_of(options) as cluster, ExitStack() as whole:
        if options.until == "decided":
            whole.enter_context(stop.listening())  # also between looks
            last = look_by_look(options, stop, console, partial(_train, options, stop, console, cluster))
        else:
            _, last, _ = _train(options, stop, console, cluster)
    if last is None:
        return 0
    return _conclude(*last, options, console, stop, all_tables=all_tables)


_Part = tuple[Preparation, Outcome, Report | None]


def _train(
    options: RunOptions,
    stop: StopRequest,
    console: PlainConsole,
    cluster: Cluster | None,
    targets: Mapping[str, int] | None = None,
    budget: Budget | None = None,
) -> tuple[Preparation, _Part | None, bool]:
    """Plan and train what is asked for, or of a run until all is decided what a look takes.

    Returns:
        What was planned, what came of it, None for a dry run and where the budget is less than the estimate, and
        whether another look may follow.
    """
    if targets and options.retry_failed:  # they were, at the first look
        options = replace(options, retry_failed=False)
    while True:
        planned = partial(_announce_plan, asked=options.plan, console=console)
        prepared = prepare(options, stop, planned, cluster, targets)
        _announce_work(prepared, options, console)
        if options.dry_run:
            _list(prepared, console)
            return prepared, None, False
        expected = prepared.estimate.seconds if prepared.estimate and prepared.standing.todo else None
        if budget and budget.is_less_than(expected):
            console.say(f"the budget of {budget} does not suffice for it: nothing more is trained", style="yellow")
            return prepared, None, False
        if cluster:
            stop.grace = CLUSTER_GRACE_SECONDS  # from here on something can be lost
        outcome, report = _carry_out(prepared, options, stop, console)
        if not (options.join and options.until == "decided") or not _wait_for_others(prepared, options, stop):
            return prepared, (prepared, outcome, report), not outcome.results.enough(prepared.policy)


def _wait_for_others(prepared: Preparation, options: RunOptions, stop: StopRequest) -> bool:
    """Wait until all trials of a look have ended, wherever they run; True if some are left to this process."""
    while not stop():
        places = (
            RecordDirectory.of(options.folder, t) for t in prepared.plan.trials if t.id not in prepared.standing.blocked
        )
        left = [place for place in places if _status(place) in (None, Status.INTERRUPTED)]
        if not left:
            return False
        if any(trial_lock(place).holder() is None for place in left):
            return True
        time.sleep(PATIENCE)
    return False


def _carry_out(
    prepared: Preparation, options: RunOptions, stop: StopRequest, console: PlainConsole
) -> tuple[Outcome, Report | None]:
    """Run what is left of a plan, shown as it goes, and make the report."""
    assert prepared.estimate is not None  # noqa: S101 - only a dry run has none
    pool, reports = prepared.pool, list[Report]()
    several = bool(prepared.estimate.groups or prepared.cluster) or (pool is not None and len(pool.devices) > 1)

    def report() -> None:
        if not stop.asked and not options.join:  # a user who interrupts wants to leave
            reports.append(build_report(options.folder))

    with (
        stop.listening(),
        ProgressDisplay(
            console,
            len(prepared.standing.todo),
            several=several,
            expected=prepared.estimate.images_per_second,
            work=prepared.estimate.work,
            seconds=prepared.estimate.seconds,
            names=short_names(prepared.plan.trials),
        ) as display,
    ):
        outcome = carry_out(prepared, options, display, report)
    return outcome, reports[0] if reports else None


# ------------------------------------------------------------------------------------------------ before


def _announce_plan(prepared: Preparation, asked: PlanOptions, console: PlainConsole) -> None:
    plan = prepared.plan
    where = f" of {_cluster(prepared.cluster)}" if prepared.cluster else ""
    console.say(f"{plan.suite}: {plural(len(plan.trials), 'trial')} on {prepared.place.device}{where}")
    quick = sum(trial.config.profile == "quick" for trial in plan.trials)
    values = (asked.epochs, asked.train_limit, asked.samples, asked.extractors, asked.changes)
    whole = not any(values)
    console.say(_profile(plan, quick, whole=whole), style="bold" if quick else None)


def _cluster(cluster: Cluster) -> str:
    return (
        f"a Ray cluster: {plural(len(cluster.nodes), 'node')}; "
        f"{plural(cluster.slots(), 'trial')} at a time with {cluster.share} each"
    )


def _announce_work(prepared: Preparation, options: RunOptions, console: PlainConsole) -> None:
    plan, todo = prepared.plan, prepared.standing.todo
    if options.workers and not prepared.pool and options.executor == "inline":
        console.say("--workers has no effect with --executor inline", style="yellow")
    if options.executor != "ray" and options.ray != RayOptions():
        console.say(
            "--ray-address, --gpus-per-trial and --cpus-per-trial have no effect without --executor ray", style="yellow"
        )
    for folder in plan.folders:
        for line in DATASETS[folder.name].contents:
            console.say(f"  {folder.name} {line}")
    unreadable = f", {len(prepared.standing.blocked)} unreadable" if prepared.standing.blocked else ""
    resumed = len(prepared.kept.keys() - prepared.standing.held)
    if prepared.standing.ended or resumed or prepared.standing.held or unreadable:
        bad = Counter(status for status in prepared.standing.ended.values() if status is not Status.DONE)
        ends = f" ({', '.join(f'{count} {status}' for status, count in bad.items())})" if bad else ""
        parts = [f"{resumed} resumed"] if resumed else []
        parts += [f"{len(prepared.standing.held)} under way elsewhere"] if prepared.standing.held else []
        which = f" ({', '.join(parts)})" if parts else ""
        console.say(f"{len(prepared.standing.ended)} finished{ends}, {len(todo)} to run{which}{unreadable}")
    if todo:
        _announce_time(prepared, options, console)
    for remark in prepared.remarks:
        console.say(remark, style="yellow")
    for line in _retrainings(prepared, options):
        console.say(line, style="yellow")


def _retrainings(prepared: Preparation, options: RunOptions) -> Iterator[str]:
    """Say which trials are trained again and why: each reason once, with the first trial that has it."""
    names = short_names(prepared.plan.trials)
    alike: dict[str, list[Trial]] = {}
    for trial in prepared.standing.todo:
        if (why := prepared.standing.retrain.get(trial.id)) and trial.id not in prepared.standing.held:
            alike.setdefault(why.replace(str(RecordDirectory.of(options.folder, trial).path), ""), []).append(trial)
    for first, *others in list(alike.values())[:MOST_REASONS]:
        more = f"; {len(others)} more for the same reason" if others else ""
        yield f"retraining {names[first.id]}: {prepared.standing.retrain[first.id]}{more}"
    if left := sum(map(len, list(alike.values())[MOST_REASONS:])):
        yield f"retraining {left} more for other reasons"


def _profile(plan: Plan, quick: int, *, whole: bool) -> str:
    if plan.profile == "quick" and quick and plan.has_quick:
        return "QUICK profile: cut down in epochs, images or samples (--profile full for the suite's own)"
    if plan.profile == "quick" and not quick:
        return "full profile: the suite has no quick one that cuts anything"
    if quick:
        return f"full profile, but {plural(quick, 'trial')} cut down by the command line and marked as quick"
    if not whole:
        return "full profile, with the values that the command line sets"
    return "full profile: the suite's whole protocol (--profile quick for a first look)"


def _announce_time(prepared: Preparation, options: RunOptions, console: PlainConsole) -> None:
    estimate, pool = prepared.estimate, prepared.pool
    if estimate is None or estimate.seconds is None:
        return
    cluster = prepared.cluster
    threads = cluster.threads if cluster else pool.threads if pool else torch.get_num_threads()
    how = f", threads: {threads}" if prepared.place.device == "cpu" else ""
    how += f", processes: {len(pool.devices)}" if pool else ""
    how += ", were this process alone" if options.join else ""
    how += f", trials that train together: {_together(estimate)}" if estimate.groups else ""
    if (options.group or 1) > 1 and not estimate.groups:
        console.say("--group has no effect: none of these trials can train together here", style="yellow")
    place = "a node of the cluster" if cluster else "this machine"
    console.say(f"estimated time: {duration(estimate.seconds)} (measured just now on {place}{how})")
    if estimate.one_thread > CONTENTION:
        console.say(
            f"CPU contention: one thread is {estimate.one_thread:.1f} times as fast as {torch.get_num_threads()}; "
            "stop the other work, or use --executor processes or OMP_NUM_THREADS=1",
            style="yellow",
        )


_LIMITS: Mapping[GroupLimit, str] = {
    "trials": "all of a kind",
    "rate": "larger groups are no faster",
    "failed": "more failed when they were tried",
    "tried": "more were not tried",
    "asked": "as asked for",
}


def _together(estimate: TimeEstimate) -> str:
    """Say how many trials train together at most, and what limits them."""
    most = max(estimate.groups.values())
    why = {estimate.limits[key] for key, size in estimate.groups.items() if size == most and key in estimate.limits}
    return f"up to {most}" + (f" ({' or '.join(sorted(_LIMITS[each] for each in why))})" if why else "")


def _mark(trial: Trial, prepared: Preparation) -> str:
    """Say in a word or two how a trial stands before a run."""
    if trial.id in prepared.standing.blocked:
        return "unreadable"
    if trial.id not in prepared.standing.ended:
        return "under way" if trial.id in prepared.standing.held else "to run"
    status = prepared.standing.ended[trial.id]
    return "finished" if status is Status.DONE else str(status)


def _list(prepared: Preparation, console: PlainConsole) -> None:
    names = short_names(prepared.plan.trials)
    for trial in prepared.plan.trials:
        kept = prepared.kept.get(trial.id) if trial.id not in prepared.standing.held else None
        resumed = "" if kept is None else f", resumed after about {kept}" if kept else ", resumed in the first"
        console.say(
            f"  {_mark(trial, prepared):<10} {names[trial.id]} ({plural(trial.config.epochs, 'epoch')}{resumed})"
        )
    if prepared.problem:
        console.say(f"estimated time: unknown, because {prepared.problem}", style="yellow")


# ------------------------------------------------------------------------------------------------- after


def _say_tracking(answer: MirrorResult | None, options: RunOptions, console: PlainConsole) -> None:
    if answer is None:
        return
    uri = options.tracking_uri or ""
    for notice in answer.notices:
        console.say(notice, style="yellow")
    if answer.elsewhere:
        console.say("MLflow: another run of this suite mirrors it, with the trials of this one")
    elif answer.error or answer.lacks:
        words = ["gan-bench", "sync", str(options.folder)]
        words += ["--tracking-uri", uri] if uri and shown(uri) == uri else []
        words += ["--experiment-prefix", options.experiment_prefix] if options.experiment_prefix else []
        repair = f"; `{shlex.join(words)}` completes it" if answer.lacks else ""
        what = f"MLflow lacks {answer.lacks}" if answer.lacks else "no MLflow"
        console.say(f"{what}: {answer.error or 'their records are damaged'}{repair}", style="yellow")
    if answer.experiment:
        server = server_page(uri)
        words = ["gan-bench", "ui", "--results", str(options.folder)]
        is_other = uri and not is_default(uri, options.folder) and shown(uri) == uri
        words += ["--tracking-uri", uri] if is_other else []
        where = "" if server else f" (`{shlex.join(words)}` serves it)"
        console.say(f"MLflow{where}:")
        links = answer.views or (("Runs", link("{experiment}", None, "")),)
        for name, end in reversed(links):
            address = end.replace("{experiment}", answer.experiment)
            console.say(f"  {name}: {server or 'http://127.0.0.1:5000'}{address}")


def _conclude(
    prepared: Preparation,
    outcome: Outcome,
    report: Report | None,
    options: RunOptions,
    console: PlainConsole,
    stop: StopRequest,
    *,
    all_tables: bool,
) -> int:
    trials, suite = prepared.plan.trials, prepared.plan.suite
    statuses = [_status(RecordDirectory.of(options.folder, trial)) for trial in trials]
    done = statuses.count(Status.DONE)
    if stop.asked and (done < len(statuses) or options.fresh):
        _say_tracking(outcome.mirror, options, console)
        console.say(f"interrupted: {done} of {plural(len(statuses), 'trial')} done; {_advice(options)}", style="yellow")
        return 130
    if options.join:
        share = _conclude_share(outcome, statuses, console, spent=stop.is_spent)
        return max(share, 1 if prepared.standing.blocked else 0)
    if report:
        print_tables(report, table_console(console), suite, everything=all_tables)
    ended = list(zip(trials, statuses, strict=True))
    left = [trial for trial, status in ended if status in (None, Status.INTERRUPTED)] if stop.is_spent else []
    bad = [trial for trial, status in ended if status is not Status.DONE or trial.id in prepared.standing.blocked]
    bad = [trial for trial in bad if trial not in left]
    for trial in bad:
        console.say(f"{trial.name}: {_why(trial, prepared, outcome, options)}", style="red")
    if report:
        print_answers(report, console, suite)
    _say_tracking(outcome.mirror, options, console)
    if left:
        console.say(f"{plural(len(left), 'trial')} left when the budget was spent; {_advice(options)}", style="yellow")
    return 1 if bad else 0


def _conclude_share(outcome: Outcome, statuses: Sequence[Status | None], console: PlainConsole, *, spent: bool) -> int:
    """Print the outcome of this process's share of a suite."""
    mine = list(outcome.results.records.values())
    elsewhere = f", {len(outcome.results.held)} under way elsewhere" if outcome.results.held else ""
    console.say(
        f"{plural(len(mine), 'trial')} of this process; of all, {statuses.count(Status.DONE)} of "
        f"{plural(len(statuses), 'trial')} done{elsewhere}"
    )
    fine = {Status.DONE, Status.INTERRUPTED} if spent else {Status.DONE}
    return 1 if any(record.status not in fine for record in mine) else 0


def _advice(options: RunOptions) -> str:
    if options.fresh:
        return "the same command without --fresh continues; trials that had not started keep their earlier records"
    return "the same command continues"


def _status(directory: RecordDirectory) -> Status | None:
    try:
        return Earlier(directory).status
    except UnreadableError:
        return None


def _why(trial: Trial, prepared: Preparation, outcome: Outcome, options: RunOptions) -> str:
    """Return why a trial is not done."""
    if trial.id in prepared.standing.blocked:
        return f"unreadable, skipped: {prepared.standing.blocked[trial.id]}"
    if trial.id in outcome.results.held:
        return f"locked by {outcome.results.held[trial.id]}, skipped"
    record = outcome.results.records.get(trial.id) or Earlier(RecordDirectory.of(options.folder, trial)).record
    if record is None:
        return "not run"
    again = "" if trial.id in outcome.results.records else ", in an earlier run"
    hint = "; --retry-failed tries again" if again and record.status is Status.FAILED else ""
    return f"{record.status}{again}: {record.reason}{hint}"
