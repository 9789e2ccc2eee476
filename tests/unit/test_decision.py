"""What is done with a trial that an earlier run left something of: one decision, whoever asks."""

import shutil
from types import SimpleNamespace

import pytest
from support.records import edit
from support.runs import context, decision_on, run, stop_after, train
from support.trials import digits_trial

from gan_bench.core.errors import DataError, UnreadableError
from gan_bench.execution.preflight.plan_state import find_plan_state
from gan_bench.execution.trial import checkpoints
from gan_bench.execution.trial.context import RunContext
from gan_bench.execution.trial.decision import Action, Decision, Policy
from gan_bench.records import writer
from gan_bench.records.earlier import Earlier
from gan_bench.records.layout import DAMAGED, SUPERSEDED, WHY, RecordDirectory
from gan_bench.records.record import Status
from gan_bench.records.verify import verify

TRIAL = digits_trial(epochs=3)
FRESH = Policy(ignored=frozenset({""}))


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """Results folders with what is left of a trial: one that was interrupted, and one that is finished."""
    folder = tmp_path_factory.mktemp("left")
    run(folder, TRIAL, "interrupted", stop=stop_after(12))
    run(folder, TRIAL, "finished")
    return folder


@pytest.fixture
def results(left, tmp_path):
    """Copies of them, which may be changed."""
    return shutil.copytree(left, tmp_path / "results")


def gone(pattern):
    def remove(directory):
        for path in directory.path.glob(pattern):
            path.unlink()

    return remove


def kept(why, folder, *, had_begun=False):
    return Decision(Action.REPLACE, why, folder, had_begun)


DECISIONS = {
    "nothing is there": ("interrupted", lambda d: shutil.rmtree(d.path), Decision(Action.BEGIN)),
    "it ended": ("finished", gone("no file"), Decision(Action.NOTHING)),
    "it ended, with other images": (
        "finished",
        lambda d: edit(d.environment, data_sha256="0" * 64),
        kept("the training images changed", SUPERSEDED),
    ),
    "it ended, and a sample is gone": (
        "finished",
        gone("samples/epoch-0001.png"),
        kept("{path}/samples/epoch-0001.png is gone", DAMAGED),
    ),
    "it did not end": ("interrupted", gone("record.json"), Decision(Action.RESUME)),
    "it was interrupted": ("interrupted", gone("no file"), Decision(Action.RESUME)),
    "it was interrupted, with other images": (
        "interrupted",
        lambda d: edit(d.environment, data_sha256="0" * 64),
        kept("the training images changed", SUPERSEDED, had_begun=True),
    ),
    "it was interrupted on another kind of device": (
        "interrupted",
        lambda d: edit(d.environment, device="cuda:0"),
        kept("it was interrupted on cuda and cannot be resumed on cpu", SUPERSEDED, had_begun=True),
    ),
    "it was interrupted, and its environment is gone": (
        "interrupted",
        gone("environment.json"),
        kept("{path}/environment.json is gone", DAMAGED),
    ),
    "it was interrupted, and its checkpoint is gone": (
        "interrupted",
        gone("checkpoint*"),
        kept("its checkpoint is gone", DAMAGED, had_begun=True),
    ),
}

OTHER_FORMAT = (
    "{path}/checkpoint.pt has checkpoint format 3, and this gan_bench reads 2; use the one that wrote it, or another "
    "results folder"
)


def of_another_version(directory):
    kind, rest = directory.checkpoint.read_bytes().split(b"\n", 1)
    assert kind == b"gan_bench checkpoint 2"
    directory.checkpoint.write_bytes(b"gan_bench checkpoint 3\n" + rest)


DECISIONS["its checkpoint is of another version"] = (
    "interrupted",
    of_another_version,
    Decision(Action.REFUSE, OTHER_FORMAT),
)


