"""Bundles, the dispatcher on a cluster made up for the purpose, and what a cluster is asked."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.commands import HANG
from support.runs import stop_after
from support.trials import digits_trial

from gan_bench.config.image_folder import DataRoot, ImageFolder, Transform
from gan_bench.core.errors import UserError
from gan_bench.execution.cluster import connection, dispatcher, executor, task, transport
from gan_bench.execution.cluster.dispatcher import LEAST_SECONDS, RETRIES, Dispatcher, make_bundles
from gan_bench.execution.cluster.executor import OnCluster
from gan_bench.execution.cluster.node import Share, SharedFolder, check_node, get_in_thread, share_of, versions
from gan_bench.execution.cluster.transport import Bundle, Ended, loss_of
from gan_bench.execution.trial.context import RunContext
from gan_bench.execution.trial.decision import Policy
from gan_bench.execution.workers.job import Site, claim_to_json
from gan_bench.execution.workers.work import Results, Work
from gan_bench.records.earlier import Earlier
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.lock import Owner, break_lock, trial_lock
from gan_bench.records.record import Failure, Status, TrialRecord

TRIALS = [digits_trial(seed) for seed in range(6)]
DONE = TrialRecord(status=Status.DONE, reason=None)
LOST = "its node was lost"
AWAY = "the node far does not see the results folder"

# ----------------------------------------------------------------------------------------------------- bundles


@given(
    costs=st.lists(st.floats(0, 200), max_size=30),
    slots=st.integers(1, 8),
)
def test_bundles_hold_every_trial_once_in_order_and_are_worth_their_start(costs, slots):
    trials = [digits_trial(seed) for seed in range(len(costs))]
    cost = dict(zip((t.id for t in trials), costs, strict=True))
    bundles = make_bundles([[trial] for trial in trials], lambda trial: cost[trial.id], slots)
    assert [trial for bundle in bundles for trial in bundle.trials] == trials
    enough = min(LEAST_SECONDS, sum(costs) / slots)
    assert all(sum(cost[t.id] for t in bundle.trials) >= enough * (1 - 1e-9) for bundle in bundles[:-1])
    assert all(sum(cost[t.id] for t in bundle.trials[:-1]) < enough or not enough for bundle in bundles)


# -------------------------------------------------------------------------------------------------- dispatcher


@dataclass
class FakeCluster:
    """A cluster whose tasks do what a script says: ``fates`` gives, for each task in order, what comes of it."""

    fates: list = field(default_factory=list)
    room: int = 1
    gone: frozenset = frozenset()
    sent: list = field(default_factory=list)
    killed: list = field(default_factory=list)
    stopped: bool = False
    _said: list = field(default_factory=list)
    _over: list = field(default_factory=list)

    def slots(self):
        return self.room

    def submit(self, bundle):
        handle = len(self.sent)
        self.sent.append(bundle)
        fate = self.fates[handle] if handle < len(self.fates) else None
        claims, loss = {}, None
        for trial in bundle.trials if fate != AWAY else ():
            self._say(handle, "started", trial=trial.id, resumed_at=None)
            if fate == LOST:
                loss = fate
                break
            claims[trial.id] = fate or DONE
        if fate == AWAY:
            self._over.append(Ended(handle, loss=AWAY, is_unfit=True))
        elif fate != "silent":
            self._over.append(Ended(handle, {} if loss else claims, loss))
        return handle

    def _say(self, handle, event, **content):
        self._said.append((handle, {"event": event, **content}))

    def events(self):
        said, self._said = self._said, []
        return said

    def wait(self, seconds):
        over, self._over = self._over, []
        return over

    def kill(self, handle):
        self.killed.append(handle)
        self._over.append(Ended(handle, {}, LOST))

    def stop(self):
        self.stopped = True

    def recall(self):
        self.recalled = True

    def is_gone(self, host):
        return host in self.gone


def dispatch(cluster, results, bundles, *, policy=None, stop=lambda: False, most=None, clock=None):
    into = Results(Work(trials=TRIALS, results=results, policy=policy or Policy(), stop=stop))
    Dispatcher(cluster, into, most, **({"clock": clock} if clock else {})).carry(bundles)
    return into


def each(trials):
    return [Bundle(((trial,),)) for trial in trials]


def test_every_trial_is_carried_out_once(tmp_path):
    cluster = FakeCluster(room=3)
    into = dispatch(cluster, tmp_path, each(TRIALS))
    assert list(into.records.values()) == [DONE] * len(TRIALS)
    assert [bundle.trials for bundle in cluster.sent] == [(trial,) for trial in TRIALS]


def test_a_node_that_does_not_fit_ends_the_run_and_costs_no_trial(tmp_path):
    """It answers at once, so that it got all trials that waited, three times each: they had failed for good."""
    with pytest.raises(UserError, match=f"{AWAY}; then the same command continues"):
        dispatch(FakeCluster([DONE, AWAY]), tmp_path, each(TRIALS[:3]))
    assert not list(tmp_path.rglob("record.json"))
    stopped = dispatch(FakeCluster([AWAY]), tmp_path, each(TRIALS[:1]), stop=stop_after(1))
    assert not stopped.records


def test_tasks_on_other_nodes_save_checkpoints_where_one_does_not_fit(tmp_path):
    """They were killed: the run ended, and with it the cluster's tasks."""
    cluster, heard = FakeCluster(["silent", "silent", AWAY], room=3), []
    cut = replace(DONE, status=Status.INTERRUPTED)

    def stop():
        heard.append(len(cluster.sent))
        cluster._over += [Ended(0, {TRIALS[0].id: DONE}), Ended(1, {TRIALS[1].id: cut})]

    cluster.stop = stop
    into = Results(Work(trials=TRIALS, results=tmp_path, policy=Policy(), stop=lambda: False))
    with pytest.raises(UserError, match=AWAY):
        Dispatcher(cluster, into).carry(each(TRIALS[:3]))
    assert heard == [3], "asked once, and nothing is sent again"
    assert [record.status for record in into.records.values()] == [Status.DONE, Status.INTERRUPTED]


