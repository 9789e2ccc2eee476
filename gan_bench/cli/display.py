"""Progress for people: a live line in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping

from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Column

from gan_bench.cli.console import PlainConsole
from gan_bench.config.measures import MEASURES, measures_with
from gan_bench.config.trial import Trial, TrialConfig
from gan_bench.core.text import plural
from gan_bench.execution.events import Progress
from gan_bench.records.record import Status, TrialRecord
from gan_bench.report.render import number

PLAIN_SECONDS = 15.0
SLOW = 0.5
"""Share of the measured pace below which a trial is called slow."""
WIDE = 130
"""Columns from which a terminal's live line has a bar and everything a trial tells."""
_STYLE = {Status.DONE: "green", Status.FAILED: "red"}


class ProgressDisplay:
    """A listener that shows trials as they run, one line for each.

    Args:
        console: Where to.
        total: Trials that will run.
        several: Whether several of them run at the same time, so that every line names its trial.
        expected: Gives the images per second that were measured for a trial before the start, or None.
    """

    def __init__(
        self,
        console: PlainConsole,
        total: int,
        *,
        several: bool = False,
        expected: Callable[[TrialConfig], float | None] = lambda _: None,
    ) -> None:
        self.console, self.total, self.several, self._expected = console, total, several, expected
        self._slow: set[str] = set()
        self._count = 0
        self._last_line: dict[str, float] = {}
        self._tasks: dict[str, TaskID] = {}
        self._bar: Bar | None = None
        self._warnings = warnings.catch_warnings()

    def __enter__(self) -> ProgressDisplay:
        """Start the live line where there is a terminal, and show warnings between the lines."""
        self._warnings.__enter__()
        warnings.showwarning = lambda message, *_: self._say(f"warning: {message}", style="yellow")
        if self.console.is_terminal:
            name = Column(ratio=1, no_wrap=True, overflow="ellipsis")
            columns = (
                TextColumn("{task.description}", markup=False, table_column=name),
                *([BarColumn(20)] if self.console.width >= WIDE else []),
                TextColumn("{task.percentage:.0f}%"),
                TextColumn("{task.fields[now]}", table_column=Column(no_wrap=True)),
            )
            self._bar = Bar(*columns, TimeRemainingColumn(), console=self.console, transient=True, expand=True)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the live line."""
        self._warnings.__exit__(None, None, None)
        if self._bar:
            self._bar.stop()

    def started(self, trial: Trial, resumed_at: int | None) -> None:
        """Show that a trial starts."""
        self._count += 1
        self._last_line[trial.id] = time.monotonic()
        resumed = f", resumed after epoch {resumed_at}" if resumed_at is not None else ""
        self._say(f"[{self._count}/{self.total}] {trial.name}: {plural(trial.config.epochs, 'epoch')}{resumed}")
        if self._bar:
            self._tasks[trial.id] = self._bar.add_task(trial.name, total=1.0, now="")

    def progress(self, trial: Trial, progress: Progress) -> None:
        """Show where a trial stands."""
        self._warn_if_slow(trial, progress)
        v = progress.values
        short = f"epoch {progress.epoch}/{trial.config.epochs} D {v['loss_d']:.2f} G {v['loss_g']:.2f}"
        now = (
            f"epoch {progress.epoch}/{trial.config.epochs}  loss D {number(v['loss_d'])} G {number(v['loss_g'])}  "
            f"D(real) {v['d_real']:.3f} D(fake) {v['d_fake']:.3f}  {progress.images_per_second:,.0f} images/s"
        )
        if self._bar and trial.id in self._tasks:
            self._bar.update(
                self._tasks[trial.id], completed=progress.fraction, now=now if self.console.width >= WIDE else short
            )
        elif time.monotonic() - self._last_line.get(trial.id, 0.0) > PLAIN_SECONDS:
            self._last_line[trial.id] = time.monotonic()
            self._say(f"    {self._which(trial)}{progress.fraction:4.0%}  {now}")

    def _warn_if_slow(self, trial: Trial, progress: Progress) -> None:
        """Say once when a trial runs at a fraction of the pace that was measured before the start."""
        expected, pace = self._expected(trial.config), progress.images_per_second
        if expected is None or not 0 < pace < SLOW * expected or trial.id in self._slow:
            return
        self._slow.add(trial.id)
        self._say(
            f"{trial.name} runs at {pace:,.0f} images/s, {pace / expected:.0%} of the {expected:,.0f} measured "
            "before the start: other work competes for the machine; stop it, or run with --executor processes",
            style="yellow",
        )

    def scored(self, trial: Trial, epoch: int, scores: Mapping[str, float | None]) -> None:
        """Show what an evaluation found."""
        by_extractor: dict[str, list[str]] = {}
        shown = measures_with("summary")
        for name, value in scores.items():
            metric, _, protocol = name.partition("[")
            if metric in shown:
                text = "no value" if value is None else number(value)
                by_extractor.setdefault(protocol.rstrip("]"), []).append(f"{MEASURES[metric].title} {text}")
        for protocol, texts in by_extractor.items():
            self._say(f"    {self._which(trial)}epoch {epoch}: {'  '.join(texts)}  ({protocol})")

    def finished(self, trial: Trial, record: TrialRecord) -> None:
        """Show how a trial ended."""
        if self._bar and trial.id in self._tasks:
            self._bar.remove_task(self._tasks.pop(trial.id))
        reason = f": {record.reason}" if record.reason else ""
        seconds = record.train_seconds + record.evaluate_seconds
        text = f"    {self._which(trial)}{record.status} after {seconds:.1f} s{reason}"
        self._last_line.pop(trial.id, None)
        self._say(text, style=_STYLE.get(record.status, "yellow"))

    def _which(self, trial: Trial) -> str:
        """Name the trial where several run."""
        return f"{trial.name}: " if self.several else ""

    def _say(self, text: str, style: str | None = None) -> None:
        self.console.say(text, style=style)
