"""Trials that train together: each ends, fails, stops and goes on by itself, and leaves the record of a lone one."""

from __future__ import annotations

import contextlib
import io
import json
import threading
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from support.commands import gan_bench, measuring
from support.engines import fake_capture, members, train_together
from support.needs import slow
from support.records import bits
from support.runs import CPU, context, sites, stop_after, train, train_in_processes
from support.trials import digits_trial

from gan_bench.audit.standards import lone_way
from gan_bench.config.trial import EvaluationConfig
from gan_bench.execution.preflight.estimate import estimate
from gan_bench.execution.trial import checkpoints
from gan_bench.execution.trial.context import RunContext
from gan_bench.execution.trial.decision import Policy
from gan_bench.execution.trial.events import Finished, StepRequest, StepResult, ignore
from gan_bench.execution.trial.meter import Meter
from gan_bench.execution.workers import inline
from gan_bench.execution.workers import pool as worker_pool
from gan_bench.execution.workers.inline import schedule
from gan_bench.execution.workers.job import group_trials
from gan_bench.records.earlier import Earlier
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.reader import read_trial
from gan_bench.records.record import Failure, Status
from gan_bench.records.verify import verify
from gan_bench.terminal.console import PlainConsole
from gan_bench.terminal.display import ProgressDisplay
from gan_bench.training.fast.engine import FastEngine
from gan_bench.training.group import group as groups
from gan_bench.training.group import ways
from gan_bench.training.group.group import CapturedEngine, Group
from gan_bench.training.group.ways import ALONE, BRANCHES, LAST, STACKED
from gan_bench.training.state import TrainState
from gan_bench.training.step import Batch


def trials(architecture="mlp", **changes):
    """Four trials: two seeds at two learning rates; an epoch has five steps, the last of fewer images."""
    small = {"architecture": architecture, "batch_size": 16, "train_limit": 76, **changes}
    made = [digits_trial(seed, **small) for seed in (0, 1)]
    return [replace(t, config=replace(t.config, lr_g=lr, lr_d=lr)) for lr in (2e-4, 3e-4) for t in made]


def run(results, which, size=4, there=None, **options):
    return train(results, which, there or context(), ignore, sizes=lambda _: size, **options).records


@pytest.mark.parametrize("architecture", ["mlp", *slow("dcgan28")])
def test_members_leave_the_records_of_lone_trials(tmp_path, architecture):
    which = trials(architecture)
    together, alone = run(tmp_path / "together", which), run(tmp_path / "alone", which, 1)
    for trial in which:
        member, lone = together[trial.id], alone[trial.id]
        assert (member.status, member.group, lone.group) == (Status.DONE, 4, 1)
        assert (member.epochs, member.steps, member.images) == (lone.epochs, lone.steps, lone.images)
        assert member.final["loss_d"] == pytest.approx(lone.final["loss_d"], rel=1e-2)
        stored = [read_trial(RecordDirectory.of(tmp_path / name, trial).path) for name in ("together", "alone")]
        assert [line["step"] for line in stored[0].history] == [line["step"] for line in stored[1].history]
        first = next(line for line in stored[0].history if line["kind"] == "step")
        assert first["loss_d"] == pytest.approx(stored[1].history[0]["loss_d"], rel=1e-4)
    assert not any(verdict.faults for verdict in verify(tmp_path / "together") if verdict.checked)


def test_an_interrupted_group_goes_on_to_the_bit(tmp_path):
    which = trials(epochs=3)
    run(tmp_path / "whole", which)
    looks = iter(range(10**6))
    records = run(tmp_path / "cut", which, there=context(lambda: next(looks) > 25))
    assert Status.INTERRUPTED in {record.status for record in records.values()}
    records = run(tmp_path / "cut", which)
    assert {record.status for record in records.values()} == {Status.DONE}
    for trial in which:
        assert bits(RecordDirectory.of(tmp_path / "cut", trial)) == bits(RecordDirectory.of(tmp_path / "whole", trial))


