"""``run --until decided``: look after look until no question is open, and an honest end where something stops it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from support.commands import HANG, gan_bench, wait_for
from support.records import assert_whole
from support.studies import write

import gan_bench as gb
from gan_bench.bench import prepare
from gan_bench.core.errors import UserError
from gan_bench.core.text import duration
from gan_bench.execution.preflight.estimate import TimeEstimate
from gan_bench.records.plan import write_plan
from gan_bench.records.record import Status
from gan_bench.report.build import build_report
from gan_bench.report.findings.proposals import Question
from gan_bench.run_options import RunOptions
from gan_bench.terminal import run_suite
from gan_bench.terminal.console import PlainConsole, StopRequest
from gan_bench.terminal.run_suite import look_by_look

RECORDED = """
suite: recorded
version: 1
trials:
  - recipe: mnist-mlp-z100
    set: {dataset: digits, epochs: 1}
    sweep: {lr: [1e-4, 2e-4, 3e-4]}
evaluate: {epochs: [1], samples: 64}
"""
TWO = RECORDED.replace("[1e-4, 2e-4, 3e-4]", "[1e-4, 2e-4]")
REAL = """
suite: real
version: 1
trials:
  - recipe: mnist-mlp-z100
    set: {dataset: digits, epochs: 1}
    sweep: {lr: [2e-5, 2e-3]}
looks: [3, 4, 6]
evaluate: {epochs: [1], samples: 64}
"""
BROKEN = """
from pathlib import Path

import gan_bench as gb
from torch import nn


class Generator(nn.Sequential):
    def __init__(self, latent_dim):
        super().__init__(nn.Linear(latent_dim, 784), nn.Tanh(), nn.Unflatten(1, (1, 28, 28)))


class Discriminator(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 1), nn.Flatten(0))

    def forward(self, images):
        if any(Path("results").glob("*/*/trial.json")):
            raise RuntimeError("it works before a trial begins")
        return super().forward(images)


gb.ARCHITECTURES.register("broken", gb.Architecture(
    description="broken", image_shape=(1, 28, 28), generator=Generator, discriminator=Discriminator))
"""
NOISE = np.array([0.6, -1.1, 0.3, 1.3, -1.0, 0.7, -0.4, -0.5, 0.9, -0.7, 0.2, -0.3])


class Recorded:
    """Trains by writing records whose scores a function gives, everything else as ``run`` does it.

    Args:
        folder: Where suite and results go.
        fid: FID of a learning rate and a seed.
        suite: Text of the suite.
    """

    def __init__(self, folder, fid, suite=TWO, **options):
        path = folder / "recorded.yaml"
        path.write_text(suite)
        self.options = RunOptions(
            str(path), results=folder / "results", profile="full", until="decided", **{"no_estimate": True, **options}
        )
        self.fid, self.looks, self.lines = fid, [], []
        self.stop = StopRequest(PlainConsole(), hears=False)

    def _train(self, targets, _):
        prepared = prepare(self.options, self.stop, targets=targets)
        self.looks.append(len(prepared.state.todo))
        plan = prepared.plan
        write_plan(self.options.folder, plan.suite, 1, plan.trials, "gan-bench run recorded.yaml", plan.design)
        for trial in prepared.state.todo:
            write(self.options.folder, trial, self.fid(trial.config.lr_g, trial.config.seed), status=Status.DONE)
        return prepared, prepared, True

    def run(self):
        console = SimpleNamespace(say=lambda text, style=None: self.lines.append(text))
        look_by_look(self.options, self.stop, console, self._train)
        return build_report(self.options.folder, html=False).answers[0][1]


def apart(log_ratio, spread):
    """The second learning rate's FID is larger by a factor, give or take a spread of its logarithm."""

    def fid(rate, seed):
        gap = log_ratio + spread * NOISE[seed % 12] if rate > 1.5e-4 else 0.0
        return float(np.exp(4 + 0.1 * NOISE[(5 * seed + 3) % 12] + gap))

    return fid


# ----------------------------------------------------------------- three recorded cases end by themselves


def test_a_factor_of_two_is_decided_at_five_seeds(tmp_path):
    run = Recorded(tmp_path, apart(np.log(2), 0.1))
    answer = run.run()
    assert run.looks == [10]
    assert "decidedly better than the other" in answer.headline
    assert any("0.0001 is better than 0.0002 (decided" in each for each in answer.factors)
    assert run.lines[-1] == "2 questions: 2 decided; none open"
    assert answer.proposal is None


