"""MLflow has one run for every setting, and in it those of its trials: whatever happened to either before."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from scipy import stats
from support.commands import gan_bench
from support.needs import slow
from support.records import edit, reseal
from support.studies import with_lr, write
from support.trials import digits_trial

from gan_bench.config.design import Design
from gan_bench.core.errors import UserError
from gan_bench.records.json_files import write_object
from gan_bench.records.layout import PLACE, RecordDirectory
from gan_bench.records.plan import write_plan
from gan_bench.records.reader import read_trial
from gan_bench.records.record import Status
from gan_bench.records.summary import answer_file, is_outdated, kept_comparisons
from gan_bench.report.build import build_report, refresh_report
from gan_bench.run_options import RunOptions
from gan_bench.terminal.conclusion import say_tracking
from gan_bench.terminal.console import console
from gan_bench.tracking import entities, mirror, replay, sync_process
from gan_bench.tracking.entities import CURVES_TAG, PARENT_TAG, SETTING_TAG, SHOWN_TAG, TRIAL_TAG
from gan_bench.tracking.sync_process import follow

pytestmark = pytest.mark.filterwarnings("ignore")
"""Of MLflow, in this process: what it warns of is its own affair."""

NAME, NOTE = "mlflow.runName", "mlflow.note.content"
FID = {0: (20.0, 22.0, 24.0), 1: (60.0, 66.0, 63.0)}
"""By setting, one score for every seed."""


def trials(seeds=range(3)):
    return {(lr, seed): with_lr(digits_trial(seed), [2e-4, 3e-4][lr]) for lr in (0, 1) for seed in seeds}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two settings of three seeds, synced once, with a folder to copy."""
    results = tmp_path_factory.mktemp("settings") / "results"
    planned = trials()
    write_plan(results, "test", 1, list(planned.values()))
    for (lr, seed), trial in planned.items():
        write(results, trial, FID[lr][seed])
    sync(results)
    return results


@pytest.fixture
def results(made, tmp_path):
    copied = shutil.copytree(made, tmp_path / "results")
    (copied / PLACE).unlink()  # it stands for the folder itself
    return copied


def sync(results):
    refresh_report(results)
    return replay.replay(results, f"sqlite:///{results / 'mlflow.db'}")


def client(results):
    return MlflowClient(f"sqlite:///{results / 'mlflow.db'}")


def runs(results):
    """Return settings' runs by rank, and trials' runs."""
    found = client(results).search_runs(["1"], order_by=["metrics.`fid.rank` ASC"], max_results=1000)
    settings = [run for run in found if SETTING_TAG in run.data.tags]
    return settings, [run for run in found if TRIAL_TAG in run.data.tags]


def assert_one_parent_each(results, seeds=3):
    settings, children = runs(results)
    assert len(settings) == 2
    assert [run.data.metrics["fid.n"] for run in settings] == [seeds, seeds]
    assert len(children) == 2 * seeds
    parents = {run.info.run_id: run.data.params["lr_g"] for run in settings}
    assert all(parents[run.data.tags[PARENT_TAG]] == run.data.params["lr_g"] for run in children)
    return settings, children


def curve(results, run, key):
    return [(m.step, m.value) for m in client(results).get_metric_history(run.info.run_id, key)]


@pytest.mark.parametrize("suite", ["test+set", "other.suite_2", "t" * 90])
def test_settings_of_every_suite_have_their_numbers(tmp_path, suite):
    """Those of suites with changes by --set had none: what the report wrote of them was not read again."""
    results = tmp_path / "results"
    planned = {key: replace(t, config=replace(t.config, suite=suite)) for key, t in trials().items()}
    write_plan(results, suite, 1, list(planned.values()))
    for (lr, seed), trial in planned.items():
        write(results, trial, FID[lr][seed])
    sync(results)
    settings, _ = runs(results)
    assert [run.data.metrics["fid.rank"] for run in settings] == [1, 2]


def test_a_setting_has_its_numbers_with_four_digits_its_verdict_and_its_mean_curve(results):
    (best, other), _ = assert_one_parent_each(results)
    assert best.info.run_name == "mnist-mlp-z100 · lr 2e-4 · β₁ 0.9"
    assert set(best.data.params) == {"lr_g"}, "images show all parameters of a run, so it has those that differ"
    numbers = best.data.metrics
    assert [numbers[f"fid.{end}"] for end in ("median", "mean", "ci_low", "ci_high", "rank")] == [22, 22, 20, 24, 1]
    assert other.data.metrics["fid.rank"] == 2
    steps = dict(curve(results, best, "eval/fid.lenet-mnist-v1"))
    last = max(steps)
    assert steps[last] == 22
    (low,) = [v for step, v in curve(results, best, "interval/fid.lenet-mnist-v1.low") if step == last]
    reference = stats.t.interval(0.95, 2, loc=22.0, scale=2.0 / math.sqrt(3))[0]
    assert low == pytest.approx(reference, rel=5e-4)
    assert best.data.tags["verdict"].startswith("best")
    assert other.data.tags["verdict"].split(":")[0] in ("worse", "undecided", "not judged")
    assert {run.info.status for run in (best, other)} == {"FINISHED"}
    assert all(float(f"{value:.4g}") == value for value in numbers.values())
    pictures = client(results).list_artifacts(best.info.run_id, "images")
    assert pictures, "the best seed's grids"
    assert best.data.tags["mlflow.loggedImages"] == "True"


def test_decided_comparisons_are_found_by_one_query(results):
    found = client(results).search_runs(["1"], "metrics.`verdicts.decided` > 0")
    wanted = client(results).search_runs(["1"], "tags.`verdict.learning rate` LIKE 'decided: 0.0002 is better%'")
    assert {run.info.run_id for run in found} == {run.info.run_id for run in wanted}
    assert len(wanted) == 2
    ratio = stats.gmean(FID[0]) / stats.gmean(FID[1])
    assert f"3 seeds, FID {ratio:.4f} times)" in wanted[0].data.tags["verdict.learning rate"]