def test_one_that_is_behind_catches_up(tmp_path):
    """A trial that was stopped earlier than the others goes first, then all go together."""
    which = trials(epochs=3)
    looks = iter(range(10**6))
    run(tmp_path, which[:1], there=context(lambda: next(looks) > 8))
    assert Earlier(RecordDirectory.of(tmp_path, which[0])).status is Status.INTERRUPTED
    records = run(tmp_path, which)
    assert [(records[t.id].status, records[t.id].epochs, records[t.id].group) for t in which] == [
        (Status.DONE, 3, 4)
    ] * 4


def test_members_of_other_lengths_end_by_themselves(tmp_path):
    which = trials()
    evaluation = replace(which[1].config.evaluation, epochs=(0, 1))
    which[1] = replace(which[1], config=replace(which[1].config, epochs=1, evaluation=evaluation))
    records = run(tmp_path, which)
    assert [records[t.id].epochs for t in which] == [2, 1, 2, 2]
    assert {record.status for record in records.values()} == {Status.DONE}


def test_a_member_that_diverges_leaves_the_others_alone(tmp_path, monkeypatch):
    which = trials()
    plain = RunContext.engine

    def poisoned(where, config):
        engine = plain(where, config)
        if (config.seed, config.lr_g) == (1, 2e-4):
            with torch.no_grad():
                next(engine.state.generator.parameters())[0, 0] = float("nan")
        return engine

    lone = run(tmp_path / "alone", which[:1], 1)
    monkeypatch.setattr(RunContext, "engine", poisoned)
    records = run(tmp_path / "together", which)
    assert [records[t.id].status for t in which] == [Status.DONE, Status.DIVERGED, Status.DONE, Status.DONE]
    assert records[which[0].id].final["loss_d"] == pytest.approx(lone[which[0].id].final["loss_d"], rel=1e-2)


