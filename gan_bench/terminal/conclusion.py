"""Terminal output after a run: the outcome of its trials, the state of MLflow, and the exit code."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from gan_bench.bench import Outcome, Preparation
from gan_bench.config.trial import Trial
from gan_bench.core.errors import UnreadableError
from gan_bench.core.text import as_argument, plural
from gan_bench.records.earlier import Earlier
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.record import Status
from gan_bench.report.build import Report
from gan_bench.run_options import RunOptions
from gan_bench.terminal.console import PlainConsole, StopRequest, table_console
from gan_bench.terminal.tables import print_answers, print_tables
from gan_bench.tracking.server import is_default, server_page, shown
from gan_bench.tracking.sync_process import MirrorResult
from gan_bench.tracking.views import link


def say_tracking(answer: MirrorResult | None, options: RunOptions, console: PlainConsole) -> None:
    """Print what the MLflow mirror lacks, its errors, and its pages.

    Args:
        answer: What it answered; None where there was none, and nothing is printed.
        options: What was asked for.
        console: Where it is printed.
    """
    if answer is None:
        return
    uri = options.tracking_uri or ""
    is_elsewhere = uri and not is_default(uri, options.folder)
    for notice in answer.notices:
        console.say(notice, style="yellow")
    if is_elsewhere:
        console.say("MLflow's address is in no file: give further commands --tracking-uri or MLFLOW_TRACKING_URI, too")
    if answer.elsewhere:
        console.say("MLflow: another run of this suite mirrors it, with the trials of this one")
    elif answer.error or answer.lacks:
        then = "then " if "; " in (answer.error or "") else ""  # the error already names a remedy
        repair = f"; {then}`{_sync_command(options, uri)}` completes it" if answer.lacks else ""
        what = f"MLflow lacks {answer.lacks}: " if answer.lacks else "" if answer.experiment else "no MLflow: "
        console.say(f"{what}{answer.error or 'their records are damaged'}{repair}", style="yellow")
    if not answer.experiment:
        return
    if server := server_page(uri):
        first = answer.views[0][1] if answer.views else link(answer.experiment, None, "")
        console.say(f"MLflow: {server}{first}")
    else:
        words = ["gan-bench", "ui"]
        words += ["--results", str(options.folder)] if options.folder != Path("results") else []
        words += ["--tracking-uri", uri] if is_elsewhere and shown(uri) == uri else []
        console.say(f"MLflow: `{shlex.join(words)}` serves its leaderboard")


def _sync_command(options: RunOptions, uri: str) -> str:
    """Return the command that syncs the records of a run to MLflow, without an address with a password."""
    words = ["gan-bench", "sync", as_argument(options.folder)]
    words += ["--tracking-uri", uri] if uri and shown(uri) == uri else []
    words += ["--experiment-prefix", options.experiment_prefix] if options.experiment_prefix else []
    return shlex.join(words)


def conclude(
    prepared: Preparation,
    outcome: Outcome,
    report: Report | None,
    options: RunOptions,
    console: PlainConsole,
    stop: StopRequest,
    *,
    all_tables: bool,
) -> int:
    """Print the tables, failures, answers, and links to MLflow.

    Args:
        prepared: What was planned.
        outcome: What the run came to.
        report: Its report, or None where none was made.
        options: What was asked for.
        console: Where it is printed.
        stop: Whether it was to stop, and why.
        all_tables: Whether every table is printed, or the ranking alone.

    Returns:
        The exit code of ``run_suite``.
    """
    trials, suite = prepared.plan.trials, prepared.plan.suite
    statuses = [_status(trial, outcome, options) for trial in trials]
    done = statuses.count(Status.DONE)
    is_interrupted = stop.asked and report is None  # a later request only ends the wait for MLflow
    if is_interrupted and (done < len(statuses) or options.fresh or not options.join):  # a share makes no report
        say_tracking(outcome.mirror, options, console)
        is_left = done < len(statuses) or options.fresh or options.until == "decided"
        advice = _advice(options) if is_left else _advice_on_report(options)
        console.say(f"interrupted: {done} of {plural(len(statuses), 'trial')} done; {advice}", style="yellow")
        return 130
    if options.join:
        share = _conclude_share(outcome, statuses, options, console, spent=stop.is_spent)
        return max(share, 1 if prepared.state.blocked else 0)
    if report:
        command = shlex.join(["gan-bench", "report", as_argument(options.folder), "--tables", "all"])
        print_tables(report, table_console(console), suite, everything=all_tables, adding=f"`{command}`")
    ended = list(zip(trials, statuses, strict=True))
    left = [trial for trial, status in ended if status in (None, Status.INTERRUPTED)] if stop.is_spent else []
    bad = [trial for trial, status in ended if status is not Status.DONE or trial.id in prepared.state.blocked]
    bad = [trial for trial in bad if trial not in left]
    for trial in bad:
        console.say(f"{trial.name}: {_why(trial, prepared, outcome, options)}", style="red")
    if report:
        print_answers(report, console, suite)
    say_tracking(outcome.mirror, options, console)
    if left:
        console.say(f"{plural(len(left), 'trial')} left when the budget was spent; {_advice(options)}", style="yellow")
    # trials held by other processes count in their exit codes
    return 1 if any(trial.id not in outcome.results.held for trial in bad) else 0


def _conclude_share(
    outcome: Outcome,
    statuses: Sequence[Status | None],
    options: RunOptions,
    console: PlainConsole,
    *,
    spent: bool,
) -> int:
    """Print the outcome of this process's share of a suite, and the command for the report."""
    mine = list(outcome.results.records.values())
    elsewhere = f", {len(outcome.results.held)} under way elsewhere" if outcome.results.held else ""
    console.say(
        f"{plural(len(mine), 'trial')} of this process; of all, {statuses.count(Status.DONE)} of "
        f"{plural(len(statuses), 'trial')} done{elsewhere}"
    )
    report = shlex.join(["gan-bench", "report", as_argument(options.folder)])
    uri = options.tracking if isinstance(options.tracking, str) else ""
    mirror = f"; `{_sync_command(options, uri)}` brings them to MLflow" if options.tracking else ""
    console.say(f"Once all have ended, `{report}` makes the report{mirror}.")
    fine = {Status.DONE, Status.INTERRUPTED} if spent else {Status.DONE}
    return 1 if any(record.status not in fine for record in mine) else 0