def test_nothing_happens_to_what_is_up_to_date(results):
    before = [(run.info.run_id, run.data.tags, run.data.metrics) for each in runs(results) for run in each]
    sync(results)
    assert [(run.info.run_id, run.data.tags, run.data.metrics) for each in runs(results) for run in each] == before


def test_another_seed_makes_new_curves_and_keeps_what_users_wrote(results):
    (best, _), _ = runs(results)
    client(results).set_tag(best.info.run_id, "mine", "keep this")
    client(results).set_tag(best.info.run_id, "mlflow.note.content", "a note")
    for (lr, _), trial in trials([3]).items():
        write(results, trial, FID[lr][0] + 10)
    assert is_outdated(results, "test", results / "test")
    sync(results)
    (best, other), children = assert_one_parent_each(results, seeds=4)
    assert best.data.metrics["fid.median"] == 23
    assert best.data.tags["mine"] == "keep this"
    assert best.data.tags["mlflow.note.content"] == "a note"
    assert best.data.params == {"lr_g": "0.0002"}
    ends = [run.info.end_time for run in children if run.data.tags[PARENT_TAG] == best.info.run_id]
    assert best.info.end_time == max(ends), "as its trials, not as this sync"
    for run in (best, other):
        steps = [step for step, _ in curve(results, run, "eval/fid.lenet-mnist-v1")]
        assert len(steps) == len(set(steps)), "MLflow would draw the earlier curve too"


def test_ranks_are_those_of_the_last_sync_whatever_its_clock_says(results, monkeypatch):
    """Two settings had rank 1 until another sync: the clock of an earlier one had been ahead, as on another machine."""
    monkeypatch.setattr("gan_bench.tracking.answer.time", SimpleNamespace(time=lambda: 1.0))
    better = [with_lr(digits_trial(seed), 1e-4) for seed in range(3)]
    write_plan(results, "test", 1, [*trials().values(), *better])
    for trial in better:
        write(results, trial, 10.0 + trial.config.seed)
    sync(results)
    settings, _ = runs(results)
    ranks = {run.data.params["lr_g"]: run.data.metrics["fid.rank"] for run in settings}
    assert ranks == {"0.0001": 1, "0.0002": 2, "0.0003": 3}


def test_settings_that_failed_say_so(tmp_path):
    results = tmp_path / "results"
    planned = {(rate, seed): with_lr(digits_trial(seed), rate) for rate in (2e-4, 3e-4, 5e-4) for seed in range(3)}
    write_plan(results, "test", 1, list(planned.values()))
    for (rate, seed), trial in planned.items():
        failed = Status.DIVERGED if rate == 5e-4 else Status.FAILED if (rate, seed) == (3e-4, 1) else Status.DONE
        write(results, trial, 20.0 + seed, status=failed)
    sync(results)
    said = {run.data.params["lr_g"]: (run.info.status, run.data.tags["verdict"]) for run in runs(results)[0]}
    assert said["0.0002"] == ("FINISHED", "best: not judged")
    assert said["0.0003"] == (
        "FINISHED",
        "not judged: lr 2e-4 failed in none, lr 3e-4 in 1 of 3",
    )
    assert said["0.0005"] == ("FAILED", "failed: 3 of 3 seeds lost")


def test_a_trial_that_is_moved_in_with_an_older_time_is_noticed(made, tmp_path):
    results = tmp_path / "results"
    shutil.copytree(made, results, ignore=shutil.ignore_patterns("mlflow.db", "mlartifacts", "report"))
    trial = sorted((results / "test").glob("*seed=2*"))[0]
    aside = tmp_path / trial.name
    trial.rename(aside)
    sync(results)
    assert sorted(run.data.metrics["fid.n"] for run in runs(results)[0]) == [2, 3]
    aside.rename(trial)
    sync(results)
    assert_one_parent_each(results)


def test_a_damaged_summary_is_made_again(results):
    path = results / "report" / "answers" / "test.json"
    path.write_text("{")
    assert is_outdated(results, "test", results / "test")
    sync(results)
    assert_one_parent_each(results)
    assert not is_outdated(results, "test", results / "test")
    whole = path.read_text()
    path.write_text(whole.replace('"fid.median": 22.0', '"fid.median": 1.0'))
    assert is_outdated(results, "test", results / "test"), "it was edited"


def test_answers_that_are_no_text_do_not_stop_a_sync(results):
    (results / "report" / "answers" / "test.md").write_bytes(b"- \xff\xfe")
    (results / "report" / "compared").mkdir()
    odd = '{"baseline": "x", "results": "x\' OR \'a", "verdict": "y"}'
    (results / "report" / "compared" / "a.json").write_text(odd)
    replay.replay(results, f"sqlite:///{results / 'mlflow.db'}")
    assert_one_parent_each(results)


def test_two_baselines_of_one_name_are_both_kept(results, tmp_path):
    for year in ("2024", "2025"):
        shutil.copytree(results / "test", tmp_path / year / "results" / "test")
        done = gan_bench("compare", tmp_path / year / "results" / "test", results, "--keep")
        assert "kept in" in done.stderr, done.stdout
    kept = [each["baseline"] for each, _ in kept_comparisons(results)]
    assert sorted(kept) == [str(tmp_path / year / "results") for year in ("2024", "2025")]


def test_runs_whose_parents_are_gone_become_children_of_others(results):
    there = client(results)
    settings, children = runs(results)
    for run in settings:
        there.delete_run(run.info.run_id)
    for run in children:
        there.delete_tag(run.info.run_id, PARENT_TAG)
    sync(results)
    _, after = assert_one_parent_each(results)
    assert {run.info.run_id for run in after} == {run.info.run_id for run in children}, "none was made again"


