"""What people see while trials run."""

from __future__ import annotations

import io
import warnings

import pytest
from conftest import digits_trial

from gan_bench.cli.console import console
from gan_bench.cli.display import ProgressDisplay
from gan_bench.execution.events import Progress

VALUES = {"loss_d": 1.0, "loss_g": 0.7, "d_real": 0.6, "d_fake": 0.4}


@pytest.mark.parametrize(("pace", "warned"), [(90.0, False), (51.0, False), (20.0, True)])
def test_a_trial_that_runs_at_a_fraction_of_its_pace_says_so_once(pace, warned):
    lines = console(file=io.StringIO(), width=200)
    with ProgressDisplay(lines, 1, expected=lambda _: 100.0) as display:
        display.started(digits_trial(), None)
        for _ in range(3):
            progress = Progress(epoch=1, fraction=0.5, values=VALUES, images_per_second=pace)
            display.progress(digits_trial(), progress)
    said = lines.file.getvalue()
    assert said.count("other work competes for the machine") == warned
    if warned:
        assert "20 images/s, 20% of the 100 measured before the start" in " ".join(said.split())


@pytest.mark.filterwarnings("default::RuntimeWarning")
def test_warnings_are_shown_between_the_lines():
    lines = console(file=io.StringIO(), width=200)
    with ProgressDisplay(lines, 1):
        warnings.warn("something \x1b[2J odd", RuntimeWarning, stacklevel=1)
    assert "warning: something \\x1b[2J odd" in lines.file.getvalue()