@pytest.mark.parametrize(("name", "change", "decision"), DECISIONS.values(), ids=DECISIONS)
def test_the_decision_on_what_an_earlier_run_left(results, name, change, decision):
    directory = RecordDirectory.of(results / name, TRIAL)
    change(directory)
    why = decision.why and decision.why.format(path=directory.path)
    assert decision_on(results / name, TRIAL) == Decision(decision.action, why, decision.keep, decision.had_begun)


def test_a_plan_counts_the_epochs_of_the_history(results):
    """A killed run may have gone beyond its checkpoint, which is where the trial is resumed: so many at most."""
    folder = results / "interrupted"
    directory = RecordDirectory.of(folder, TRIAL)
    plan = SimpleNamespace(suite=TRIAL.config.suite, trials=(TRIAL,))
    state = find_plan_state(folder, plan, Policy(), context().identity)
    assert state.kept == {TRIAL.id: Earlier(directory).epochs_trained()}


@pytest.mark.parametrize("name", ["interrupted", "finished"])
def test_what_is_ignored_is_deleted(results, name):
    policy = FRESH.fresh(results / name, [TRIAL])
    assert decision_on(results / name, TRIAL, policy) == Decision(Action.DELETE)


def test_what_is_not_resumed_is_kept_as_it_was(results):
    """Its end was deleted first: it was kept as a record of a killed run."""
    directory = RecordDirectory.of(results / "interrupted", TRIAL)
    edit(directory.environment, device="cuda:0")
    before = {path.name: path.read_bytes() for path in directory.path.iterdir() if path.is_file()}
    with pytest.warns(RuntimeWarning, match=r"on cuda and cannot be resumed on cpu; training from the start"):
        records = train(results / "interrupted", [TRIAL], context()).records
    assert records[TRIAL.id].status is Status.DONE
    (folder,) = directory.path.parent.glob(f"{SUPERSEDED}/*--*")
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    said = (folder.parent / WHY).read_text()
    assert said.endswith(f" UTC  {folder.name}: it was interrupted on cuda and cannot be resumed on cpu\n")


def test_a_checkpoint_of_another_version_is_no_damage(results):
    """It was set aside as damaged, and the run went on from an older one or from epoch 0."""
    directory = RecordDirectory.of(results / "interrupted", TRIAL)
    of_another_version(directory)
    before = {path: path.read_bytes() for path in directory.path.rglob("*") if path.is_file()}
    said = OTHER_FORMAT.format(path=directory.path)
    assert (said,) in [verdict.faults for verdict in verify(results / "interrupted")]
    (record,) = train(results / "interrupted", [TRIAL], context()).records.values()
    assert (record.status, record.reason) == (Status.SKIPPED, said)
    assert {path: path.read_bytes() for path in directory.path.rglob("*") if path.is_file()} == before
    with pytest.raises(UnreadableError):  # nor where it came meanwhile
        checkpoints.read(directory.checkpoint, TRIAL.id)


def test_every_damaged_checkpoint_that_is_set_aside_stays(results):
    directory = RecordDirectory.of(results / "interrupted", TRIAL)
    for content in (b"first", b"second", b"third"):
        directory.checkpoint.write_bytes(content)
        directory.previous_checkpoint.unlink(missing_ok=True)
        assert not list(checkpoints.candidates(directory, TRIAL.id))
    kept = {path.name: path.read_bytes() for path in directory.path.glob("*.broken")}
    assert kept == {
        "checkpoint.pt.broken": b"first",
        "checkpoint.pt.2.broken": b"second",
        "checkpoint.pt.3.broken": b"third",
    }


def test_a_trial_whose_images_are_away_is_left_as_it_is(results, monkeypatch):
    """It failed, and counted as worst in every table until somebody asked for failed trials again."""

    def away(*_):
        raise DataError("the images are away")

    monkeypatch.setattr(RunContext, "identity", away)
    directory = RecordDirectory.of(results / "interrupted", TRIAL)
    before = writer.digests(directory)
    (record,) = train(results / "interrupted", [TRIAL], context()).records.values()
    assert (record.status, record.reason) == (Status.SKIPPED, "the images are away")
    assert writer.digests(directory) == before
    assert (Earlier(directory).status, directory.has_checkpoint) == (Status.INTERRUPTED, True)