def test_a_setting_made_twice_is_one_again(results):
    there = client(results)
    (best, _), _ = runs(results)
    tags = {name: value for name, value in best.data.tags.items() if name.startswith("gan_bench.")}
    unfinished = {name: value for name, value in tags.items() if name not in (SHOWN_TAG, CURVES_TAG)}
    there.create_run("1", start_time=best.info.start_time + 1, tags=unfinished, run_name="twice")
    sync(results)
    assert_one_parent_each(results)


@pytest.mark.parametrize("after", [1, 4, 8, *slow(2, 3, 5, 6, 7)])
def test_a_replay_that_is_cut_off_anywhere_is_completed_by_the_next(tmp_path, made, after, monkeypatch):
    results = tmp_path / "results"
    shutil.copytree(made, results, ignore=shutil.ignore_patterns("mlflow.db", "mlartifacts"))
    calls, real = [], mirror.TrackingStore.__init__

    class CutError(Exception):
        pass

    def counting(store, *arguments):
        real(store, *arguments)
        for name in ("create_run", "log_batch", "log_artifacts", "set_terminated"):
            whole = getattr(store.client, name)

            def cut(*given, whole=whole, **named):
                calls.append(1)
                if len(calls) >= 5 * after:
                    raise CutError
                return whole(*given, **named)

            setattr(store.client, name, cut)

    monkeypatch.setattr(mirror.TrackingStore, "__init__", counting)
    with pytest.raises(Exception, match="could not be written"):
        sync(results)
    monkeypatch.setattr(mirror.TrackingStore, "__init__", real)
    sync(results)
    settings, children = assert_one_parent_each(results)
    for run in (*settings, *children):
        history = curve(results, run, "eval/fid.lenet-mnist-v1")
        assert len(history) == len({step for step, _ in history})
        assert run.info.status == "FINISHED"


def test_a_kept_comparison_is_shown_and_linked(results, tmp_path):
    baseline = shutil.copytree(results, tmp_path / "last year")
    for folder in (baseline, results):  # a copy has the identity of what it is a copy of
        (folder / ".gan_bench-results").unlink()
        (folder / "mlflow.db").unlink()
    shared = f"sqlite:///{tmp_path / 'shared.db'}"
    for folder in (baseline, results):
        refresh_report(folder)
        replay.replay(folder, shared)
    done = gan_bench("compare", baseline, results, "--keep")
    assert "compared" in {path.name for path in (results / "report").iterdir()}, done.stderr
    replay.replay(results, shared)
    there = MlflowClient(shared)
    found = there.search_runs(["1"], "tags.`baseline.last-year` LIKE '%nothing got worse%'")
    (answer,) = [run for run in found if "gan_bench.answer" in run.data.tags]
    assert [each.path for each in there.list_artifacts(answer.info.run_id, "compared")] == ["compared/last-year.md"]
    note = there.get_experiment("1").tags["mlflow.note.content"]
    (other,) = [
        run
        for run in there.search_runs(["1"], "tags.gan_bench.answer = 'test'")
        if run.info.run_id != answer.info.run_id
    ]
    assert f"](#/experiments/1/runs/{other.info.run_id}): " in note
    replay.replay(results, shared)
    assert there.get_run(answer.info.run_id).info.lifecycle_stage == "active", "nothing is new"


def test_a_description_that_somebody_else_wrote_stays(results, tmp_path):
    shared = f"sqlite:///{tmp_path / 'shared.db'}"
    there = MlflowClient(shared)
    experiment = there.create_experiment("test", artifact_location=(tmp_path / "artifacts").as_uri())

    def described():
        return there.get_experiment(experiment).tags.get("mlflow.note.content", "")

    there.set_experiment_tag(experiment, "mlflow.note.content", "do not touch. Owner: Bob")
    said = "the description of the MLflow experiment test is not what gan_bench wrote, and stays as it is"
    assert said in replay.replay(results, shared).notices
    assert described() == "do not touch. Owner: Bob"
    there.delete_experiment_tag(experiment, "mlflow.note.content")
    assert said not in replay.replay(results, shared).notices
    ours = described()
    assert "of gan_bench" in ours
    there.set_experiment_tag(experiment, "mlflow.note.content", f"{ours}\n\nBob: looks odd")
    assert said in replay.replay(results, shared).notices
    assert described().endswith("Bob: looks odd")


def test_views_that_two_folders_make_at_the_same_moment_are_there(results, tmp_path, monkeypatch):
    """A database refuses the second of two that make one tag: the link to the views was lost with it."""
    whole, refused = MlflowClient.set_experiment_tag, set()

    def busy(client, experiment, key, value):
        if key not in refused:
            refused.add(key)
            raise MlflowException("duplicate key value violates unique constraint")
        whole(client, experiment, key, value)

    monkeypatch.setattr(MlflowClient, "set_experiment_tag", busy)
    (views,) = replay.replay(results, f"sqlite:///{tmp_path / 'shared.db'}").views.values()
    assert views
    assert len(refused) == len(views) + 2, "and the description, and the tag with the name"


def test_an_experiment_that_was_deleted_is_restored_aloud_and_not_with_runs_of_others(results, tmp_path):
    shared = f"sqlite:///{tmp_path / 'shared.db'}"
    there = MlflowClient(shared)
    replay.replay(results, shared)
    experiment = there.get_experiment_by_name("test").experiment_id
    there.delete_experiment(experiment)
    assert "the MLflow experiment test was deleted; it is restored, with all of its runs" in (
        replay.replay(results, shared).notices
    )
    there.create_run(experiment)
    there.delete_experiment(experiment)
    with pytest.raises(UserError, match="was deleted, with runs that gan_bench did not make; restore it there, or"):
        replay.replay(results, shared)
    assert there.get_experiment(experiment).lifecycle_stage == "deleted"