def test_a_value_without_effect_is_given_up_at_five_seeds(tmp_path):
    run = Recorded(tmp_path, apart(0.0, 0.4))
    answer = run.run()
    assert run.looks == [10]
    assert "No setting is decidedly worse" in answer.headline
    sentence = answer.factors[0]
    assert "undecided between 0.0001 and 0.0002" in sentence
    assert "given up, as more seeds are unlikely to decide it" in sentence
    assert run.lines[-1] == "2 questions: 2 undecided; none open, as no look is left that is likely to decide more"


def test_a_difference_within_the_margin_is_equivalent_at_twelve_seeds(tmp_path):
    """A log ratio of 0.02 with a spread of 0.03."""
    run = Recorded(tmp_path, apart(0.02, 0.035))
    answer = run.run()
    assert run.looks == [10, 6, 8]
    assert "equivalent: no difference above the margin" in answer.factors[0]
    assert run.lines[-1] == "2 questions: 2 equivalent; none open"
    assert "next look at" not in answer.headline + " ".join(answer.factors)
    again = Recorded(tmp_path, apart(0.02, 0.035))
    again.run()
    assert again.looks == [0], "what is finished is not trained again, and a decided study asks for nothing"
    assert "none open" in again.lines[-1]


# ------------------------------------------------------------------------------------- who gets the seeds


def test_the_next_seeds_go_to_settings_in_an_open_question_alone(tmp_path):
    """The first is far better; the other two differ little."""

    def fid(rate, seed):
        far = 0.0 if rate < 1.5e-4 else 1.5
        return float(np.exp(3 + far + (0.13 if rate > 2.5e-4 else 0.0) + 0.06 * NOISE[int(rate * 5e4 + 5 * seed) % 12]))

    run = Recorded(tmp_path, fid, RECORDED)
    run.run()
    assert run.looks[0] == 15
    assert run.looks[1] == 6, "three more seeds of the two"
    seeds = {}
    for path in (tmp_path / "results").glob("*/*/trial.json"):
        config = json.loads(path.read_text())["config"]
        seeds.setdefault(config["lr_g"], set()).add(config["seed"])
    assert seeds[1e-4] == set(range(5))
    assert seeds[2e-4] == seeds[3e-4] >= set(range(8))
    assert any(line.startswith("  open: learning rate, mnist-mlp-z100: 0.0002 or 0.0003") for line in run.lines)
    assert any(re.fullmatch(r"the rest takes at most 14 trials, about \d+ s", line) for line in run.lines)


def test_more_seeds_than_are_allowed_are_not_trained(tmp_path):
    run = Recorded(tmp_path, apart(0.02, 0.035), max_seeds=8)
    answer = run.run()
    assert run.looks == [10, 6]
    assert run.lines[-1] == "2 questions are still open; the next look, at 12 seeds, was not asked for"
    assert "next look at 12 seeds" in answer.factors[0]
    assert answer.proposal.startswith("Next: the look at 12 seeds, `gan-bench run recorded.yaml ")
    with pytest.raises(UserError, match="--max-seeds must be at least 5, the first look of recorded"):
        Recorded(tmp_path, apart(0.02, 0.035), max_seeds=4).run()


@pytest.mark.parametrize(
    ("most", "said"),
    [
        (None, "up to 12: at most 14 more trials, about 14 min"),
        (8, "up to 8: at most 6 more trials, about 6 min"),
        (11, "up to 8: at most 6 more trials, about 6 min"),  # no look has 9 to 11
        (7, "this is all: the look at 5 seeds is the last"),
    ],
)
def test_a_dry_run_says_what_later_looks_may_come_to(tmp_path, monkeypatch, most, said):
    minute = TimeEstimate(600.0)  # of ten trials
    monkeypatch.setattr("gan_bench.bench.estimate", lambda *_, **__: minute)
    run = Recorded(tmp_path, apart(np.log(2), 0.1), max_seeds=most, dry_run=True, no_estimate=False)
    console = SimpleNamespace(say=lambda text, style=None: run.lines.append(text))
    look_by_look(run.options, run.stop, console, lambda *_: (prepare(run.options, run.stop), None, False))
    assert run.lines[-1].endswith(said)