def test_a_finished_trial_stays_where_the_images_it_is_compared_with_are_away(results, monkeypatch):
    def away(*_):
        raise DataError("the images are away")

    monkeypatch.setattr(RunContext, "identity", away)
    (record,) = train(results / "finished", [TRIAL], context()).records.values()
    assert (record.status, record.reason) == (Status.SKIPPED, "the images are away")
    assert Earlier(RecordDirectory.of(results / "finished", TRIAL)).status is Status.DONE


def test_what_was_not_known_before_a_run_is_compared_within_it(results, monkeypatch):
    """A fault that was gone a moment later let a run go on with other images, without a word."""
    asked, identity = [], RunContext.identity

    def away_once(*args):
        asked.append(1)
        if len(asked) == 1:
            raise DataError("the images are away for a moment")
        return identity(*args)

    monkeypatch.setattr(RunContext, "identity", away_once)
    directory = RecordDirectory.of(results / "interrupted", TRIAL)
    edit(directory.environment, device="cuda:0")
    with pytest.warns(RuntimeWarning, match=r"on cuda and cannot be resumed on cpu; training from the start"):
        (record,) = train(results / "interrupted", [TRIAL], context()).records.values()
    assert record.status is Status.DONE
    assert list(directory.path.parent.glob(f"{SUPERSEDED}/*--*"))


def test_a_checkpoint_stays_where_a_run_cannot_start(results, monkeypatch):
    """It was put aside before that was known: images that were put back could not be trained on from there.

    The first run left a failed row, which the second one took for an end: it put all of it aside, without a word.
    Nothing is an end that images or weights which are away for a moment are the reason of.
    """

    def away(*_):
        raise DataError("the weights are away")

    directory = RecordDirectory.of(results / "interrupted", TRIAL)
    environment = directory.environment.read_bytes()
    edit(directory.environment, data_sha256="0" * 64)
    with monkeypatch.context() as patched:
        patched.setattr(RunContext, "evaluator", away)
        for _ in range(3):
            (record,) = train(results / "interrupted", [TRIAL], context()).records.values()
            assert (record.status, record.reason) == (Status.SKIPPED, "the weights are away")
            assert directory.has_checkpoint
            assert not list(directory.path.parent.glob(f"{SUPERSEDED}/*--*"))
    directory.environment.write_bytes(environment)  # and the images are back
    heard = []
    (record,) = train(results / "interrupted", [TRIAL], context(), heard.append).records.values()
    assert record.status is Status.DONE
    assert heard[0].resumed_at is not None


def test_a_checkpoint_that_is_put_aside_after_a_failed_run_is_said(results):
    directory = RecordDirectory.of(results / "interrupted", TRIAL)
    edit(directory.environment, data_sha256="0" * 64)
    edit(directory.record, status="failed", reason="the weights are away")
    with pytest.warns(RuntimeWarning, match=r"the training images changed; training from the start, what was there is"):
        (record,) = train(results / "interrupted", [TRIAL], context()).records.values()
    assert record.status is Status.DONE
    (kept,) = directory.path.parent.glob(f"{SUPERSEDED}/*--*")
    assert (kept / "checkpoint.pt").exists()


def test_a_finished_record_beside_a_checkpoint_that_a_kill_left_is_kept_before_its_trial_starts(results, monkeypatch):
    """A run that cannot start writes its row over none."""

    def away(*_):
        raise DataError("the weights are away")

    directory = RecordDirectory.of(results / "finished", TRIAL)
    edit(directory.environment, data_sha256="0" * 64)
    directory.checkpoint.write_bytes(b"left by a kill between the end and this one")
    monkeypatch.setattr(RunContext, "evaluator", away)
    train(results / "finished", [TRIAL], context())
    (kept,) = directory.path.parent.glob(f"{SUPERSEDED}/*--*")
    assert Earlier(RecordDirectory(kept)).status is Status.DONE