def test_sync_says_where_it_writes_and_that_runs_may_have_written_elsewhere(results):
    (results / "mlflow.db").unlink()
    file = results / "mlflow.db"
    hint = f"{file} is new: where runs of these records kept MLflow elsewhere, name that place with --tracking-uri"
    for is_new in (True, False):
        said = " ".join(gan_bench("sync", results).stdout.split())
        assert f"up to date in MLflow at sqlite:///{file}" in said
        assert (hint in said) == is_new


def lines(epochs):
    values = [{"loss_d": 1.0 * e, "loss_g": 2.0 * e, "d_real": 0.5, "d_fake": None} for e in range(1, epochs + 1)]
    return [
        {"kind": "epoch", "epoch": e, "step": e, "images": 10 * e, "train_seconds": 2.0 * e, "mean": each, "last": each}
        for e, each in enumerate(values, 1)
    ]


def at(stored, history, *, ended):
    return replace(stored, history=history, record=stored.record if ended else None)


@pytest.mark.parametrize("cuts", [[300], [1, 7, 8, 100, 101, 299, 300], [150, 300], list(range(1, 301))])
def test_a_long_training_is_thinned_to_the_same_curve_however_it_arrives(made, cuts):
    stored = mirror.read_header(next(path for path in (made / "test").iterdir() if "--" in path.name))
    stored.trial["config"] = {**stored.trial["config"], "epochs": 300}
    sent, seconds, images, seen = [], 0.0, 0, 0
    for cut in cuts:
        arrived = at(stored, lines(300)[seen:cut], ended=cut == 300)
        ready = entities.whole_pieces(arrived)
        sent += entities.metrics_of(at(stored, ready, ended=cut == 300), seconds, images)
        if epochs := [line for line in ready if line["kind"] == "epoch"]:
            seen, seconds, images = epochs[-1]["epoch"], epochs[-1]["train_seconds"], epochs[-1]["images"]
    points = [(m.step, m.value) for m in sent if m.key == "train/loss_d"]
    assert [step for step, _ in points] == [*range(8, 300, 8), 300]
    assert points[0][1] == 4.5, "the mean of epochs 1 to 8"
    assert points[-1][1] == 298.5, "the mean of epochs 297 to 300"
    assert not [m for m in sent if m.key == "train/d_fake"]


@pytest.mark.parametrize(
    ("extractor", "key"), [("clip@336", "clip-336"), ("resnet(50)", "resnet-50-"), ("a+b#1", "a-b-1")]
)
def test_scores_whose_names_mlflow_refuses_have_others_there(tmp_path, extractor, key):
    """Such a suite was never mirrored."""
    results = tmp_path / "results"
    planned = trials(range(2))
    write_plan(results, "test", 1, list(planned.values()))
    for (lr, seed), trial in planned.items():
        write(results, trial, FID[lr][seed], extractor=extractor)
    found = sync(results)
    assert (found.runs, found.unreadable) == (4, ())
    settings, children = assert_one_parent_each(results, seeds=2)
    assert all(f"eval/fid.{key}" in run.data.metrics for run in (*settings, *children))
    assert [view.name for view in found.views["test"]][-1] == f"Trials ({key})"


@pytest.fixture
def refusing(monkeypatch):
    """Lets MLflow refuse the numbers of a trial while a context lasts."""
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

    log = MlflowClient.log_batch

    @contextlib.contextmanager
    def refuse(trial):
        def log_batch(self, run_id, metrics=(), params=(), tags=(), **more):
            if metrics and self.get_run(run_id).data.tags.get(TRIAL_TAG) == trial.id:
                raise MlflowException('Invalid value "x@"', error_code=INVALID_PARAMETER_VALUE)
            return log(self, run_id, metrics=metrics, params=params, tags=tags, **more)

        with monkeypatch.context() as patched:
            patched.setattr(MlflowClient, "log_batch", log_batch)
            yield

    return refuse


def test_a_value_that_mlflow_refuses_stops_no_other_run(results, refusing):
    for (lr, _), trial in trials([3]).items():
        write(results, trial, FID[lr][0] + 10)
    with refusing(trials([3])[0, 3]):
        found = sync(results)
    assert found.runs == 7
    (said,) = found.unreadable
    assert "seed=3" in said
    assert 'MLflow does not take all of its run (Invalid value "x@")' in said
    assert sync(results).unreadable == ()
    _, children = assert_one_parent_each(results, seeds=4)
    assert all("eval/fid.lenet-mnist-v1" in run.data.metrics for run in children)


class Looks:
    """When a run is over, for its mirror: after some looks at the records, between which something happens."""

    def __init__(self, *between):
        self.between = list(between)

    def is_set(self):
        return not self.between

    def wait(self, _seconds):
        self.between.pop(0)()


def followed(results, *between):
    refresh_report(results)
    said = []
    result = follow(results / "test", f"sqlite:///{results / 'mlflow.db'}", Looks(*between), said.append)
    return result, said


def test_a_run_says_what_mlflow_refused(results, refusing, capsys):
    """It said that the records were damaged."""
    trial = trials([3])[0, 3]
    write(results, trial, 30.0)
    with refusing(trial):
        result, complete = followed(results)
    assert trial.directory not in complete
    assert len({*complete} - {""}) == 6, "the others"
    assert "Leaderboard" in result.views[0][0], "of what MLflow took"
    say_tracking(replace(result, started=7, missing=1), RunOptions("test", results=str(results)), console())
    said = " ".join(capsys.readouterr().out.split())
    assert f"MLflow lacks 1 of 7 runs: {trial.directory}: MLflow does not take all of its run (Invalid value" in said
    assert "damaged" not in said


