"""Progress display: a live line in a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Iterable, Mapping

from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bar
from rich.table import Column

from gan_bench.config.measures import MEASURES, measures_with, primary_measure
from gan_bench.config.trial import Trial
from gan_bench.core.shared_settings import shared_warnings
from gan_bench.core.text import duration, plural, rounded, shortened
from gan_bench.execution.preflight.estimate import TimeEstimate
from gan_bench.execution.trial.events import Event, Finished, Progress, Scored, Started
from gan_bench.records.record import Status, TrialRecord, split_name
from gan_bench.report.study.table import number
from gan_bench.terminal.console import PLAIN_SECONDS, PlainConsole

SUITE_SECONDS = 30.0
PACED = 0.25
"""Fraction of a suite's work from which only its real pace predicts the remaining time."""
ENOUGH = 0.02
"""Fraction of a suite's work before which its pace is not used."""
SLOW = 0.5
"""Fraction of the measured pace below which a trial is slow."""
WIDE = 130
"""Columns from which lines show everything of a trial; narrower ones show primary score and pace."""
MANY = 4
"""Most concurrent trials with plain lines of their own; above, only the suite's line is printed."""
_STYLE = {Status.DONE: "green", Status.FAILED: "red"}


def short_names(trials: Iterable[Trial]) -> dict[str, str]:
    """Return the names of trials by id, as ``shortened`` makes them."""
    names = {trial.id: trial.name for trial in trials}
    return dict(zip(names, shortened(list(names.values())), strict=True))


class SuiteClock:
    """Predicts the remaining time of a suite: from measurements before the start, then from its real pace.

    Args:
        work: Expected seconds of what is left of every trial, by id.
        seconds: Expected seconds of all of them, as many at a time as run.
    """

    def __init__(self, work: Mapping[str, float], seconds: float | None = None) -> None:
        self._work, self._expected = dict(work), seconds
        self._whole = sum(work.values())
        self._done: dict[str, float] = {}
        self._earlier: dict[str, float] = {}
        self._started = time.monotonic()

    def resume(self, trial_id: str, fraction: float) -> None:
        """Add the work that an earlier run did for a trial, which takes none of this run's time.

        Of a trial that starts twice in one run, the second start goes on from what this run did.
        """
        self._earlier.setdefault(trial_id, min(fraction, 1.0))

    def note(self, trial_id: str, fraction: float) -> None:
        """Add the work done for a trial."""
        earlier = self._earlier.get(trial_id, 0.0)
        self._done[trial_id] = max(0.0, fraction - earlier) / (1 - earlier) if earlier < 1 else 1.0

    @property
    def fraction(self) -> float:
        """The done fraction of the suite's remaining work, in [0, 1]."""
        if not self._whole:
            return 0.0
        return min(1.0, sum(self._work.get(name, 0.0) * share for name, share in self._done.items()) / self._whole)

    @property
    def seconds_left(self) -> float | None:
        """Expected seconds to the end, or None while too little is done to say.

        The first trials start slowly, so that their pace counts the more, the more is done.
        """
        done = self.fraction
        paced = (time.monotonic() - self._started) * (1 - done) / done if done > ENOUGH else None
        if self._expected is None or done >= PACED:
            return paced
        weight = done / PACED if paced is not None else 0.0
        return weight * (paced or 0.0) + (1 - weight) * self._expected * (1 - done)

    def __str__(self) -> str:
        """Return the done share and the remaining time as text."""
        left = self.seconds_left
        return f"{self.fraction:.0%} of the suite" + ("" if left is None else f", about {duration(left)} left")