def _advice_on_report(options: RunOptions) -> str:
    command = shlex.join(["gan-bench", "report", as_argument(options.folder)])
    return f"`{command}` makes the report"


def _advice(options: RunOptions) -> str:
    if options.fresh:
        return "the same command without --fresh continues; trials that had not started keep their earlier records"
    return "the same command continues"


def _status(trial: Trial, outcome: Outcome, options: RunOptions) -> Status | None:
    """Return how a trial ended; failed if its worker died early, even if an earlier record is there."""
    claim = outcome.results.records.get(trial.id)
    if claim is not None and claim.status is Status.FAILED:
        return claim.status
    return recorded_status(RecordDirectory.of(options.folder, trial))


def recorded_status(directory: RecordDirectory) -> Status | None:
    """Return how a trial ended; None if it has not, or is unreadable."""
    try:
        return Earlier(directory).status
    except UnreadableError:
        return None


def _why(trial: Trial, prepared: Preparation, outcome: Outcome, options: RunOptions) -> str:
    """Return why a trial is not done."""
    if trial.id in prepared.state.blocked:
        return f"unreadable, skipped: {prepared.state.blocked[trial.id]}"
    if trial.id in outcome.results.held:
        return f"locked by {outcome.results.held[trial.id]}, skipped"
    record = outcome.results.records.get(trial.id) or Earlier(RecordDirectory.of(options.folder, trial)).record
    if record is None:
        return "not run"
    if record.status is Status.DONE:
        return "its record was removed or damaged since it ended; the same command trains it again"
    again = "" if trial.id in outcome.results.records else ", in another run"
    is_told = "--retry-failed" in (record.reason or "")
    hint = "; a run with --retry-failed tries again" if again and record.status is Status.FAILED and not is_told else ""
    return f"{record.status}{again}: {record.reason}{hint}"