def test_seeds_that_were_declared_otherwise_end_it_with_what_to_do(tmp_path):
    run = Recorded(tmp_path, apart(0, 1), TWO + "seeds: [0, 1, 2, 3, 4]\n")
    with pytest.raises(UserError, match=r"a fixed list of 5 seeds.*write `looks: \[5, 8, 12\]` in place of `seeds`"):
        run.run()
    fixed = RunOptions(str(tmp_path / "recorded.yaml"), results=tmp_path / "results", profile="full", executor="inline")
    plan = prepare(fixed, lambda: False).plan
    write_plan(tmp_path / "results", "recorded", 1, plan.trials, design=plan.design)
    grown = Recorded(tmp_path, apart(0, 1))  # the file has looks now; the records were planned without
    with pytest.raises(
        UserError, match=r"a fixed list of 5 seeds.*and `seeds: \[5, 6, 7, .*16\]`, which were not looked"
    ):
        grown.run()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fresh": True}, "--fresh and --until decided do not go together"),
        ({"seeds": [0, 1]}, "--seeds and --until decided do not go together"),
        ({"max_seeds": 2}, "max_seeds"),
        ({"budget": "soon"}, "budget must be a time such as 2h, 90min or 3600, not 'soon'"),
        ({"budget": 0}, "budget must be a time"),
        ({"budget": "1" * 40 + "x"}, "budget must be a time"),  # as many ways to read it as there are sums of digits
    ],
)
def test_options_that_do_not_fit(tmp_path, options, message):
    with pytest.raises(UserError, match=re.escape(message)):
        Recorded(tmp_path, apart(0, 1), **options).run()
    with pytest.raises(UserError, match="--budget and --max-seeds need --until decided"):
        RunOptions("digits", budget="2h")


def test_too_few_seeds_are_refused_before_anything_is_trained(tmp_path):
    run = Recorded(tmp_path, apart(0.02, 0.035), max_seeds=4)
    with pytest.raises(UserError, match="--max-seeds must be at least 5"):
        run.run()
    assert run.looks == []


def test_what_is_left_out_of_the_plan_is_no_question_of_it(tmp_path):
    Recorded(tmp_path, apart(0.12, 0.1), RECORDED, max_seeds=5).run()
    part = Recorded(tmp_path, apart(0.12, 0.1), RECORDED, only="lr=0.0001")
    part.run()
    assert part.lines == ["nothing to compare: this run has no two settings with a score"]


def test_the_proposed_command_goes_on_where_a_look_was_cut(tmp_path):
    """The plan keeps `--until decided`: without it the command would plan the first look alone."""
    run = Recorded(tmp_path, apart(0.02, 0.035), TWO, max_seeds=8)
    assert "--until decided" in run.options.command()
    assert "--max-seeds 8" in run.options.command()
    assert "--budget" not in Recorded(tmp_path, apart(0, 1), budget="2h").options.command()


def test_a_new_version_declares_for_itself(tmp_path):
    Recorded(tmp_path, apart(np.log(2), 0.1)).run()
    raised = Recorded(tmp_path, apart(np.log(2), 0.1), TWO.replace("version: 1", "version: 2") + "looks: [6, 9]\n")
    assert prepare(raised.options, raised.stop).plan.design.looks == (6, 9)


# --------------------------------------------------------------------------------------- as users run it


def trials_of(results):
    found = [json.loads(path.read_text()) for path in results.glob("*/*/record.json")]
    return sorted(each["status"] for each in found)


@pytest.fixture
def real(tmp_path):
    (tmp_path / "real.yaml").write_text(REAL)
    return tmp_path


OPTIONS = ("--profile", "full", "--executor", "inline", "--no-tracking", "--train-limit", "300")


def test_the_command_says_what_is_open_and_ends_with_the_answer(real):
    done = gan_bench("run", "real.yaml", "--until", "decided", *OPTIONS, cwd=real)
    assert done.returncode == 0, done.stderr
    text = done.stdout + done.stderr
    counts = re.findall(r"2 questions: (.*); (none|\d+) open", text)
    assert counts
    assert counts[-1][1] == "none"
    assert re.search(r"Best (?:score|setting): lr \S+, FID", text), text
    assert_whole(real / "results")
    again = gan_bench("run", "real.yaml", "--until", "decided", *OPTIONS, cwd=real)
    assert again.returncode == 0
    assert "to run" not in again.stdout.replace("0 to run", "")
    (stored,) = json.loads((real / "results/real/plan.json").read_text())["designs"].values()
    assert stored == {"digits": {"seeds": [0, 1, 2, 3, 4, 5], "looks": [3, 4, 6], "margin": 0.1}}