def test_what_is_refused_for_good_costs_one_reading_of_the_runs_and_is_sent_once_more(results, refusing, monkeypatch):
    """The mirror was made anew at every look, ever later; then its files were uploaded at each."""
    made, sent, trial = [], [], trials([3])[0, 3]
    write(results, trial, 30.0)
    files_of = entities.files_of
    monkeypatch.setattr(entities, "files_of", lambda stored: sent.append(stored.path.name) or files_of(stored))
    monkeypatch.setattr(sync_process, "Mirror", lambda *where: made.append(1) or mirror.Mirror(*where))
    monkeypatch.setattr(sync_process.Backoff, "due", property(lambda _: True))
    with refusing(trial):
        result, _ = followed(results, *[lambda: None] * 4)
    assert len(made) == sent.count(trial.directory) == 2, "once more, as a run that was deleted is made again so"
    assert "MLflow does not take all of its run" in result.error


@pytest.mark.parametrize("which", [TRIAL_TAG, SETTING_TAG])
@pytest.mark.parametrize("later", [[], [lambda: None]], ids=["before the last look", "before another"])
def test_a_run_that_is_deleted_while_its_trial_trains_is_made_again(results, which, later):
    """What followed was refused, and lost without a word; one of a setting ended the last look."""
    trial = with_lr(digits_trial(0), 5e-4)
    write(results, trial, 26.0)
    directory = RecordDirectory.of(results, trial)
    record, history = directory.record.read_bytes(), directory.history.read_bytes()
    directory.record.unlink()
    directory.history.write_bytes(history.splitlines(keepends=True)[0])

    def deleted_and_trained_further():
        found = client(results).search_runs(["1"], f"tags.`{TRIAL_TAG}` = '{trial.id}'")
        ids = {TRIAL_TAG: found[0].info.run_id, SETTING_TAG: found[0].data.tags[PARENT_TAG]}
        client(results).delete_run(ids[which])
        directory.history.write_bytes(history)
        directory.record.write_bytes(record)
        refresh_report(results)

    result, complete = followed(results, deleted_and_trained_further, *later)
    assert (result.error, result.notices) == (None, ())
    assert trial.directory in complete
    settings, children = runs(results)
    (made,) = [run for run in children if run.data.tags[TRIAL_TAG] == trial.id]
    assert made.info.status == "FINISHED"
    assert made.data.metrics["eval/fid.lenet-mnist-v1"] == 26.0
    assert made.data.tags[PARENT_TAG] in {run.info.run_id for run in settings}
    assert sorted(run.data.metrics["fid.n"] for run in settings) == [1, 3, 3]


def of_whom(results):
    """Return by identity the runs in the database beside some results, deleted ones left out."""
    found = {}
    for run in client(results).search_runs(["1"], max_results=1000):
        found.setdefault(run.data.tags["gan_bench.results"], []).append(run)
    return found


def test_what_others_bring_into_the_database_beside_the_results_stays_theirs(results, tmp_path):
    """The folder's next sync took the trials of others for its own made twice, and deleted one of each."""
    before = {run.info.run_id for run in runs(results)[1]}
    other = tmp_path / "other"
    for trial in trials().values():
        write(other, trial, 50.0)
    write_plan(other, "test", 1, list(trials().values()))
    refresh_report(other)
    for folder in (other, results, other, results):
        replay.replay(folder, f"sqlite:///{results / 'mlflow.db'}")
    mine, theirs = ((folder / ".gan_bench-results").read_text().strip() for folder in (results, other))
    found = of_whom(results)
    assert set(found) == {mine, theirs}
    kinds = [[sum(tag in run.data.tags for run in found[each]) for tag in (TRIAL_TAG, SETTING_TAG, "gan_bench.answer")]
             for each in (mine, theirs)]  # fmt: skip
    assert kinds == [[6, 2, 1], [6, 2, 1]]
    assert before == {run.info.run_id for run in found[mine] if TRIAL_TAG in run.data.tags}
    for identity, folder in ((mine, results), (theirs, other)):
        places = {run.info.artifact_uri.partition("/mlartifacts/")[0] for run in found[identity]}
        assert places == {folder.as_uri()}


@pytest.mark.parametrize("what", ["copy", "lost"])
def test_runs_of_an_earlier_identity_are_the_folder_s(results, tmp_path, what):
    """Of the original that it is a copy of, with its database, and of an identity that was lost."""
    replay.replay(results, f"sqlite:///{results / 'mlflow.db'}")  # the folder says where it is
    if what == "copy":
        folder = shutil.copytree(results, tmp_path / "copy")
    else:
        folder = results
        (folder / ".gan_bench-results").unlink()
    before = {run.info.run_id for run in client(folder).search_runs(["1"], max_results=1000)}
    replay.replay(folder, f"sqlite:///{folder / 'mlflow.db'}")
    ((identity, found),) = of_whom(folder).items()
    assert identity == (folder / ".gan_bench-results").read_text().strip()
    trial_runs = {run.info.run_id for run in found if TRIAL_TAG in run.data.tags}
    assert len(trial_runs) == 6
    assert trial_runs <= before


def test_a_copy_deletes_no_run_of_its_original(results, tmp_path):
    """A copy in which a trial was trained again replaced the original's run, and that the copy's, at every sync."""
    uri = f"sqlite:///{tmp_path / 'shared.db'}"
    replay.replay(results, uri)
    shared = MlflowClient(uri)
    ids = [shared.get_experiment_by_name("test").experiment_id]
    before = {run.info.run_id for run in shared.search_runs(ids)}
    shared.set_tag(next(iter(before)), "mine", "keep this")
    copy = shutil.copytree(results, tmp_path / "copy")
    (path, *_) = (copy / "test").glob("*--????????")
    edit(RecordDirectory(path).environment, started="2026-02-01T00:00:00+00:00")
    found = replay.replay(copy, uri)
    assert any("is a copy of" in notice for notice in found.notices)
    replay.replay(results, uri)
    after = {run.info.run_id: run for run in shared.search_runs(ids)}
    assert before <= set(after)
    assert len(after) == 2 * len(before)
    assert sum(run.data.tags.get("mine") == "keep this" for run in after.values()) == 1


