"""What people see while trials run."""

from __future__ import annotations

import io
import re
import time
import warnings
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from support.studies import with_lr
from support.trials import digits_trial

from gan_bench.cli.describe import describe, print_description
from gan_bench.core.text import duration, rounded, shortened, trained_parts
from gan_bench.execution.preflight.estimate import Pace, TimeEstimate
from gan_bench.execution.trial.events import Finished, Progress, Scored, Started
from gan_bench.execution.workers.job import shape_key
from gan_bench.execution.workers.work import Work, write_lost
from gan_bench.records.record import Status, TrialRecord
from gan_bench.report.study.table import Column, cell, name_table
from gan_bench.terminal.conclusion import _why
from gan_bench.terminal.console import PlainConsole, PreparationLines, StopRequest, console, table_console, wrapped
from gan_bench.terminal.display import ProgressDisplay, SuiteClock, short_names
from gan_bench.terminal.tables import print_table

VALUES = {"loss_d": 1.0, "loss_g": 0.7, "d_real": 0.6, "d_fake": 0.4}


def measured(images_per_second):
    """An estimate by which any of the trials here has a pace."""
    config = digits_trial().config
    return TimeEstimate(None, {shape_key(config): Pace(1, step=config.batch_size / images_per_second)})


@pytest.mark.parametrize(("pace", "warned"), [(90.0, False), (51.0, False), (20.0, True)])
def test_a_trial_that_runs_at_a_fraction_of_its_pace_says_so_once(pace, warned):
    lines = PlainConsole(file=io.StringIO(), width=200)
    with ProgressDisplay(lines, 1, estimate=measured(100.0)) as display:
        display(Started(digits_trial(), None))
        for _ in range(3):
            display(Progress(trial=digits_trial(), epoch=1, fraction=0.5, values=VALUES, images_per_second=pace))
    said = lines.file.getvalue()
    assert said.count("the machine is busy with other work") == warned
    if warned:
        assert "20 of the 100 images/s measured, so this takes about 5.0 times as long; a run with --executor" in said


def test_a_run_with_nothing_to_do_shows_no_bar(monkeypatch):
    """It showed "0 trials 0%" while the report was made."""
    monkeypatch.setattr(PlainConsole, "on_screen", True)
    for trials in (0, 1):
        lines = PlainConsole(file=io.StringIO(), width=80, force_terminal=True)
        with ProgressDisplay(lines, trials):
            pass
        assert ("trial" in lines.file.getvalue()) == bool(trials)


@pytest.mark.filterwarnings("default::RuntimeWarning")
def test_warnings_are_shown_between_the_lines():
    lines = PlainConsole(file=io.StringIO(), width=200)
    with ProgressDisplay(lines, 1):
        warnings.warn("something \x1b[2J odd", RuntimeWarning, stacklevel=1)
    assert "warning: something \\x1b[2J odd" in lines.file.getvalue()


@pytest.mark.parametrize("variable", ["FORCE_COLOR", "TTY_COMPATIBLE"])
def test_colours_that_are_forced_make_no_terminal_of_a_pipe(monkeypatch, variable):
    monkeypatch.setenv(variable, "1")
    monkeypatch.setenv("TERM", "xterm")
    lines = console(file=io.StringIO())
    with ProgressDisplay(lines, 1) as display:
        display(Started(digits_trial(), None))
    lines.say("red", style="red")
    assert "\x1b[31mred" in lines.file.getvalue()
    assert "\x1b[?25l" not in lines.file.getvalue(), "the cursor is hidden for a live line"
    assert not lines.has_width