@pytest.mark.ray
@pytest.mark.parametrize("begun", [set(), {1}])
def test_a_node_where_tasks_cannot_begin_does_not_fit(monkeypatch, begun):
    """As one with another gan_bench, or none: what fails there before it has begun says nothing of its trials."""
    from ray.exceptions import RayTaskError

    monkeypatch.setattr(transport, "answer_of", lambda answer: answer)
    mailbox = SimpleNamespace(begun=SimpleNamespace(remote=lambda: begun))
    carrier = transport.RayTransport.__new__(transport.RayTransport)
    carrier._cluster = SimpleNamespace(driver=SimpleNamespace(mailbox=mailbox))

    def lost(cause):
        error = RayTaskError("carry", f"ray::carry() (pid=7, ip=10.0.0.1)\n{type(cause).__name__}", cause)
        return carrier._lost_task(1, error.as_instanceof_cause())

    ended = lost(ImportError("gan_bench"))
    assert ended.is_unfit == (not begun)
    assert ("the node 10.0.0.1 cannot run gan_bench (ImportError: gan_bench)" in ended.loss) == (not begun)
    assert lost(UserError(AWAY)) == Ended(1, loss=AWAY, is_unfit=True)
    assert not carrier._lost_task(1, NotImplementedError("ip=10.0.0.1")).is_unfit


def test_a_task_on_a_node_that_does_not_fit_begins_nothing(tmp_path):
    driver = SimpleNamespace(folder=SharedFolder(tmp_path, tmp_path / "mark", "token"), versions=versions())
    with pytest.raises(UserError, match="does not see the results folder"):
        task.carry(driver, 1, (), ())