def one_of_each_kind(results):
    """Return the run of a trial, that of its setting, and the answer."""
    (setting, _), children = runs(results)
    (child,) = [run for run in children if (run.data.params["lr_g"], run.data.params["seed"]) == ("0.0002", "0")]
    (answer,) = client(results).search_runs(["1"], "tags.`gan_bench.answer` = 'test'")
    return child, setting, answer


def write_on(results, found, tags):
    """Write on runs as a person does."""
    for run in found:
        for name, value in tags.items():
            client(results).set_tag(run.info.run_id, name, value)


def ids(found):
    return {run.info.run_id for run in found}


def test_what_people_wrote_on_a_run_is_on_the_one_that_replaces_it(results):
    """That on the answer was gone with the next report, and the name of a trial's run with its next training."""
    people = {"mine": "keep", NOTE: "a note", NAME: "ours", "verdict.reviewed": "by Anna", "baseline.mine": "none"}
    before = one_of_each_kind(results)
    write_on(results, before, people)
    for seed in (3, 4):
        (path,) = (results / "test").glob(f"*--{before[0].data.tags[TRIAL_TAG]}")
        edit(RecordDirectory(path).environment, started=f"2026-02-0{seed}T00:00:00+00:00")
        reseal(RecordDirectory(path))
        for (lr, _), trial in trials([seed]).items():
            write(results, trial, FID[lr][0] + 10)
        sync(results)
        assert_one_parent_each(results, seeds=seed + 1)
        after = one_of_each_kind(results)
        assert not ids(before) & ids(after)
        for run in after:
            assert {name: run.data.tags.get(name) for name in people} == people
            assert (run.info.run_name, run.info.status) == ("ours", "FINISHED")
        assert after[0].data.tags["gan_bench.started"] == f"2026-02-0{seed}T00:00:00+00:00"
        assert after[1].data.tags["verdict"].startswith("best")
        before = after


def test_a_run_that_nobody_wrote_on_is_replaced_by_one_that_says_the_new_alone(results):
    _, setting, answer = one_of_each_kind(results)
    assert setting.data.tags["verdict.learning rate"].startswith("decided")
    for (lr, _), trial in trials([3]).items():
        write(results, trial, FID[1 - lr][0])
    sync(results)
    _, made, other = one_of_each_kind(results)
    assert not made.data.tags.get("verdict.learning rate")
    assert other.data.tags[NOTE] != answer.data.tags[NOTE]
    assert answer.data.tags[NOTE] not in other.data.tags[NOTE]
    assert [made.info.run_name, other.info.run_name] == [setting.info.run_name, "answer"]


@pytest.mark.parametrize("people", [{"mine": "keep"}, {NOTE: "a note"}, {NAME: "ours"}], ids=["tag", "note", "name"])
def test_a_run_that_is_restored_stays_where_people_wrote_on_it(results, people):
    """Of it and the one that was made meanwhile either was deleted."""
    before = one_of_each_kind(results)
    write_on(results, before, people)
    for run in before:
        client(results).delete_run(run.info.run_id)
    sync(results)
    assert not ids(before) & ids(one_of_each_kind(results))
    for run in before:
        client(results).restore_run(run.info.run_id)
    sync(results)
    assert_one_parent_each(results)
    after = one_of_each_kind(results)
    assert ids(before[:2]) <= ids(after)
    assert [{name: run.data.tags.get(name) for name in people} for run in after] == [people] * 3
    names = [run.info.run_name for run in (before if NAME not in people else after)]
    assert [run.info.run_name for run in after] == names


def test_of_two_runs_that_people_wrote_on_one_stays_with_what_is_on_both(results):
    before = one_of_each_kind(results)
    write_on(results, before, {"first": "a", "both": "first", NOTE: "of the first"})
    for run in before:
        client(results).delete_run(run.info.run_id)
    sync(results)
    write_on(results, one_of_each_kind(results), {"second": "b", "both": "second", NOTE: "of the second"})
    for run in before:
        client(results).restore_run(run.info.run_id)
    sync(results)
    assert_one_parent_each(results)
    for run in one_of_each_kind(results):
        assert (run.data.tags["first"], run.data.tags["second"]) == ("a", "b")
        assert run.data.tags["both"] in ("first", "second")
        assert sorted(run.data.tags[NOTE].split("\n\n")) == ["of the first", "of the second"]


def test_verdicts_of_an_earlier_report_are_emptied_and_not_those_of_people(results):
    """A tag of a person that begins as ours was emptied without a word."""
    setting = one_of_each_kind(results)[1]
    write_on(results, [setting], {"verdict.reviewed": "by Anna", SHOWN_TAG: "of an earlier report"})
    path = answer_file(results, "test", "json")
    found = json.loads(path.read_text())
    for each in found["settings"]:
        del each["words"]["verdict.learning rate"]
    del found["sha256"]
    write_object(path, found)
    sync(results)
    after = one_of_each_kind(results)[1]
    assert after.info.run_id == setting.info.run_id
    assert (after.data.tags["verdict.reviewed"], after.data.tags["verdict.learning rate"]) == ("by Anna", "")


