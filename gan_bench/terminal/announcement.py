"""Terminal output before a run: the plan, the state of its trials, the expected time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from gan_bench.bench import Preparation
from gan_bench.config.cuts import PlanOptions
from gan_bench.config.suite import Plan
from gan_bench.config.trial import Trial
from gan_bench.core.text import duration, plural
from gan_bench.data.datasets import DATASETS
from gan_bench.execution.cluster.connection import Cluster
from gan_bench.execution.preflight.estimate import GroupLimit, TimeEstimate
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.record import Status
from gan_bench.run_options import RunOptions
from gan_bench.terminal.console import PlainConsole
from gan_bench.terminal.display import short_names

MOST_REASONS = 5
"""Most reasons for retraining that are printed one by one."""


def announce_plan(prepared: Preparation, asked: PlanOptions, console: PlainConsole) -> None:
    """Print how many trials are planned, where they run, and which profile they follow.

    Args:
        prepared: The plan, before anything is read or measured.
        asked: What the command line changes of the suite.
        console: Where it is printed.
    """
    plan = prepared.plan
    where = f" of {_cluster(prepared.place.cluster)}" if prepared.place.cluster else ""
    console.say(f"{plan.suite}: {plural(len(plan.trials), 'trial')} on {prepared.place.device}{where}")
    is_quick = any(trial.config.profile == "quick" for trial in plan.trials)
    console.say(profile_line(plan, asked), style="bold" if is_quick else None)


def _cluster(cluster: Cluster) -> str:
    return (
        f"a Ray cluster: {plural(cluster.nodes, 'node')}; "
        f"{plural(cluster.slots(), 'trial')} at a time with {cluster.share} each"
    )


def announce_work(
    prepared: Preparation, options: RunOptions, console: PlainConsole, looked_at: Path | None = None
) -> None:
    """Print the state of trials, the estimated time, warnings, and options without effect.

    Args:
        prepared: What ``prepare`` returned.
        options: What is asked for.
        console: Where it is printed.
        looked_at: A folder of images whose contents were said before.
    """
    plan, todo = prepared.plan, prepared.state.todo
    if options.workers and not prepared.place.sites and options.executor == "inline":
        console.say("--workers has no effect with --executor inline", style="yellow")
    if threads := _threads_instead_of_workers(prepared, options):
        console.say(
            f"--workers 1 trains in this process, with {threads} threads, where workers have one each: the last bits "
            "of scores differ from those of runs with more workers; --executor processes trains in one worker",
            style="yellow",
        )
    of_ray = ("ray_address", "gpus_per_trial", "cpus_per_trial")
    if options.executor != "ray" and any(getattr(options, name) != getattr(RunOptions, name) for name in of_ray):
        console.say(
            "--ray-address, --gpus-per-trial and --cpus-per-trial have no effect without --executor ray", style="yellow"
        )
    for folder in plan.folders:
        was_said = looked_at is not None and folder.path.resolve() == looked_at.resolve()
        for line in () if was_said else DATASETS[folder.name].contents:
            console.say(f"  {folder.name} {line}")
    unreadable = f", {len(prepared.state.blocked)} unreadable" if prepared.state.blocked else ""
    resumed = len(prepared.state.kept.keys() - prepared.state.held)
    if prepared.state.ended or resumed or prepared.state.held or unreadable:
        bad = Counter(status for status in prepared.state.ended.values() if status is not Status.DONE)
        ends = f" ({', '.join(f'{count} {status}' for status, count in bad.items())})" if bad else ""
        parts = [f"{resumed} resumed"] if resumed else []
        parts += [f"{len(prepared.state.held)} under way elsewhere"] if prepared.state.held else []
        which = f" ({', '.join(parts)})" if parts else ""
        console.say(f"{len(prepared.state.ended)} finished{ends}, {len(todo)} to run{which}{unreadable}")
    if todo:
        _announce_time(prepared, options, console)
    for remark in prepared.remarks:
        console.say(remark, style="yellow")
    for line in _retrainings(prepared, options):
        console.say(line, style="yellow")


def _threads_instead_of_workers(prepared: Preparation, options: RunOptions) -> int:
    """Return the number of threads if trials train in this process instead of several workers, else 0."""
    is_asked = options.workers == 1 and options.executor == "auto" and len(prepared.plan.trials) > 1
    threads = torch.get_num_threads()
    is_here = prepared.place.device == "cpu" and not prepared.place.sites and not prepared.place.cluster
    return threads if is_asked and is_here and prepared.state.todo and threads > 1 else 0


def _retrainings(prepared: Preparation, options: RunOptions) -> Iterator[str]:
    """Yield which trials are retrained or not continued, and why: each reason once, with its first trial."""
    state = prepared.state
    yield from _why_each(prepared, options, state.retrain, "retraining {}")
    yield from _why_each(prepared, options, state.restart, "starting again from epoch 0: {}")


def _why_each(prepared: Preparation, options: RunOptions, reasons: Mapping[str, str], what: str) -> Iterator[str]:
    names = short_names(prepared.plan.trials)
    alike: dict[str, list[Trial]] = {}
    for trial in prepared.state.todo:
        if (why := reasons.get(trial.id)) and trial.id not in prepared.state.held:
            alike.setdefault(why.replace(str(RecordDirectory.of(options.folder, trial).path), ""), []).append(trial)
    for first, *others in list(alike.values())[:MOST_REASONS]:
        more = f"; {len(others)} more for the same reason" if others else ""
        yield f"{what.format(names[first.id])}: {reasons[first.id]}{more}"
    if left := sum(map(len, list(alike.values())[MOST_REASONS:])):
        yield f"{what.format(left)} more for other reasons"


def profile_line(plan: Plan, asked: PlanOptions) -> str:
    """Return which profile is used, and how to choose the other.

    Args:
        plan: The plan.
        asked: What the command line changes of the suite.
    """
    quick = sum(trial.config.profile == "quick" for trial in plan.trials)
    if plan.profile == "quick" and quick and plan.has_quick:
        return "QUICK profile: cut down in epochs, images or samples; a run with --profile full takes the suite's own"
    if plan.profile == "quick" and not quick:
        return "full profile: the suite has no quick one"
    if quick:
        return f"full profile, but {plural(quick, 'trial')} cut down by the command line and marked as quick"
    if any((asked.epochs, asked.train_limit, asked.samples, asked.extractors, asked.changes)):
        return "full profile, with the values that the command line sets"
    other = " (--profile quick for a first look)" if plan.has_quick else ""
    return f"full profile: the suite's whole protocol{other}"


def _announce_time(prepared: Preparation, options: RunOptions, console: PlainConsole) -> None:
    estimate, sites = prepared.estimate, prepared.place.sites
    if estimate is None or estimate.seconds is None:
        return
    cluster = prepared.place.cluster
    threads = cluster.share.threads if cluster else sites[0].threads if sites else torch.get_num_threads()
    how = f", threads: {threads}" if prepared.place.device == "cpu" else ""
    how += f", processes: {len(sites)}" if sites else ""
    how += ", were this process alone" if options.join else ""
    how += f", trials that train together: {_together(estimate)}" if estimate.largest_group > 1 else ""
    if (options.group or 1) > 1 and estimate.largest_group == 1:
        console.say("--group has no effect: none of these trials can train together here", style="yellow")
    place = "a node of the cluster" if cluster else "this machine"
    console.say(f"estimated time: {duration(estimate.seconds)} (measured just now on {place}{how})")


_LIMITS: Mapping[GroupLimit, str] = {
    "trials": "all of a kind",
    "rate": "larger groups are no faster",
    "failed": "more failed when they were tried",
    "tried": "more were not tried",
    "asked": "as asked for",
}


def _together(estimate: TimeEstimate) -> str:
    """Return how many trials train together at most, and what limits them."""
    most = estimate.largest_group
    why = {pace.limit for pace in estimate.paces.values() if pace.group == most and pace.limit}
    return f"up to {most}" + (f" ({' or '.join(sorted(_LIMITS[each] for each in why))})" if why else "")


def _mark(trial: Trial, prepared: Preparation) -> str:
    """Return the state of a trial before a run, in a word or two."""
    if trial.id in prepared.state.blocked:
        return "unreadable"
    if trial.id not in prepared.state.ended:
        return "under way" if trial.id in prepared.state.held else "to run"
    status = prepared.state.ended[trial.id]
    return "finished" if status is Status.DONE else str(status)


def _start(trial: Trial, prepared: Preparation) -> str:
    """Return after which epoch an interrupted trial is resumed, or that it starts again."""
    kept = prepared.state.kept.get(trial.id)
    if kept is None:
        return ", from epoch 0" if trial.id in prepared.state.restart else ""
    return f", resumed after at most {kept}" if kept else ", resumed in the first"


def _seeds(seeds: list[int]) -> str:
    """Write seeds as ``--seeds`` takes them: ``seed 3``, ``seeds 0-4,7``."""
    runs: list[list[int]] = []
    for seed in sorted(seeds):
        if runs and runs[-1][-1] == seed - 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    parts = [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return f"seed{'s' if len(seeds) > 1 else ''} {','.join(parts)}"


def list_trials(prepared: Preparation, console: PlainConsole) -> None:
    """Print the state of a plan's trials for ``--dry-run``: one row for the seeds of a setting in equal states."""
    names = short_names(prepared.plan.trials)
    rows: dict[tuple[str, str, int, str], list[int]] = {}
    for trial in prepared.plan.trials:
        resumed = "" if trial.id in prepared.state.held else _start(trial, prepared)
        setting = names[trial.id].rpartition(",seed=")[0]
        rows.setdefault((_mark(trial, prepared), setting, trial.config.epochs, resumed), []).append(trial.config.seed)
    width = max((len(mark) for mark, *_ in rows), default=0)
    for (mark, setting, epochs, resumed), seeds in rows.items():
        console.say(f"  {mark:<{width}}  {setting}: {plural(epochs, 'epoch')}{resumed}, {_seeds(seeds)}")
    if prepared.problem:
        console.say(f"estimated time: unknown, because {prepared.problem}", style="yellow")