def identity(images="1", layers="1", held_out="1", **parts):
    of_parts = {name: {"sha256": digest} for name, digest in parts.items()}
    return {"data_sha256": images, "held_out_sha256": held_out, "networks_sha256": layers, "parts": of_parts}


@pytest.mark.parametrize(
    ("here", "other"),
    [
        (identity(a="1", b="1"), None),  # a GPU has extractors of its own
        (identity("2", a="1"), "images of digits"),
        (identity(held_out="2", a="1"), "held-out images of digits"),
        (identity(layers="2", a="1"), "layers of mlp"),
        (identity("2", a="2"), "code of a and other images of digits"),
    ],
)
def test_trials_are_made_of_the_same_on_every_node(here, other):
    """Nodes with another version of a package of parts trained one setting together, without a word."""
    context = SimpleNamespace(identity=lambda _: here)
    made_of = task.distinct([trial.config for trial in TRIALS], lambda _: identity(a="1", c="1"))
    assert [config for config, _ in made_of] == [TRIALS[-1].config]
    if other is None:
        task.check_made_of(made_of, context=context)
    else:
        with pytest.raises(UserError, match=f"the node .* has other {other} than the node that was asked first"):
            task.check_made_of(made_of, context=context)


def test_no_more_tasks_than_asked_for_are_under_way(tmp_path):
    cluster = FakeCluster(fates=["silent"] * 2, room=8)
    stop = stop_after(3)
    cluster.stop = lambda: cluster._over.extend(Ended(i, {}) for i in range(len(cluster.sent)))
    dispatch(cluster, tmp_path, each(TRIALS), most=2, stop=stop)
    assert len(cluster.sent) == 2


def test_a_lost_trial_is_tried_twice_more_and_then_has_failed(tmp_path):
    cluster = FakeCluster(fates=[LOST] * (RETRIES + 1))
    into = dispatch(cluster, tmp_path, each(TRIALS[:1]))
    assert len(cluster.sent) == RETRIES + 1
    assert [bundle.retry for bundle in cluster.sent] == [False, True, True]
    record = into.records[TRIALS[0].id]
    assert (record.status, record.failure) == (Status.FAILED, Failure.CRASH)
    assert record.reason == "its node was lost (3 times)"
    assert Earlier(RecordDirectory.of(tmp_path, TRIALS[0])).record == record


def test_a_lost_bundle_charges_the_trial_that_was_under_way_alone(tmp_path):
    """The one that kills its process must not take the others with it."""
    cluster = FakeCluster(fates=[LOST, DONE, LOST, LOST])
    (first, *rest) = TRIALS[:3]
    into = dispatch(cluster, tmp_path, [Bundle(tuple((trial,) for trial in TRIALS[:3]))])
    assert [bundle.trials for bundle in cluster.sent] == [tuple(TRIALS[:3]), tuple(rest), (first,), (first,)]
    assert [into.records[t.id].status for t in TRIALS[:3]] == [Status.FAILED, Status.DONE, Status.DONE]


def test_a_task_that_ends_early_is_no_success(tmp_path):
    cluster = FakeCluster()
    cluster.wait = lambda _: [Ended(len(cluster.sent) - 1, {})] if cluster.sent else []
    into = dispatch(cluster, tmp_path, each(TRIALS[:1]))
    assert len(cluster.sent) == RETRIES + 1
    assert into.records[TRIALS[0].id].reason.startswith("its task ended before it")


@pytest.mark.parametrize("by_mail", [False, True])
def test_a_trial_that_lost_its_driver_goes_on(tmp_path, by_mail):
    """A task that cannot reach the driver saves a checkpoint and ends; nobody asked it to."""
    cut_off = TrialRecord(status=Status.INTERRUPTED, reason="interrupted")
    cluster = FakeCluster(fates=[cut_off])
    if by_mail:
        cluster._say(0, "claimed", trial=TRIALS[0].id, claim=claim_to_json(cut_off))
        cluster._said.insert(0, (0, {"event": "started", "trial": TRIALS[0].id, "resumed_at": None}))
    into = dispatch(cluster, tmp_path, each(TRIALS[:1]))
    assert len(cluster.sent) == 2
    assert into.records == {TRIALS[0].id: DONE}