def test_a_copy_keeps_the_names_that_people_gave(results, tmp_path):
    """Its runs, which get its own identity, were named anew."""
    write_on(results, one_of_each_kind(results), {NAME: "ours"})
    sync(results)
    copy = shutil.copytree(results, tmp_path / "copy")
    assert any("is a copy of" in notice for notice in sync(copy).notices)
    assert [run.info.run_name for run in one_of_each_kind(copy)] == ["ours"] * 3


def test_an_experiment_that_people_renamed_is_the_same_one(results):
    """All of it was made again beside it."""
    there = client(results)
    before = {run.info.run_id for each in runs(results) for run in each}
    there.rename_experiment("1", "ours, of spring")
    found = sync(results)
    assert dict(found.experiments) == {"test": "1"}
    assert [each.name for each in there.search_experiments() if each.name != "Default"] == ["ours, of spring"]
    assert {run.info.run_id for each in runs(results) for run in each} == before
    other = replay.replay(results, f"sqlite:///{results / 'mlflow.db'}", "anna/")
    assert dict(other.experiments) != {"test": "1"}, "another prefix is another experiment"
    assert there.get_experiment_by_name("anna/test").experiment_id == other.experiments["test"]


@pytest.mark.parametrize("kind", ["renamed", "link"])
def test_a_suite_s_folder_of_another_name_is_in_its_experiment(results, tmp_path, kind):
    """A second experiment was made, without verdicts and without an answer."""
    before = ids(run for each in runs(results) for run in each)
    (results / "test").rename(results / "mine" if kind == "renamed" else tmp_path / "elsewhere")
    if kind == "link":
        (results / "mine").symlink_to(tmp_path / "elsewhere")
    found = sync(results)
    assert (found.runs, dict(found.experiments), list(found.views)) == (6, {"test": "1"}, ["test"])
    assert [each.name for each in client(results).search_experiments()] == ["test", "Default"]
    settings, children = assert_one_parent_each(results)
    assert ids((*settings, *children)) == before
    assert len(one_of_each_kind(results)) == 3
    for (lr, _), trial in trials([3]).items():
        write(results, trial, FID[lr][0] + 10)
        (results / "test" / trial.directory).rename(results / "mine" / trial.directory)
    shutil.rmtree(results / "test")
    sync(results)
    (best, _), _ = assert_one_parent_each(results, seeds=4)
    assert best.data.tags["verdict"].startswith("best")
    (answer,) = client(results).search_runs(["1"], "tags.`gan_bench.answer` = 'test'")
    there = {each.path for each in client(results).list_artifacts(answer.info.run_id)}
    assert "plan.json" in there


def test_of_two_folders_of_other_names_the_first_is_the_suite(made, tmp_path):
    results = tmp_path / "results"
    shutil.copytree(made / "test", results / "a")
    (results / "b").mkdir()
    shutil.copy(results / "a" / "plan.json", results / "b")
    for path in (results / "a").glob("*seed=0*--*"):
        path.rename(results / "b" / path.name)
    found = sync(results)
    assert dict(found.experiments) == {"test": "1"}
    assert [line.partition(" is of a suite that is read from ")[0] for line in found.unreadable] == [
        f"misplaced: {results / 'b'}, with 2 records,"
    ]
    assert_one_parent_each(results, seeds=2)


def test_an_experiment_of_two_folders_that_people_renamed_is_that_of_both(results, tmp_path):
    uri, other = f"sqlite:///{tmp_path / 'shared.db'}", shutil.copytree(results, tmp_path / "copy")
    first = replay.replay(results, uri).experiments["test"]
    assert replay.replay(other, uri).experiments["test"] == first
    MlflowClient(uri).rename_experiment(first, "renamed")
    assert [replay.replay(each, uri).experiments["test"] for each in (results, other)] == [first] * 2


@pytest.mark.parametrize("change", ["another value", "deleted"])
def test_added_scores_that_changed_are_as_the_records_say(results, change):
    """The larger of both values was shown, and those of a deleted file for good."""
    trial, *_ = one_of_each_kind(results)
    write_on(results, [trial], {NOTE: "a note"})
    (path,) = results.glob(f"*/*--{trial.data.tags[TRIAL_TAG]}")
    line = read_trial(path).evaluations[-1]
    score = {**line["scores"][0], "name": "density[cifar-v1,train,64]", "metric": "density", "extractor": "cifar-v1"}
    values = []
    for value in (7.0, 0.5):
        addition = {"epoch": line["epoch"], "at": "2026-01-01T00:00:00+00:00", "version": "0.1.0", "device": "cpu",
                    "scores": [{**score, "value": value}]}  # fmt: skip
        write_object(path / "added.json", {"schema": 1, "additions": [addition]})
        if value < 1 and change == "deleted":
            (path / "added.json").unlink()
        sync(results)
        found, *_ = one_of_each_kind(results)
        values.append(found.data.metrics.get("eval/density.cifar-v1"))
    assert values == [7.0, None if change == "deleted" else 0.5]
    assert found.data.tags[NOTE] == "a note"
    assert_one_parent_each(results)


def test_where_the_last_images_cannot_be_scored_no_earlier_score_is_shown(results):
    """A leaderboard of trials had the score of the epoch before."""
    trial = trials([3])[0, 3]
    write(results, trial, 30.0)
    record = RecordDirectory.of(results, trial)
    *before, last = record.evaluations.read_text().splitlines()
    line = json.loads(last)
    line["scores"] = [{**score, "value": None} for score in line["scores"]]
    record.evaluations.write_text("\n".join([*before, json.dumps(line)]) + "\n")
    reseal(record)
    sync(results)
    (run,) = client(results).search_runs(["1"], f"tags.`{TRIAL_TAG}` = '{trial.id}'")
    scores = {name: value for name, value in run.data.metrics.items() if name.startswith("eval/")}
    assert scores
    assert all(map(math.isnan, scores.values()))