def test_a_crash_of_the_step_is_a_row_of_every_member(tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("the device fell off the bus")

    monkeypatch.setattr(Group, "advance", broken)
    records = run(tmp_path, trials())
    assert {(r.status, r.failure, r.reason) for r in records.values()} == {
        (Status.FAILED, Failure.CRASH, "RuntimeError: the device fell off the bus")
    }


@pytest.mark.parametrize(
    ("error", "size"),
    [
        ("CUDA out of memory", 2),
        ("GET was unable to find an engine to execute this computation", 2),
        ("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED", 2),
        ("no such kernel", 1),
    ],
)
def test_a_group_that_cannot_be_formed_is_made_smaller(tmp_path, monkeypatch, error, size):
    plain = Group.prepare

    def prepare(group):
        plain(group)
        if len(group.members) > 2:
            raise RuntimeError(error)

    monkeypatch.setattr(Group, "prepare", prepare)
    with pytest.warns(RuntimeWarning, match=f"4 trials do not train together .RuntimeError: {error}"):
        records = run(tmp_path, trials())
    assert {(record.status, record.group) for record in records.values()} == {(Status.DONE, size)}


def bytes_held(engines):
    """Memory of all that training keeps of trials, stacks of which they hold a part counted whole."""
    storages = {}
    for state in (engine.state for engine in engines):
        for network, optimizer in ((state.generator, state.optimizer_g), (state.discriminator, state.optimizer_d)):
            moments = [tensor for each in optimizer.state.values() for tensor in each.values()]
            weights = [part for p in network.parameters() for part in (p.data, p.grad) if part is not None]
            storages |= {t.untyped_storage().data_ptr(): t.untyped_storage() for t in (*weights, *moments)}
            storages |= {b.untyped_storage().data_ptr(): b.untyped_storage() for b in network.buffers()}
    return sum(storage.nbytes() for storage in storages.values())


@pytest.mark.parametrize("architecture", ["mnist-mlp-z100", "mnist-dcgan"])
def test_trials_that_wait_keep_no_stacks_of_a_group_that_was_given_up(monkeypatch, architecture):
    """Each halving took more memory: the stacks of all, and those of the half that trains."""
    plain, held = Group.prepare, []

    def prepare(group):
        plain(group)
        if len(group.members) > 2:
            raise RuntimeError("CUDA out of memory")

    def training(engine):
        yield StepRequest(engine, 1, lambda: False)
        held.append(bytes_held(engines))

    monkeypatch.setattr(Group, "prepare", prepare)
    engines = [one for _ in range(2) for one in members(architecture, FastEngine)[:2]]
    with pytest.warns(RuntimeWarning, match="4 trials do not train together"):
        schedule(map(training, engines))
    whole = members(architecture, FastEngine)[:2]
    train_together(Group(whole), 1)
    assert len(held) == 4
    assert max(held) <= 2.1 * bytes_held(whole)
    assert max(held[:2]) <= 1.9 * bytes_held(whole)  # those that wait have no gradients


def test_a_group_that_runs_out_of_memory_as_an_epoch_begins_trains_on_in_halves(tmp_path, monkeypatch):
    """All of its trials failed, though nothing of a step was done."""
    load, asked = Group._load_draws, []

    def load_draws(group):
        if group._states[0].epoch == 1 and len(group.members) > 2:
            asked.append(len(group.members))
            raise RuntimeError("CUDA out of memory. Tried to allocate 24.00 MiB")
        load(group)

    whole = run(tmp_path / "whole", trials())
    monkeypatch.setattr(Group, "_load_draws", load_draws)
    with pytest.warns(RuntimeWarning, match="4 trials do not train together .RuntimeError: CUDA out of memory"):
        records = run(tmp_path / "halves", trials())
    assert asked == [4]
    for trial in trials():
        halved, undisturbed = records[trial.id], whole[trial.id]
        assert (halved.status, halved.group, halved.steps) == (Status.DONE, 4, undisturbed.steps)
        assert halved.final["loss_d"] == pytest.approx(undisturbed.final["loss_d"], rel=1e-2)


def test_trials_are_halved_where_memory_runs_out_while_moments_are_stacked(monkeypatch):
    """Those of one setting were there and those of the next were not: the trials failed by a key that was missing."""
    engines = members("mnist-mlp-z100", FastEngine)
    plain, counted = torch.Tensor.to, []

    def to(tensor, *given, **named):
        counted.extend([1] * bool(named.get("copy")))
        if named.get("copy") and len(counted) == 2:
            raise RuntimeError("CUDA out of memory")
        return plain(tensor, *given, **named)

    def training(engine):
        while not engine.state.batch:
            yield StepRequest(engine, 1, lambda: False)

    monkeypatch.setattr(torch.Tensor, "to", to)
    with pytest.warns(RuntimeWarning, match="3 trials do not train together"):
        schedule(map(training, engines))
    assert [engine.state.batch for engine in engines] == [1] * 3


def test_every_epoch_of_a_group_counts_what_its_draws_take(tmp_path, monkeypatch):
    """From its second epoch on a group drew before the clock began, which a single trial does not."""
    clock, load = [0.0], Group._load_draws

    def load_draws(group):
        if group._loaded != group._states[0].epoch + 1:
            clock[0] += 100.0
        load(group)

    monkeypatch.setattr(inline, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    monkeypatch.setattr(Group, "_load_draws", load_draws)
    records = run(tmp_path, trials(epochs=4))
    assert {record.train_seconds for record in records.values()} == {75.0}, "three epochs of a standing group, in four"


@pytest.mark.parametrize("size", [1, 2])
def test_records_say_whether_a_graph_was_replayed(tmp_path, monkeypatch, size):
    plain = run(tmp_path / "plain", trials()[:2], size)
    assert {record.captured for record in plain.values()} == {False}

    def engine(where, config):
        state = TrainState.start(config, CPU)
        return CapturedEngine(config, where.training_images(config), state, capture=partial)  # partial(body) repeats it

    monkeypatch.setattr(RunContext, "engine", engine)
    captured = run(tmp_path / "captured", trials()[:2], size)
    assert {(record.captured, record.group) for record in captured.values()} == {(True, size)}
    assert {record.way for record in captured.values()} == {ALONE if size == 1 else STACKED}
    assert {record.way for record in plain.values()} == {None if size == 1 else STACKED}


@pytest.mark.parametrize("size", [1, 3])
def test_rehearsing_and_recording_are_no_training(monkeypatch, size):
    """They counted as seconds and energy of training, and made the first pace that of a machine that is busy."""
    clock, best, take, results = [0.0], Group._best, Group._take, []

    def passing(seconds, function):
        def call(*given):
            clock[0] += seconds
            return function(*given)

        return call

    monkeypatch.setattr(inline, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    monkeypatch.setattr(Group, "_best", passing(100.0, best))
    monkeypatch.setattr(Group, "_take", passing(1.0, take))

    def training(engine):
        for _ in range(2):
            result = yield StepRequest(engine, 1, lambda: False)
            results.append(result)

    engines = members("mnist-mlp-z100", partial(CapturedEngine, capture=partial))[:size]
    schedule(map(training, engines))
    assert clock == [102.0]
    assert results == [StepResult(1 / size, size, captured=True, way=ALONE if size == 1 else STACKED)] * 2 * size


@pytest.mark.parametrize(("lost", "share"), [(checkpoints.LOST_SECONDS, 0.01), (200.0, 0.02)])
def test_checkpoints_of_a_group_take_one_percent_of_its_time(tmp_path, monkeypatch, lost, share):
    """All trials of a group wait while one saves; each weighed its own checkpoint against the time alone."""
    clock, saved, take = [0.0], [], Group._take

    def step(group, body):
        clock[0] += 100.0
        take(group, body)

    def save(directory, *_):
        clock[0] += 1.0
        saved.append(directory)

    monkeypatch.setattr(checkpoints, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(checkpoints, "save", save)
    monkeypatch.setattr(checkpoints, "LOST_SECONDS", lost)
    monkeypatch.setattr(Group, "_take", step)
    run(tmp_path, trials(epochs=8))
    assert len(set(saved)) == 4
    assert len(saved) / clock[0] == pytest.approx(share, abs=0.005)  # the first ones do not know yet what they cost


@pytest.mark.parametrize("other", [ALONE, ALONE + LAST])
def test_a_trial_that_is_resumed_keeps_the_way_it_began_with(tmp_path, monkeypatch, other):
    """Other measurements of another process must not change its bits."""

    def engine(where, config):
        state = TrainState.start(config, CPU)
        return CapturedEngine(config, where.training_images(config), state, capture=partial)

    monkeypatch.setattr(RunContext, "engine", engine)
    monkeypatch.setattr(groups, "ways", lambda members, device: [ALONE, ALONE + LAST])
    began = ({ALONE, ALONE + LAST} - {other}).pop()
    for stop, fastest in ((stop_after(5), began), (lambda: False, other)):
        monkeypatch.setattr(groups, "_CHOSEN", {})  # as in another process
        monkeypatch.setattr(Group, "seconds_per_step", lambda self, best=fastest: 0.1 if self.way == best else 1.0)
        records = run(tmp_path, trials()[:1], 1, context(stop))
        if fastest == began:
            assert [read_trial(path).record["status"] for path in tmp_path.glob("*/*--*")] == ["interrupted"]
    ((trial, record),) = [(t, records[t.id]) for t in trials()[:1]]
    assert (record.status, record.way) == (Status.DONE, began)
    assert read_trial(RecordDirectory.of(tmp_path, trial).path).record["way"] == began


def test_a_group_that_is_resumed_keeps_its_way(tmp_path, monkeypatch):
    monkeypatch.setattr(groups, "ways", lambda members, device: [STACKED, BRANCHES] if members[1:] else [ALONE])
    for stop, fastest in ((stop_after(40), BRANCHES), (lambda: False, STACKED)):
        monkeypatch.setattr(groups, "_CHOSEN", {})  # as in another process
        monkeypatch.setattr(Group, "seconds_per_step", lambda self, best=fastest: 0.1 if self.way == best else 1.0)
        records = run(tmp_path, trials(epochs=4)[:2], 2, context(stop))
    assert {(record.status, record.group, record.way) for record in records.values()} == {(Status.DONE, 2, BRANCHES)}


def test_steps_that_are_taken_alone_on_a_cpu_have_no_way(tmp_path):
    run(tmp_path, trials()[:2], 2, context(stop_after(5)))
    records = run(tmp_path, trials()[:2], 1)
    assert {(record.status, record.way) for record in records.values()} == {(Status.DONE, None)}


@pytest.mark.parametrize(
    ("record", "way"),
    [
        ({}, ALONE),  # of an earlier version
        ({"way": ALONE + LAST}, ALONE + LAST),
        ({"way": "kernels"}, ALONE),  # of a group: its steps are taken alone in an audit
    ],
)
def test_an_audit_takes_the_steps_of_a_record_as_it_was_made(record, way):
    assert lone_way(record) == way


def test_a_checkpoint_of_an_earlier_version_goes_on_as_it_began():
    meter = Meter(CPU, None)
    meter.load_state_dict({"train_seconds": 1.0, "evaluate_seconds": 0.0, "energy_joules": None})
    assert meter.way == ALONE


def test_the_reference_engine_trains_alone(tmp_path):
    records = run(tmp_path, trials(), there=replace(context(), engine_choice="reference"))
    assert {(record.status, record.group) for record in records.values()} == {(Status.DONE, 1)}


def test_fail_fast_skips_what_comes_after_the_group(tmp_path, monkeypatch):
    monkeypatch.setattr(FastEngine, "snapshot", lambda self: 1 / 0)
    which = [*trials(), *trials(latent_dim=32)]
    run(tmp_path, which, policy=Policy(fail_fast=True))
    statuses = [Earlier(RecordDirectory.of(tmp_path, trial)).status for trial in which]
    assert statuses == [Status.FAILED] * 4 + [Status.SKIPPED] * 4


def test_groups_hold_what_can_train_together():
    which = [*trials(), *trials("dcgan28"), *trials(latent_dim=32), *trials(epochs=5, log_every=7)]
    made = group_trials(which, lambda config: 3 if config.architecture == "mlp" else 8)
    assert [len(batch) for batch in made] == [2, 3, 3, 4, 2, 2]
    assert sorted(t.name for batch in made for t in batch) == sorted(t.name for t in which)


def test_groups_are_measured_and_expected():
    which = trials()
    plain = estimate(which, context())
    assert plain.group(which[0].config) == 1
    wished = estimate(which, context(), group=3)
    assert wished.group(which[0].config) == 3
    assert wished.seconds > 0
    assert estimate(which[:2], context(), group=3).group(which[0].config) == 2


def test_groups_from_the_command_line(tmp_path):
    suite = tmp_path / "tiny.yaml"
    suite.write_text(
        "suite: tiny\nversion: 1\nseeds: [0, 1]\nevaluate: {samples: 64}\ntrials:\n"
        "  - {recipe: mnist-mlp-z100, set: {dataset: digits, epochs: 2}, sweep: {lr: [2e-4, 3e-4]}}\n"
    )
    environment, few = {**measuring(), "OMP_NUM_THREADS": "1"}, ("--train-limit", 300)
    done = gan_bench(
        "run", suite, "--results", tmp_path / "r", "--group", 4, "--profile", "full", *few, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert "trials that train together: up to 4 (all of a kind)" in " ".join(done.stdout.split())
    records = [json.loads(path.read_text()) for path in (tmp_path / "r" / "tiny").glob("*/record.json")]
    assert [record["group"] for record in records] == [4] * 4
    assert "4 runs up to date" in gan_bench("sync", tmp_path / "r").stdout


def sizes_of_ends(heard):
    """The batch sizes of trials, in the order in which they ended."""
    return [event.trial.config.batch_size for event in heard if isinstance(event, Finished)]


class InThisProcess:
    """Stands for a worker of a GPU, and runs its jobs here."""

    def __init__(self, site, work, listening):
        self.work = work

    def start(self, stop):
        pass

    def run(self, trials, stop):
        done = train(self.work.results, trials, context(), self.work.listener, sizes=lambda _: len(trials))
        return {trial.id: done.records[trial.id] for trial in trials}

    def dismiss(self):
        pass


def test_the_shortest_group_goes_first_and_the_longest_where_others_wait(tmp_path, monkeypatch):
    """On one device most have ended whenever somebody looks; of several none is waited for in the end."""
    few = EvaluationConfig(epochs=(1,), samples=64, extractors=("lenet-mnist-v1",))
    which = [*trials(epochs=2, evaluation=few), *trials(epochs=1, evaluation=few)]
    which = [replace(t, config=replace(t.config, batch_size=32 + 32 * (t.config.epochs == 2))) for t in which]

    def seconds(trial):
        return float(trial.config.epochs)

    seen = []
    train(tmp_path / "one", which, context(), seen.append, sizes=lambda _: 4, seconds=seconds)
    assert sizes_of_ends(seen) == [32] * 4 + [64] * 4
    seen = []
    monkeypatch.setattr(worker_pool, "Worker", InThisProcess)
    pool = sites("cuda:0", threads=None)
    train_in_processes(
        tmp_path / "pool", which[::-1], context(), seen.append, Policy(), pool, sizes=lambda _: 4, seconds=seconds
    )
    assert sizes_of_ends(seen) == [64] * 4 + [32] * 4


@pytest.mark.usefixtures("forked_children")
def test_groups_in_worker_processes(tmp_path):
    """One process trains several trials together; a lost process loses just those."""
    which = trials()
    pool = sites("cpu", "cpu")
    records = train_in_processes(tmp_path, which, context(), ignore, Policy(), pool, sizes=lambda _: 2).records
    assert {(record.status, record.group) for record in records.values()} == {(Status.DONE, 2)}
    alone = tmp_path / "alone"
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        run(alone, which, 2)
    finally:
        torch.set_num_threads(threads)
    for trial in which:
        assert bits(RecordDirectory.of(tmp_path, trial)) == bits(RecordDirectory.of(alone, trial))


CANNOT_GROUP = """
from gan_bench.training.group.group import Group

def prepare(group):
    raise RuntimeError("no such kernel")

Group.prepare = prepare
"""


@pytest.mark.ci
@pytest.mark.filterwarnings("default::RuntimeWarning")
def test_what_worker_processes_warn_of_is_shown(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(CANNOT_GROUP)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    lines = PlainConsole(file=io.StringIO(), width=200)
    pool = sites("cpu")
    with ProgressDisplay(lines, 2, several=True) as watch:
        records = train_in_processes(
            tmp_path / "r", trials()[:2], context(), watch, Policy(), pool, sizes=lambda _: 2
        ).records
    assert {(record.status, record.group) for record in records.values()} == {(Status.DONE, 1)}
    said = lines.file.getvalue()
    assert "warning: 2 trials do not train together (RuntimeError: no such kernel)" in said


def test_a_run_that_raises_does_not_stop_the_others():
    """What lies outside a run's own care, as a lock that cannot be written, is raised once the others have ended."""

    def broken():
        raise OSError(28, "No space left on device")
        yield

    ended = []

    def sound():
        ended.append("started")
        return "done"
        yield

    with pytest.raises(OSError, match="No space"):
        schedule([broken(), sound()])
    assert ended == ["started"]


def test_a_schedule_does_not_set_back_the_numbers_that_others_draw_meanwhile():
    """A notebook that drew random numbers beside a run in a thread drew the same ones again after each group."""
    torch.manual_seed(0)

    def beside():
        yield from ()
        return torch.rand(3)

    (drawn,) = schedule([beside()])
    assert not torch.equal(drawn, torch.rand(3))


# ------------------------------------------------------------------ what fails on a card, with stand-ins for it


@pytest.mark.parametrize("near", [False, True])
def test_a_way_that_was_kept_and_fails_here_is_replaced_by_one_that_works(monkeypatch, near):
    """A trial that was begun where a compiler is crashed where none is; so did groups of another size."""

    def broken(way, engines):
        def fail(_):
            raise RuntimeError("no compiler was found")

        return ways.make_step(way, engines) if way == ways.STACKED else fail

    monkeypatch.setattr(groups, "make_step", broken)
    monkeypatch.setattr(groups, "ways", lambda *_: [ways.STACKED, ways.WRITTEN])
    known = {4: ways.WRITTEN} if near else {}
    monkeypatch.setattr(groups, "_CHOSEN", SimpleNamespace(setdefault=lambda *_: known))
    together = Group(members("mnist-mlp-z100", FastEngine), fake_capture, None if near else ways.WRITTEN)
    with pytest.warns(RuntimeWarning, match="the way 'written out' of training is not used .*no compiler was found"):
        train_together(together, 2)
    assert together.way == ways.STACKED
    assert known == {**({4: ways.WRITTEN} if near else {}), len(together.members): ways.STACKED}


def test_branches_of_a_step_that_fails_are_joined(monkeypatch):
    """Work that was left in them hid why the recording failed, and could write after the state was put back."""
    waits = []

    def stream(name):
        found = SimpleNamespace(name=name)
        found.wait_stream = lambda other: waits.append((name, other.name))
        return found

    current = stream("current")
    monkeypatch.setattr(torch.cuda, "current_stream", lambda *_: current)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: contextlib.nullcontext())
    branches = ways._Branches.__new__(ways._Branches)

    def fail(_):
        raise RuntimeError("CUDA out of memory")

    branches._steps, branches._streams = [lambda _: torch.zeros(4), fail], [stream("a"), stream("b")]
    with pytest.raises(RuntimeError, match="out of memory"):
        branches(Batch(torch.zeros(2, 1), torch.zeros(2, 1), None))
    assert waits[-2:] == [("current", "a"), ("current", "b")]


def test_a_recording_that_fails_ends_for_the_allocator_too(monkeypatch):
    """torch 2.11 took itself to be recording for good: nothing was recorded or freed any more in the process."""
    done, own = [], SimpleNamespace(name="own", wait_stream=lambda _: None)
    usual = SimpleNamespace(name="usual", wait_stream=lambda _: None)

    @contextlib.contextmanager
    def graph(_, *, pool, stream, capture_error_mode):
        done.append((pool, stream.name, capture_error_mode))
        yield
        raise RuntimeError("operation failed due to a previous error during capture")

    for name, stand_in in {
        "Stream": lambda _: own, "current_stream": lambda: usual, "stream": lambda _: contextlib.nullcontext(),
        "CUDAGraph": SimpleNamespace, "graph_pool_handle": lambda: (0, 7), "graph": graph, "current_device": lambda: 1,
        "set_stream": lambda stream: done.append(stream.name),
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(ways, "_streams", {})
    for name in ("_cuda_endAllocateToPool", "_cuda_releasePool"):
        monkeypatch.setattr(torch._C, name, lambda *given, name=name: done.append((name, *given)), raising=False)
    with pytest.raises(RuntimeError, match="during capture"):
        groups.cuda_capture(lambda: None)
    assert done == [
        ((0, 7), "own", "thread_local"), "usual",
        ("_cuda_endAllocateToPool", 1, (0, 7)), ("_cuda_releasePool", 1, (0, 7)),
    ]  # fmt: skip
    assert not ways._streams  # its own may not have left the recording


def test_recordings_and_branches_of_a_thread_use_the_same_streams_again(monkeypatch):
    """For each new stream PyTorch keeps a workspace of cuBLAS for good."""
    made = []

    def stream(device=1):
        made.append(SimpleNamespace(device=device, wait_stream=lambda _: None))
        return made[-1]

    for name, stand_in in {
        "Stream": stream, "current_stream": lambda: SimpleNamespace(wait_stream=lambda _: None),
        "stream": lambda _: contextlib.nullcontext(), "CUDAGraph": lambda: SimpleNamespace(replay=None),
        "graph_pool_handle": lambda: (0, 7), "graph": lambda *_, **__: contextlib.nullcontext(),
        "current_device": lambda: 1,
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(ways, "_streams", {}, raising=False)
    member = SimpleNamespace(step=lambda *, anew: None, images=SimpleNamespace(device=torch.device("cuda", 1)))
    for count in (2, 3):
        groups.cuda_capture(lambda: None)
        branches = ways._Branches([member] * count)
        assert len(set(map(id, branches._streams))) == count
    assert [each.device for each in made] == [1] * 4
    other = threading.Thread(target=groups.cuda_capture, args=(lambda: None,))
    other.start()
    other.join()
    assert len(made) == 5  # what one thread records is no part of another's graph