def test_the_lock_of_a_machine_that_is_gone_is_broken_for_the_retry(tmp_path):
    """Some file systems keep it for ever."""
    held = trial_lock(RecordDirectory.of(tmp_path, TRIALS[0]))
    assert held.acquire() is None
    other = trial_lock(RecordDirectory.of(tmp_path, TRIALS[0]))
    assert other.acquire() is not None
    cluster = FakeCluster(fates=[LOST, Owner("gone", 5)], gone=frozenset({"gone"}))
    into = dispatch(cluster, tmp_path, each(TRIALS[:1]))
    assert into.records == {TRIALS[0].id: DONE}
    assert into.held == {}
    assert other.acquire() is None
    other.release()
    held.release()


@pytest.mark.parametrize(("gone", "first"), [((), LOST), (("gone",), None)])
def test_the_lock_of_anybody_else_is_respected(tmp_path, gone, first):
    owner = Owner("gone", 5)
    cluster = FakeCluster(fates=[first, owner] if first else [owner], gone=frozenset(gone))
    into = dispatch(cluster, tmp_path, each(TRIALS[:1]))
    assert into.held == {TRIALS[0].id: owner}


def test_a_task_that_does_not_end_at_its_limit_is_killed_and_not_tried_again(tmp_path):
    ticks = itertools.count(0, 50)
    cluster = FakeCluster(fates=["silent"])
    into = dispatch(cluster, tmp_path, each(TRIALS[:1]), policy=Policy(time_limit=10.0), clock=lambda: next(ticks))
    assert cluster.killed == [0]
    assert len(cluster.sent) == 1
    record = into.records[TRIALS[0].id]
    assert record.failure is Failure.TIMEOUT
    assert "did not stop at its time limit" in record.reason


def test_a_stop_sends_nothing_more_and_takes_what_comes(tmp_path):
    cluster = FakeCluster(room=1, fates=["silent"] * 9)
    cluster.stop = lambda: cluster._over.extend(Ended(i, {}, LOST) for i in range(len(cluster.sent)))
    into = dispatch(cluster, tmp_path, each(TRIALS), stop=stop_after(1))
    assert into.records == {}
    assert len(cluster.sent) < len(TRIALS)
    assert not list(tmp_path.glob("*/*/record.json"))


def test_after_a_bad_trial_fail_fast_sends_nothing_more(tmp_path):
    cluster = FakeCluster(fates=[TrialRecord(status=Status.DIVERGED, reason="nan")], room=-dispatcher.AHEAD + 1)
    into = dispatch(cluster, tmp_path, each(TRIALS), policy=Policy(fail_fast=True))
    assert len(cluster.sent) == 1
    assert len(into.records) == 1
    assert cluster.recalled  # what waits for a place does not start either


# ------------------------------------------------------------------------------------------------- preparation


def asked_with(monkeypatch, *answers):
    """A place whose cluster answers so, one task after the other; what is raised is raised where it is fetched."""
    import ray

    left, sent = list(answers), []

    def get(_):
        if isinstance(answer := left.pop(0), Exception):
            raise answer
        return answer

    monkeypatch.setattr(ray, "wait", lambda *_, **__: ([1], []))
    monkeypatch.setattr(ray, "get", get)
    monkeypatch.setattr(executor, "answer_of", lambda _: [])
    remote = SimpleNamespace(remote=lambda *arguments: sent.append(arguments))
    mailbox = SimpleNamespace(take=SimpleNamespace(remote=lambda: None))
    cluster = SimpleNamespace(
        driver=SimpleNamespace(mailbox=mailbox), remote=lambda _: remote, on_fit_nodes=lambda found: found
    )
    return OnCluster(cluster, site=None, stop=lambda: False), sent