@pytest.mark.slow
def test_killed_at_any_look_it_goes_on_there(real):
    """SIGKILL as soon as a trial of the second look has begun."""
    (real / "real.yaml").write_text(REAL.replace("[3, 4, 6]", "[3, 12]"))
    command = [sys.executable, "-m", "gan_bench", "run", "real.yaml", "--until", "decided", *OPTIONS]
    process = subprocess.Popen(command, cwd=real, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def second_look():
        return len(list(real.glob("results/real/*seed=3*"))) > 0 or process.poll() is not None

    wait_for(second_look)
    was_running = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {path.parent.name for path in real.glob("results/real/*/record.json")}
    done = subprocess.run(command, cwd=real, capture_output=True, text=True, check=False, timeout=HANG)
    assert done.returncode == 0, done.stderr
    assert was_running, "else the look was not cut"
    assert before <= {path.parent.name for path in real.glob("results/real/*/record.json")}
    assert len(before) >= 6
    assert trials_of(real / "results") == ["done"] * len(trials_of(real / "results"))
    assert_whole(real / "results")


def test_a_budget_ends_it_with_a_checkpoint_a_report_and_exit_code_0(real):
    (real / "real.yaml").write_text(REAL.replace("epochs: 1}", "epochs: 4000}").replace("[1]", "[4000]"))
    done = gan_bench("run", "real.yaml", "--until", "decided", "--budget", "3s", *OPTIONS, cwd=real)
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert "the budget is spent: stopping after a checkpoint" in text
    assert "6 trials left when the budget was spent; the same command continues" in text
    assert (real / "results/report/answer.md").exists()


def test_a_budget_below_the_estimate_trains_nothing(real):
    from support.commands import measuring

    (real / "real.yaml").write_text(REAL.replace("epochs: 1}", "epochs: 40000}").replace("[1]", "[40000]"))
    done = gan_bench("run", "real.yaml", "--until", "decided", "--budget", "1min", *OPTIONS, cwd=real, env=measuring())
    assert done.returncode == 0
    assert "the budget of 60 s does not suffice for it: nothing more is trained" in done.stdout
    assert trials_of(real / "results") == []


def test_a_bad_trial_ends_it_where_that_is_asked_for(real):
    (real / "parts.py").write_text(BROKEN)
    own = "set: {architecture: broken, dataset"
    (real / "real.yaml").write_text(
        REAL.replace("trials:", "plugins: [./parts.py]\ntrials:").replace("set: {dataset", own)
    )
    command = ("run", "real.yaml", "--until", "decided", "--fail-fast", "--allow-plugins")
    done = gan_bench(*command, *OPTIONS, cwd=real)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "open" not in done.stdout.split("settings (full")[0].replace("opened", "")
    seeds = {json.loads(p.read_text())["config"]["seed"] for p in real.glob("results/real/*/trial.json")}
    assert seeds <= {0, 1, 2}, "no further look"


@pytest.mark.slow
def test_two_processes_that_join_end_with_one_study(real):
    command = [sys.executable, "-m", "gan_bench", "run", "real.yaml", "--until", "decided", "--join", *OPTIONS]
    both = [subprocess.Popen(command, cwd=real, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(2)]
    said = [process.communicate(timeout=HANG)[0].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert all("none open" in text for text in said)
    assert_whole(real / "results")
    alone = real / "alone"
    gb.run(real / "real.yaml", until="decided", results=alone, profile="full", executor="inline", tracking=False)
    names = [sorted(p.parent.name for p in folder.glob("real/*/record.json")) for folder in (real / "results", alone)]
    assert names[0] == names[1]


def test_the_python_call(real, capsys):
    made = gb.run(
        real / "real.yaml", until="decided", max_seeds=4, budget="1h", results=real / "results", profile="full",
        executor="inline", tracking=False, quiet=False, train_limit=300,
    )  # fmt: skip
    assert made.exit_code == 0
    seeds = {json.loads(p.read_text())["config"]["seed"] for p in real.glob("results/real/*/trial.json")}
    assert seeds <= {0, 1, 2, 3}
    assert "questions" in capsys.readouterr().out


def test_a_suite_that_is_edited_between_looks_ends_the_run(real, monkeypatch):
    """The second look trained and decided what the file said by then, without a word."""
    suite, carry_out = real / "real.yaml", run_suite.carry_out

    def edited(*given):
        suite.write_text(suite.read_text() + "# another thought\n")
        return carry_out(*given)

    monkeypatch.setattr(run_suite, "carry_out", edited)
    with pytest.raises(UserError, match="real.yaml was changed since this run began"):
        gb.run(suite, until="decided", results=real / "results", profile="full", executor="inline", tracking=False)
    seeds = {json.loads(p.read_text())["config"]["seed"] for p in real.glob("results/real/*/trial.json")}
    assert len(seeds) == 3


def test_the_rest_is_shared_by_all_trials_that_run_at_a_time(monkeypatch, capsys):
    """On a cluster it was told as if they ran one after another."""
    monkeypatch.setattr(run_suite, "_rest", lambda *_: (8, 8 * 3600.0))
    asked = [Question(text="lr", state="undecided", next=8, settings=frozenset({"a"}))]
    prepared = SimpleNamespace(place=SimpleNamespace(sites=(), jobs=lambda count: min(count, 4)))
    run_suite._say_how_far(asked, asked, [], prepared, 8, PlainConsole())
    assert f"at most 8 trials, about {duration(2 * 3600)}" in " ".join(capsys.readouterr().out.split())