def test_an_altered_record_replaces_no_run(results):
    """What was saved is in MLflow; what stands in the files now is not."""
    trial, *_ = one_of_each_kind(results)
    (path,) = (results / "test").glob(f"*--{trial.data.tags[TRIAL_TAG]}")
    file = RecordDirectory(path).evaluations
    file.write_text(file.read_text().replace("20.0", "10.0"))
    sync(results)
    found = client(results).get_run(trial.info.run_id)
    assert found.info.lifecycle_stage == "active"
    assert found.data.metrics == trial.data.metrics
    assert found.data.tags["gan_bench.altered"]


@pytest.mark.draws_pages
def test_a_sync_makes_the_report_again_that_is_older_than_the_records(results, tmp_path):
    """An answer's sentences named the new best setting, and its page and tables in the same run the earlier one."""

    def synced():
        assert sync(results).notices == ()
        answer = one_of_each_kind(results)[2]
        files = {each.path for each in client(results).list_artifacts(answer.info.run_id)}
        assert files >= {"report.html", "tables"}
        return answer.data.tags[NOTE], (results / "report" / "report.html").read_text()

    first = synced()
    for path in sorted((results / "test").glob("*--*")):
        if "0.0002" in path.name:
            path.rename(tmp_path / path.name)
    second = synced()
    assert first[0] != second[0]
    assert first[1] != second[1]
    for path in tmp_path.glob("*seed=0*--*"):
        path.rename(results / "test" / path.name)
    build_report(results, html=False)
    assert (results / "report" / "report.html").read_text() == second[1], "the page stays"
    assert synced()[1] != second[1]


def test_seeds_that_are_planned_make_the_report_outdated(tmp_path):
    """They change no number of a setting, but what the answer says of them and proposes next."""

    def plan(results, seeds):
        planned = list(trials(range(seeds)).values())
        write_plan(results, "test", 1, planned, "gan-bench run test", Design.of_looks((3, 5)), whole=True)

    results = tmp_path / "results"
    plan(results, 3)
    for (lr, seed), trial in trials().items():
        write(results, trial, FID[lr][seed])
    build_report(results)
    plan(results, 5)
    assert refresh_report(results) == []
    assert "over 3 of 5 planned seeds" in answer_file(results, "test", "md").read_text()


def test_a_report_that_cannot_be_made_again_is_said(results):
    build_report(results)
    shutil.rmtree(results / "report")
    (results / "report").write_text("a file")
    (said,) = refresh_report(results)
    assert said.startswith(f"the report cannot be written to {results / 'report'} (")
    assert "make it with `gan-bench report` in another folder with --out" in said
    assert said.endswith("; MLflow shows settings as the last report has them")


def test_sentences_of_all_suites_are_renewed_where_one_has_changed(results):
    """They may name what another suite of the folder has: a longer training that has ended there."""
    other = digits_trial(0, suite="other")
    write_plan(results, "other", 1, [other])
    write(results, other, 20.0)
    build_report(results)
    said = answer_file(results, "other", "md")
    before = said.read_text()
    said.write_text("# Of before\n")
    assert refresh_report(results) == []
    assert said.read_text() == "# Of before\n", "nothing has changed"
    for record in results.glob("test/*/record.json"):
        os.utime(record, (1, 1))
    assert refresh_report(results) == []
    assert said.read_text() == before


def test_a_restored_experiment_has_no_runs_that_were_replaced(results, tmp_path):
    """Those of the folder that synced first were seen as made twice; those of all others were back for good."""
    uri = f"sqlite:///{tmp_path / 'shared.db'}"
    there = MlflowClient(uri)
    replay.replay(results, uri)
    for folder in (results, shutil.copytree(results, tmp_path / "copy")):
        replay.replay(folder, uri)
        (path, *_) = (folder / "test").glob("*seed=0*--*")
        edit(RecordDirectory(path).environment, started="2026-02-01T00:00:00+00:00")
        for (lr, _), trial in trials([3]).items():
            write(folder, trial, FID[lr][0] + 10)
        refresh_report(folder)
        replay.replay(folder, uri)
    experiment = there.get_experiment_by_name("test").experiment_id
    before = ids(there.search_runs([experiment]))
    there.delete_experiment(experiment)
    notices = replay.replay(results, uri).notices
    assert "the MLflow experiment test was deleted; it is restored, with all of its runs" in notices
    assert ids(there.search_runs([experiment])) == before


def test_a_replaced_run_that_a_person_restores_is_deleted_with_no_experiment(results):
    setting = one_of_each_kind(results)[1]
    write_on(results, [setting], {"mine": "keep"})
    for (lr, _), trial in trials([3]).items():
        write(results, trial, FID[lr][0] + 10)
    sync(results)
    client(results).delete_run(one_of_each_kind(results)[1].info.run_id)
    client(results).restore_run(setting.info.run_id)
    sync(results)
    sync(results)
    (there,) = [run for run in runs(results)[0] if run.data.tags.get("mine") == "keep"]
    assert "gan_bench.replaced" not in there.data.tags


def test_an_experiment_that_was_renamed_and_deleted_is_restored_aloud(results):
    """A second one was made without a word, and what people wrote on the runs of the first was not on it."""
    before = {run.info.run_id for each in runs(results) for run in each}
    client(results).rename_experiment("1", "of spring")
    client(results).delete_experiment("1")
    found = sync(results)
    assert "the MLflow experiment of spring was deleted; it is restored, with all of its runs" in found.notices
    assert dict(found.experiments) == {"test": "1"}
    assert {run.info.run_id for each in runs(results) for run in each} == before
    client(results).delete_experiment("1")
    made = client(results).create_experiment("test", artifact_location=(results / "mlartifacts").as_uri())
    assert dict(sync(results).experiments) == {"test": made}, "one that is there comes first"