def test_the_suite_is_weighed_by_work_not_by_trials(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    clock = SuiteClock({"long": 90.0, "short": 10.0})
    assert clock.seconds_left is None, "nothing is done, so nothing is known of the pace"
    clock.note("short", 1.0)
    now[0] = 20.0
    assert (clock.fraction, clock.seconds_left) == (pytest.approx(0.1), pytest.approx(180.0))
    clock.note("long", 0.5)
    assert str(clock) == "55% of the suite, about 16 s left"
    clock.note("long", 1.0)
    assert clock.seconds_left == 0


def test_what_an_earlier_run_did_took_none_of_this_run_s_time(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    lines = PlainConsole(file=io.StringIO(), width=200)
    trial = digits_trial()
    with ProgressDisplay(
        lines, 2, several=True, estimate=TimeEstimate(200.0, work={trial.id: 100.0, "other": 100.0})
    ) as display:
        display(Started(trial, 1))
        now[0] = 50.0
        display(Progress(trial=trial, epoch=2, fraction=0.75, values=VALUES, images_per_second=100.0))
    assert "25% of the suite, about 2 min left" in lines.file.getvalue(), "half of its second epoch, of two trials"
    twice = SuiteClock({"a": 100.0, "b": 100.0})
    for start, note in ((0.0, 0.75), (0.75, 0.76)):  # lost and resumed within this run
        twice.resume("a", start)
        twice.note("a", note)
    assert twice.fraction == pytest.approx(0.38)
    clock = SuiteClock({"a": 10.0})
    clock.resume("a", 1.0)
    clock.note("a", 1.0)
    assert clock.fraction == 1.0


def test_the_pace_of_the_first_steps_is_not_all_that_counts(monkeypatch):
    """Workers load libraries first: 50 s for the first tenth do not mean 450 for the rest, as 100 were measured."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    clock = SuiteClock({"a": 100.0}, 100.0)
    assert clock.seconds_left == 100.0
    now[0] = 50.0
    clock.note("a", 0.1)
    assert clock.seconds_left == pytest.approx(0.4 * 450 + 0.6 * 90)
    clock.note("a", 0.5)
    assert clock.seconds_left == pytest.approx(50.0)


def test_plain_lines_say_how_far_the_suite_is(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    lines = PlainConsole(file=io.StringIO(), width=200)
    trials = [digits_trial(seed) for seed in range(3)]
    with ProgressDisplay(
        lines, 3, several=True, estimate=TimeEstimate(None, work={t.id: 60.0 for t in trials})
    ) as display:
        for trial in trials[:2]:
            display(Started(trial, None))
        now[0] = 40.0
        for trial in trials[:2]:
            display(Progress(trial=trial, epoch=1, fraction=0.5, values=VALUES, images_per_second=100.0))
        display(Finished(trials[0], TrialRecord(status=Status.DONE, reason=None, train_seconds=50.0)))
    said = lines.file.getvalue()
    assert "17% of the suite, about 200 s left" not in said
    assert "17% of the suite, about 3 min left; 0 of 3 trials done, 2 running at 100 images/s" in said
    assert "done after 50.0 s (50% of the suite, about 40 s left)" in said


def test_slow_paces_are_told_apart_from_each_other(monkeypatch):
    """A busy machine said "1 of the 1 images/s measured, so this takes about 2.1 times as long"."""
    for interval in ("PLAIN_SECONDS", "SUITE_SECONDS"):
        monkeypatch.setattr(f"gan_bench.terminal.display.{interval}", -1e9)
    lines = PlainConsole(file=io.StringIO(), width=200)
    with ProgressDisplay(lines, 2, several=True, estimate=measured(1.26)) as display:
        display(Started(digits_trial(), None))
        display(Progress(trial=digits_trial(), epoch=1, fraction=0.5, values=VALUES, images_per_second=0.6))
    said = lines.file.getvalue()
    assert "0.6 of the 1.3 images/s measured, so this takes about 2.1 times as long" in said
    assert "1 running at 0.6 images/s" in said
    assert re.search(r" 50% .* 0\.6 images/s\n", said)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.0449, "0.045"), (1.0, "1"), (1.26, "1.3"), (9.94, "9.9"), (9.96, "10"), (1234.5, "1,234")],
)
def test_measured_numbers_keep_two_digits(value, text):
    assert rounded(value) == text
    column = Column("pace", "images/s", "rate")
    assert cell({"pace": value}, column) == text.replace(",", "")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0 s"), (0.42, "0.4 s"), (0.96, "1 s"), (40, "40 s"), (90, "2 min")]
)
def test_short_times_are_not_none(seconds, text):
    assert duration(seconds) == text


def test_other_work_is_said_once_for_a_run():
    lines = PlainConsole(file=io.StringIO(), width=200)
    with ProgressDisplay(lines, 2, several=True, estimate=measured(9125.0)) as display:
        for trial in (digits_trial(0), digits_trial(1)):
            display(Started(trial, None))
            display(Progress(trial=trial, epoch=1, fraction=0.5, values=VALUES, images_per_second=3994.0))
    said = [line for line in lines.file.getvalue().splitlines() if "busy" in line]
    how = "3,994 of the 9,125 images/s measured, so this takes about 2.3 times as long"
    assert said == [f"the machine is busy with other work: {how}"], "it once read as if this run were to be stopped"


def test_interrupted_trials_are_not_done():
    lines = PlainConsole(file=io.StringIO(), width=200)
    trials = [digits_trial(seed) for seed in range(3)]
    with ProgressDisplay(
        lines, 3, several=True, estimate=TimeEstimate(None, work={t.id: 60.0 for t in trials})
    ) as display:
        for trial, status in zip(trials, (Status.INTERRUPTED, Status.INTERRUPTED, Status.DONE), strict=True):
            display(Started(trial, None))
            display(Finished(trial, TrialRecord(status=status, reason=None, train_seconds=1.0)))
    assert "done after 1.0 s (33% of the suite" in lines.file.getvalue()


def test_preparation_is_said_once_and_again_when_it_takes_long(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    lines = PlainConsole(file=io.StringIO(), width=200)
    say = PreparationLines(lines)
    for i in range(100):
        now[0] = i / 2
        say("reading", i / 100)
    say("measuring", 0.0)
    assert lines.file.getvalue().split("\n") == ["  reading", "  reading: 31%", "  reading: 62%", "  reading: 93%",
                                                 "  measuring", ""]  # fmt: skip


def test_names_leave_out_what_all_trials_share():
    trials = [with_lr(digits_trial(seed), lr) for lr in (2e-4, 3e-4) for seed in (0, 1)]
    trials = [replace(each, setting=f"{each.setting},epochs=2") for each in trials]
    assert list(short_names(trials).values()) == [
        f"mnist-mlp-z100,dataset=digits,lr={lr},seed={seed}" for lr in (2e-4, 3e-4) for seed in (0, 1)
    ]
    assert list(short_names(trials[:1]).values()) == [trials[0].name]
    shared = "mnist-mlp-z100,dataset=digits"
    assert list(short_names(trials[:2]).values()) == [f"{shared},seed=0", f"{shared},seed=1"]


def test_names_keep_networks_and_images_that_are_not_the_recipes():
    """Without them a run of one's own network would be labelled as the recipe's."""
    settings = [f"mnist-mlp-z100,dataset=digits,architecture=my-net,epochs=1,lr={lr}" for lr in (0.1, 0.2)]
    short = ["mnist-mlp-z100,dataset=digits,architecture=my-net,lr=0.1,seed=0",
             "mnist-mlp-z100,dataset=digits,architecture=my-net,lr=0.2,seed=0"]  # fmt: skip
    assert shortened([f"{setting},seed=0" for setting in settings]) == short
    assert trained_parts(settings[0]) == "mnist-mlp-z100,dataset=digits,architecture=my-net"
    assert trained_parts("mnist-dcgan,lr=0.1") == "mnist-dcgan"


@pytest.mark.parametrize(("width", "everything"), [(80, False), (160, True)])
def test_a_line_about_a_trial_fits(monkeypatch, width, everything):
    monkeypatch.setenv("COLUMNS", str(width))
    lines = console(file=io.StringIO())
    trial = digits_trial()
    scores = {f"{name}[lenet-mnist-v1,train,64]": 123.456 for name in ("fid", "kid", "is", "precision", "recall")}
    with ProgressDisplay(lines, 1, several=True, names={trial.id: "mlp,seed=0"}) as display:
        display(Started(trial, None))
        display(Scored(trial, 1, scores))
    said = lines.file.getvalue().splitlines()
    assert max(map(len, said)) <= width
    assert said[0] == "[1/1] mlp,seed=0: 2 epochs"
    assert said[1].startswith("    mlp,seed=0: epoch 1: FID 123.5")
    assert ("precision" in said[1]) == ("lenet" in said[1]) == everything
    assert len(said) == 2


@pytest.mark.parametrize(
    ("protocols", "said"),
    [
        (("lenet-mnist-v1,train,64", "lenet-mnist-v1,train,64,ema"), "FID 10, FID 5 (ema)"),
        (("lenet-mnist-v1,train,64", "inception-v1,train,64"), "FID 10 (lenet-mnist-v1), FID 5 (inception-v1)"),
    ],
)
def test_several_scores_of_one_evaluation_are_one_line(monkeypatch, protocols, said):
    """Eighty columns once broke each in two: four lines an evaluation, with a moving average."""
    monkeypatch.setenv("COLUMNS", "80")
    lines = console(file=io.StringIO())
    trial = digits_trial()
    with ProgressDisplay(lines, 1, several=True, names={trial.id: "mlp,seed=0"}) as display:
        display(Scored(trial, 1, {f"fid[{under}]": 10.0 / (1 + i) for i, under in enumerate(protocols)}))
    assert lines.file.getvalue() == f"    mlp,seed=0: epoch 1: {said}\n"


def test_lines_are_wrapped_at_words_where_they_end_and_commands_stay_whole(monkeypatch):
    command = "`gan-bench run mnist-cpu --profile full --until decided --max-seeds 8`"
    text = f"  Next: the look at 8 seeds, {command}, about 7.7 h of one core."
    lines = wrapped(text, 40)
    assert lines == ["  Next: the look at 8 seeds,", f"    {command},", "    about 7.7 h of one core."]
    assert wrapped("short", 40) == ["short"]
    assert wrapped("", 3) == [""]
    piped = console(file=io.StringIO())
    monkeypatch.delenv("COLUMNS", raising=False)
    piped.say(text)
    assert piped.file.getvalue() == f"{text}\n", "a pipe has no width"


@pytest.mark.parametrize("width", ["0", "00", "", "wide", "-1", "²"])
def test_a_width_that_says_nothing_swallows_nothing(monkeypatch, width):
    monkeypatch.setenv("COLUMNS", width)
    lines = console(file=io.StringIO())
    lines.say("one two")
    table_console(lines).print("three four")
    assert lines.file.getvalue() == "one two\nthree four\n"


@given(st.text(st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp")), max_size=80), st.integers(5, 40))
def test_wrapping_loses_nothing_and_breaks_no_word(text, width):
    lines = wrapped(text, width)
    assert "".join("".join(lines).split()) == "".join(text.split())
    words = {word for line in lines for word in line.split()}
    assert "`" in text or words <= set(text.split())


_PART = st.text("aé画: `", max_size=12) | st.sampled_from(["  ", "   ", "`gan-bench run it`"])


@given(st.lists(_PART, max_size=12).map("".join), st.integers(5, 40))
def test_no_wrapped_line_is_wider_than_asked_unless_it_is_one_word_or_command(text, width):
    wide = [line for line in wrapped(text, width) if cell_len(line) > width and line.strip()]
    assert all(len(re.findall(r"(?:`[^`]*`|\S)+", line)) == 1 for line in wide)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_table_of_a_stream_without_arrows_is_as_wide_as_its_lines(width):
    """What stood for them came after the layout: headers and rows had other widths."""
    rows = pd.DataFrame([{"recipe": "mnist-mlp-z100", "fid": 50.0}, {"recipe": "β₁ ± ε", "fid": 1.0}])
    columns = (Column("recipe", "recipe", essential=True), Column("fid", "FID ↓", "number", essential=True))
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii", errors="gan_bench")
    made = name_table(("test", "full"), "settings", "settings · all", list(columns), rows, "")
    print_table(made, PlainConsole(file=file, width=width))
    file.flush()
    lines = [line for line in raw.getvalue().decode("ascii").splitlines() if line.startswith(("+", "|"))]
    assert any("(lower)" in line for line in lines)
    assert any("beta1 +- eps" in line for line in lines)
    assert len({len(line) for line in lines}) == 1


class Gone(io.StringIO):
    """A stream whose reader has gone."""

    def write(self, text):
        raise BrokenPipeError


@pytest.mark.filterwarnings("default::UserWarning")
def test_what_is_said_within_a_trial_raises_nothing_where_nobody_reads():
    """The trial would fail of it; the events of a run raise, and end it."""
    out = console(file=Gone())
    with pytest.raises(BrokenPipeError):
        out.say("an event")
    PreparationLines(out)("reading", 0.0)
    stop = StopRequest(out, hears=False)
    stop.deadline = 0.0
    assert stop()
    with ProgressDisplay(out, 1):
        warnings.warn("of a network", stacklevel=1)


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("name", ["quickstart", "mnist-dcgan", "lenet-mnist-v1"])
def test_what_show_says_is_whole_at_any_width(name, width, monkeypatch):
    """Digests were cut off, and values of settings broken in their middle."""
    monkeypatch.setenv("COLUMNS", str(width))
    out = PlainConsole(file=io.StringIO())
    print_description(describe(name), out)
    said = out.file.getvalue()
    assert max(map(len, said.splitlines())) <= width
    assert "…" not in said
    if name == "quickstart":
        assert "A first answer in" in said
        assert width < 80 or said.count("betas=0.5-0.999,") == 2


def test_a_measure_is_described_without_the_names_of_roles():
    """ "Shown as compared, primary, quality, summary, trial" said nothing to those who asked for it."""
    (fid,), (kid,) = describe("fid"), describe("kid")
    assert fid.splitlines()[0].endswith(
        "; settings are ranked by it; computed by gan_bench.metrics.measures.shipped:FrechetDistance"
    )
    assert "ranked" not in kid.splitlines()[0]
    assert "shown as" not in fid + kid


def test_a_trial_that_failed_in_another_process_is_of_another_run(tmp_path):
    """It may have run beside this one: a trial that had failed seconds ago was called one of an earlier run."""
    trial = digits_trial()
    write_lost(Work(trials=[trial], results=tmp_path), trial, "its worker died")
    state, results = SimpleNamespace(blocked={}), SimpleNamespace(held={}, records={})
    said = _why(trial, SimpleNamespace(state=state), SimpleNamespace(results=results), SimpleNamespace(folder=tmp_path))
    assert said == "failed, in another run: its worker died; a run with --retry-failed tries again"