@pytest.mark.ray
def test_a_question_whose_process_was_lost_is_asked_again(monkeypatch):
    """One process that was lost while images were read ended the run."""
    from ray.exceptions import RayTaskError, WorkerCrashedError

    place, sent = asked_with(monkeypatch, *[WorkerCrashedError()] * RETRIES, 5)
    assert (place.call(print), len(sent)) == (5, RETRIES + 1)
    place, sent = asked_with(monkeypatch, *[WorkerCrashedError()] * (RETRIES + 1))
    with pytest.raises(UserError, match=rf"lost its task .* \({RETRIES + 1} times\); the same command continues$"):
        place.call(print)
    place, sent = asked_with(monkeypatch, RayTaskError("call", "", ZeroDivisionError("by zero")).as_instanceof_cause())
    with pytest.raises(UserError, match="its task failed: ZeroDivisionError: by zero"):
        place.call(print)
    assert len(sent) == 1, "it would fail again"


# ------------------------------------------------------------------------------------------------------- nodes


def test_a_broken_lock_is_a_new_one(tmp_path):
    directory = RecordDirectory.of(tmp_path, TRIALS[0])
    break_lock(directory)  # where there is none, nothing happens
    with trial_lock(directory) as lock:
        assert lock.acquire() is None


@pytest.mark.ray
def test_a_task_waits_in_another_thread(monkeypatch):
    """Ray lends the CPU of a task whose own thread waits: three trials ran on two cores."""
    import ray

    waited = []
    monkeypatch.setattr(ray, "get", lambda answer: (waited.append(threading.get_ident()), answer)[1])
    assert get_in_thread("answer") == "answer"
    assert waited != [threading.get_ident()]


LISTENS = """
import threading, types
import ray
from gan_bench.execution.cluster import task
ray.get = lambda _: threading.Event().wait()
task._Process(types.SimpleNamespace(stopping=types.SimpleNamespace(remote=lambda: None)))
"""


@pytest.mark.ray
@pytest.mark.ci
def test_a_process_that_listens_for_the_stop_can_end():
    """On a GPU every task has its own; one that waited for ever at its exit kept the GPU's memory."""
    assert subprocess.run([sys.executable, "-c", LISTENS], timeout=HANG, check=False).returncode == 0


# ----------------------------------------------------------------------------------------- what a cluster is asked

BIG, SMALL = {"CPU": 8.0, "GPU": 2.0}, {"CPU": 2.0}


@pytest.mark.parametrize(
    ("gpus", "cpus", "device", "nodes", "slots"),
    [
        (None, 1, "auto", [BIG, SMALL], [2, 0]),
        (None, 1, "cpu", [BIG, SMALL], [8, 2]),
        (0.25, 1, "auto", [BIG, SMALL], [8, 0]),
        (0.25, 2, "cuda", [BIG, SMALL], [4, 0]),
        (0.0, 0.5, "auto", [SMALL], [4]),
        (0.1, 0.1, "auto", [{"CPU": 1.0, "GPU": 1.0}], [10]),
        (0.4, 1, "auto", [BIG], [4]),  # a fraction lies on one GPU
    ],
)
def test_a_share_fits_into_nodes(gpus, cpus, device, nodes, slots):
    share = share_of(gpus, cpus, device, nodes)
    assert [share.slots(node) for node in nodes] == slots


@pytest.mark.parametrize(("gpus", "tasks", "devices"), [(0.25, 6, 2), (0.4, 6, 3), (1.0, 6, 6), (0.0, 6, 6)])
def test_tasks_that_share_a_gpu_are_counted_by_gpus(gpus, tasks, devices):
    cluster = SimpleNamespace(share=Share(1, gpus), slots=lambda: 8)
    assert OnCluster(cluster, site=None, stop=None).devices(tasks) == devices