class ProgressDisplay:
    """A listener that displays running trials, one line each, and the whole suite.

    Args:
        console: Where to.
        total: Trials that will run.
        several: Whether several of them run at the same time, so that every line names its trial.
        estimate: What was measured before the start.
        names: What trials are called, by id; their own names when None.
    """

    def __init__(
        self,
        console: PlainConsole,
        total: int,
        *,
        several: bool = False,
        estimate: TimeEstimate = TimeEstimate(None),  # noqa: B008 - it is frozen
        names: Mapping[str, str] | None = None,
    ) -> None:
        self._names, self._is_wide = names or {}, not console.has_width or console.width >= WIDE
        self.console, self.total, self.several, self._estimate = console, total, several, estimate
        self._clock = SuiteClock(estimate.work, estimate.seconds)
        self._pace: dict[str, float] = {}
        self._suite: TaskID | None = None
        self._is_slow = False
        self._count = self._finished = 0
        self._last_line: dict[str, float] = {}
        self._last_suite_line = time.monotonic()
        self._tasks: dict[str, TaskID] = {}
        self._bar: Bar | None = None
        self._warnings = shared_warnings()
        self._warned: set[str] = set()

    def __enter__(self) -> ProgressDisplay:
        """Start the live line in a terminal, and show warnings between the lines."""
        self._warnings.__enter__()
        warnings.showwarning = lambda message, *_: self._warn(f"warning: {message}")
        if self.console.on_screen and self.total:
            name = Column(ratio=1, no_wrap=True, overflow="ellipsis")
            columns = (
                TextColumn("{task.description}", markup=False, table_column=name),
                *([BarColumn(20)] if self._is_wide else []),
                TextColumn("{task.percentage:.0f}%"),
                TextColumn("{task.fields[now]}", table_column=Column(no_wrap=True)),
            )
            self._bar = Bar(*columns, console=self.console, transient=True, expand=True)
            self._suite = self._bar.add_task(plural(self.total, "trial"), total=1.0, now="")
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the live line."""
        self._warnings.__exit__(None, None, None)
        if self._bar:
            self._bar.stop()

    def _warn(self, text: str) -> None:
        """Show a warning once, also if it comes from several places in the code.

        It is called from within a trial, which must not fail when the stream is closed.
        """
        if text not in self._warned:
            self._warned.add(text)
            with contextlib.suppress(OSError):
                self.console.say(text, style="yellow")

    def __call__(self, event: Event) -> None:
        """Show an event of a trial."""
        match event:
            case Started():
                self._show_start(event.trial, event.resumed_at)
            case Progress():
                self._show_progress(event.trial, event)
            case Scored():
                self._show_scores(event.trial, event.epoch, event.scores)
            case Finished():
                self._show_end(event.trial, event.record)

    def _show_start(self, trial: Trial, resumed_at: int | None) -> None:
        self._count += 1
        self._last_line[trial.id] = time.monotonic()
        self._pace[trial.id] = 0.0
        resumed = f", resumed after epoch {resumed_at}" if resumed_at is not None else ""
        self._clock.resume(trial.id, (resumed_at or 0) / trial.config.epochs)
        self.console.say(
            f"[{self._count}/{self.total}] {self._name(trial)}: {plural(trial.config.epochs, 'epoch')}{resumed}"
        )
        if self._bar:
            self._tasks[trial.id] = self._bar.add_task(self._name(trial), total=1.0, now="")

    def _show_progress(self, trial: Trial, progress: Progress) -> None:
        """Show the progress of a trial."""
        self._warn_if_slow(trial, progress)
        self._clock.note(trial.id, progress.fraction)
        self._pace[trial.id] = progress.images_per_second
        v = progress.values
        pace = f"{rounded(progress.images_per_second)} images/s"
        where = f"epoch {progress.epoch}/{trial.config.epochs}"
        everything = (
            f"{where}  loss D {number(v['loss_d'])} G {number(v['loss_g'])}  "
            f"D(real) {v['d_real']:.3f} D(fake) {v['d_fake']:.3f}  {pace}"
        )
        now = everything if self._is_wide else f"{where}  {pace}"
        if self._bar and trial.id in self._tasks:
            self._bar.update(self._tasks[trial.id], completed=progress.fraction, now=now)
            self._show_suite()
        elif not self._bar:
            self._say_suite()
            if len(self._pace) <= MANY and time.monotonic() - self._last_line.get(trial.id, 0.0) > PLAIN_SECONDS:
                self._last_line[trial.id] = time.monotonic()
                self.console.say(f"    {self._which(trial)}{progress.fraction:4.0%}  {now}")

    def _show_suite(self) -> None:
        """Update the live line of the suite."""
        if self._bar and self._suite is not None:
            left = self._clock.seconds_left
            pace = sum(self._pace.values())
            told = f"{rounded(pace)} images/s" if pace else "", f"{duration(left)} left" if left else ""
            name = f"{self._finished} of {plural(self.total, 'trial')} done"
            self._bar.update(
                self._suite, description=name, completed=self._clock.fraction, now="  ".join(filter(None, told))
            )

    def _say_suite(self) -> None:
        """Print the suite's progress from time to time, as a plain line."""
        if self.total > 1 and time.monotonic() - self._last_suite_line > SUITE_SECONDS:
            self._last_suite_line = time.monotonic()
            running = f"{len(self._pace)} running at {rounded(sum(self._pace.values()))} images/s"
            self.console.say(f"{self._clock}; {self._finished} of {plural(self.total, 'trial')} done, {running}")

    def _warn_if_slow(self, trial: Trial, progress: Progress) -> None:
        """Warn once for a run when a trial has a fraction of the pace measured before the start."""
        expected, pace = self._estimate.images_per_second(trial.config), progress.images_per_second
        if expected is None or not 0 < pace < SLOW * expected or self._is_slow:
            return
        self._is_slow = True
        remedy = "" if self.several else "; a run with --executor processes slows down less"
        self.console.say(
            f"the machine is busy with other work: {rounded(pace)} of the {rounded(expected)} images/s measured, so "
            f"this takes about {expected / pace:.1f} times as long{remedy}",
            style="yellow",
        )

    def _show_scores(self, trial: Trial, epoch: int, scores: Mapping[str, float | None]) -> None:
        """Show the scores of an evaluation."""
        by_extractor: dict[str, list[str]] = {}
        shown = measures_with("summary") if self._is_wide else (primary_measure(),)
        for name, value in scores.items():
            metric, protocol = split_name(name)
            if metric in shown:
                text = "no value" if value is None else number(value)
                by_extractor.setdefault(str(protocol), []).append(f"{MEASURES[metric].title} {text}")
        if self._is_wide:
            for under, texts in by_extractor.items():
                self.console.say(f"    {self._which(trial)}epoch {epoch}: {'  '.join(texts)}  ({under})")
            return
        parts = [under.split(",") for under in by_extractor]
        apart = [",".join(part for part in each if not all(part in other for other in parts)) for each in parts]
        found = [f"{text} ({of})" if of else text for of, (text,) in zip(apart, by_extractor.values(), strict=True)]
        self.console.say(f"    {self._which(trial)}epoch {epoch}: {', '.join(found)}")

    def _show_end(self, trial: Trial, record: TrialRecord) -> None:
        """Show how a trial ended."""
        if self._bar and trial.id in self._tasks:
            self._bar.remove_task(self._tasks.pop(trial.id))
        if record.status is not Status.INTERRUPTED:  # an interrupted one continues in the next run
            self._finished += 1
            self._clock.note(trial.id, 1.0)
        self._pace.pop(trial.id, None)
        self._show_suite()
        reason = f": {record.reason}" if record.reason else ""
        seconds = record.train_seconds + record.evaluate_seconds
        goes_on = self._finished < self.total and record.status is not Status.INTERRUPTED
        left = f" ({self._clock})" if goes_on and not self._bar else ""
        text = f"    {self._which(trial)}{record.status} after {seconds:.1f} s{reason}{left}"
        self._last_line.pop(trial.id, None)
        self.console.say(text, style=_STYLE.get(record.status, "yellow"))

    def _which(self, trial: Trial) -> str:
        """Return the trial's name if several run."""
        return f"{self._name(trial)}: " if self.several else ""

    def _name(self, trial: Trial) -> str:
        return self._names.get(trial.id, trial.name)