@pytest.mark.parametrize(
    ("gpus", "cpus", "device", "sentence"),
    [
        (1.0, 1, "auto", "no node of the cluster has room for a trial \\(1 GPU and 1 CPU\\)"),
        (None, 4, "auto", "the largest has 0 GPU and 2 CPU"),
        (2.0, 1, "auto", "between 0 and 1"),
        (None, 1.5, "auto", "whole above 1"),
        (None, 0, "auto", "positive"),
        (0.5, 1, "cpu", "do not go together"),
        (0.0, 1, "cuda", "above 0"),
        (None, 1, "cuda:1", "Ray chooses it"),
    ],
)
def test_what_cannot_be_is_said_before_anything_waits(gpus, cpus, device, sentence):
    with pytest.raises(UserError, match=sentence):
        share_of(gpus, cpus, device, [SMALL])


@pytest.mark.parametrize("what", ["gan_bench", "torch", "Ray", "Python"])
def test_nodes_with_other_versions_are_refused(what):
    check_node(None, versions())
    with pytest.raises(UserError, match=rf"the node .* has {what} .*, and the driver's machine has 0\.0; install"):
        check_node(None, {**versions(), what: "0.0"})


def test_a_folder_is_shared_where_its_mark_says_so(tmp_path):
    mark = tmp_path / "mark"
    folder = SharedFolder(tmp_path, mark, "token")
    assert not folder.is_here()
    mark.write_text("of another run")
    assert not folder.is_here()
    mark.write_text("token")
    assert folder.is_here()
    assert folder.fault_on("far") is None
    assert list(tmp_path.iterdir()) == [mark], "what it was tried with is gone"


def test_a_node_that_cannot_write_the_folder_is_refused(tmp_path):
    """Each of its trials failed there, and nothing told it from those that fail of themselves."""
    mark = tmp_path / "mark"
    mark.write_text("token")
    with pytest.raises(UserError, match=r"cannot write and lock files in the results folder .*mark \(File exists"):
        check_node(SharedFolder(mark, mark, "token"), versions())


@pytest.mark.ray
def test_nodes_get_folders_under_the_names_that_they_were_given(monkeypatch, tmp_path):
    """Links may lead elsewhere on each machine: nodes did not know the place that the driver's link led to."""
    (tmp_path / "disk").mkdir()
    link = tmp_path / "link"
    link.symlink_to("disk")
    for name in ("_connect", "_leave", "_mailbox", "_count_nodes"):
        monkeypatch.setattr(connection, name, lambda *_: None)
    monkeypatch.setattr(connection, "live_nodes", lambda: [{"Resources": SMALL}])
    with connection.connected(None, None, 1.0, "auto", link) as cluster:
        folder = cluster.driver.folder
        assert (folder.path, folder.mark.parent, folder.is_here()) == (link, link, True)
    jobs = []
    monkeypatch.setattr(executor, "RayTransport", lambda cluster, job, identify: jobs.append(job))
    own = ImageFolder(name="own", path=link, transform=Transform(size=28, channels=1))
    site = Site.of(RunContext(DataRoot(link, given=True), torch.device("cpu"), stop=None), "cpu", 1).knowing([own], ())
    OnCluster(cluster, site, stop=None, identify=identity).train(Work(trials=(), results=link))
    assert (jobs[0].results, site.data.path, site.folders) == (link, link, (own,))


def test_a_clients_address_is_refused(tmp_path):
    with (
        pytest.raises(UserError, match="is a client's address"),
        connection.connected("ray://host:10001", None, 1.0, "auto", tmp_path),
    ):
        pass


def test_losses_say_what_happened():
    exceptions = pytest.importorskip("ray.exceptions")
    said = {
        exceptions.NodeDiedError("x"): "the cluster lost its task (NodeDiedError: ",
        exceptions.OutOfMemoryError("x"): "ran out of memory",
        exceptions.RayTaskError("carry", "trace", UserError("no device")): "no device",
        exceptions.RayTaskError("carry", "trace", ZeroDivisionError("by zero")): "ZeroDivisionError: by zero",
    }
    for error, text in said.items():
        assert text in loss_of(error)
