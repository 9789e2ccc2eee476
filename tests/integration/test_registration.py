"""A decided setting's generator in MLflow's registry: under which name, once, whatever fails, and how it is loaded."""

from __future__ import annotations

import json
import os
import shutil
from itertools import product
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from safetensors.torch import load_file, save_file
from support.commands import python_code
from support.records import edit
from support.studies import with_lr, write
from support.trials import digits_trial

from gan_bench.cli import mlflow_commands
from gan_bench.core.errors import UserError
from gan_bench.models.architectures import ARCHITECTURES
from gan_bench.records import writer
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.plan import write_plan
from gan_bench.records.record import TrialRecord
from gan_bench.report.findings import find_setting
from gan_bench.report.findings.find_setting import Champion
from gan_bench.terminal.console import PlainConsole
from gan_bench.tracking import registration
from gan_bench.tracking.entities import TRIAL_TAG
from gan_bench.tracking.registration import register
from gan_bench.tracking.server import default_uri

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.makes_databases]


@pytest.fixture(autouse=True)
def _own_location(monkeypatch):
    """Forget what a test told MLflow of where it is, which it keeps in the environment, too."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    yield
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        os.environ.pop(name, None)


@pytest.fixture
def results(tmp_path):
    """One finished trial with a generator."""
    trial = digits_trial(0)
    write_plan(tmp_path / "results", "test", 1, [trial])
    write(tmp_path / "results", trial, 20.0)
    directory = RecordDirectory.of(tmp_path / "results", trial)
    network = ARCHITECTURES[trial.config.architecture].generator(trial.config.latent_dim)
    save_file(network.state_dict(), directory.weights)
    writer.finish(directory, TrialRecord.from_json(json.loads(directory.record.read_text())))
    edit(directory.record, ended="2026-01-01T00:00:05+00:00")
    return tmp_path / "results"


def trial_of(results):
    (path,) = (results / "test").glob("*--????????")
    return path


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    """A database for all tests: MLflow's registry is the same one as long as a process lives."""
    return f"sqlite:///{tmp_path_factory.mktemp('shared') / 'mlflow.db'}"


def trial_run(uri, experiment):
    client = MlflowClient(uri)
    (run,) = client.search_runs(
        [client.get_experiment_by_name(experiment).experiment_id], f"tags.`{TRIAL_TAG}` LIKE '%'"
    )
    return run


def test_a_model_is_called_like_its_suite_whatever_the_folder_is_called(results):
    (results / "test").rename(results / "mine")
    (trial,) = (results / "mine").glob("*--????????")
    assert register(results, default_uri(results), "", trial) == "models:/test/1"


def test_a_prefix_with_a_slash_is_none_in_the_name_of_a_model(results, uri):
    """The documentation recommends such a prefix; MLflow said "Invalid model name" after the upload."""
    assert register(results, uri, "anna/", trial_of(results)) == "models:/anna-test/1"
    assert not {"MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"} & {*os.environ}, "a later command would write there"
    run = trial_run(uri, "anna/test")
    assert run.info.status == "FINISHED"
    assert run.info.end_time - run.info.start_time == 5000, "it ended when its training did"
    assert len(run.outputs.model_outputs) == 1
    (version,) = MlflowClient(uri).search_model_versions("name='anna-test'")
    assert version.run_id == run.info.run_id
    (model,) = MlflowClient(uri).search_logged_models([run.info.experiment_id])
    assert model.status == "READY"


@pytest.mark.parametrize("call", ["create_registered_model", "log_model_artifacts", "create_model_version"])
def test_a_run_keeps_its_status_and_its_end_whatever_fails(results, uri, monkeypatch, call):
    def fail(*_, **__):
        raise OSError("No space left on device")

    monkeypatch.setattr(MlflowClient, call, fail)
    with pytest.raises(UserError, match=r"did not take the model .*No space left.*free some space"):
        register(results, uri, f"{call}/", trial_of(results))
    run = trial_run(uri, f"{call}/test")
    assert (run.info.status, run.info.end_time - run.info.start_time) == ("FINISHED", 5000)
    if call == "create_registered_model":
        assert not MlflowClient(uri).search_logged_models([run.info.experiment_id]), "nothing was sent"


def test_a_model_that_fails_stops_no_other(results, monkeypatch, capsys):
    def register_all_but_the_first(_, __, ___, path, ____):
        if path == Path("one"):
            raise UserError("MLflow did not take it")
        return "models:/two/1"

    found = [Champion(name, "best", Path(name)) for name in ("one", "two")]
    monkeypatch.setattr(find_setting, "champions", lambda _: found)
    monkeypatch.setattr(registration, "register", register_all_but_the_first)
    assert not mlflow_commands._register(results, "sqlite:///x.db", "", PlainConsole())
    said = capsys.readouterr().out
    assert "one: not registered: MLflow did not take it" in said
    assert "two: best is models:/two/1" in said


@pytest.mark.parametrize(
    ("changes", "apart"),
    [
        ([{}], [()]),
        ([{"dataset": "digits"}, {"dataset": "mnist"}], [("digits",), ("mnist",)]),
        ([{"profile": "full"}, {"profile": "quick"}], [(), ("quick",)]),
    ],
)
def test_each_champion_of_a_suite_has_a_model(tmp_path, changes, apart):
    """Those of two datasets or profiles shared a name and an alias, and the second took both."""
    trials = []
    for change, (setting, seed) in product(changes, product(range(2), range(5))):
        trial = with_lr(digits_trial(seed, **change), 1e-4 * (1 + setting))
        trials.append(trial)
        write(tmp_path, trial, 40 * 2**setting * (1 + 0.01 * seed), gain=1.0, collapsed=0.0)
    write_plan(tmp_path, "test", 1, trials)
    found = list(find_setting.champions(tmp_path))
    assert all(each.path for each in found), found
    assert [each.apart for each in found] == apart
    names = [registration.model_name("test", "anna/", each.apart) for each in found]
    assert names == ["~".join(["anna-test", *each]) for each in apart]


def test_the_same_weights_are_one_version(results, uri):
    """Every sync made another one."""
    client, trial = MlflowClient(uri), trial_of(results)
    assert [register(results, uri, "b/", trial) for _ in range(2)] == ["models:/b-test/1"] * 2
    directory = RecordDirectory(trial)
    save_file({name: 2 * value for name, value in load_file(directory.weights).items()}, directory.weights)
    writer.finish(directory, TrialRecord.from_json(json.loads(directory.record.read_text())))
    assert register(results, uri, "b/", trial) == "models:/b-test/2"
    client.set_registered_model_alias("b-test", registration.ALIAS, "1")
    assert register(results, uri, "b/", trial) == "models:/b-test/2"
    assert int(client.get_model_version_by_alias("b-test", registration.ALIAS).version) == 2
    assert len(client.search_model_versions("name='b-test'")) == 2


def test_a_version_whose_answer_is_lost_is_not_asked_for_again(results, uri, monkeypatch):
    """MLflow sends a request again that a server has carried out: there were two versions of the same weights."""
    create = MlflowClient.create_model_version

    def lose_answer(client, *words, **named):
        made = create(client, *words, **named)
        if os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] != "0":
            return create(client, *words, **named)
        raise OSError(f"lost: {made.version}")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "create_model_version", lose_answer)
        with pytest.raises(UserError, match="lost: 1"):
            register(results, uri, "lost/", trial_of(results))
    assert register(results, uri, "lost/", trial_of(results)) == "models:/lost-test/1"


def test_a_champion_loads_after_its_folder_was_moved_and_after_its_files_were_removed(results, tmp_path):
    """The version with the same weights stayed the champion, with files that were not there."""

    def loads(folder):
        name = register(folder, default_uri(folder), "", trial_of(folder))
        with registration._at(default_uri(folder)):
            assert mlflow.pyfunc.load_model(f"models:/test@{registration.ALIAS}").predict(2).shape[0] == 2
        return name

    assert loads(results) == "models:/test/1"
    moved = results.rename(tmp_path / "moved")
    assert loads(moved) == "models:/test/1"
    shutil.rmtree(moved / "mlartifacts")
    assert loads(moved) == "models:/test/2"


@pytest.mark.parametrize("prefix", ["lines/", "a\\n?\t'@b %20 ü#/"])
def test_the_lines_that_are_printed_load_the_champion_as_they_stand(
    results, uri, monkeypatch, capsys, tmp_path, prefix
):
    """Without the location, MLflow made an empty database in the current folder and found no model.

    It takes a question mark in a name, but for the end of it where the model is loaded, and leaves out a tab there.
    """
    monkeypatch.setattr(find_setting, "champions", lambda _: [Champion("test", "best", trial_of(results))])
    assert mlflow_commands._register(results, uri, prefix, PlainConsole())
    printed = [line.strip() for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    code = "\n".join([*printed[:-1], f"print({printed[-1]}.shape)"])
    done = python_code(code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "(16, 28, 28, 1)"
    assert "type hints" not in done.stderr


def test_the_lines_that_are_printed_name_a_registry_elsewhere(results, uri, monkeypatch, capsys, tmp_path):
    """They named the tracking server alone, where no such model is."""
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", f"sqlite:///{tmp_path / 'models.db'}")
    monkeypatch.setattr(find_setting, "champions", lambda _: [Champion("test", "best", trial_of(results))])
    assert mlflow_commands._register(results, uri, "elsewhere/", PlainConsole())
    monkeypatch.delenv("MLFLOW_REGISTRY_URI")
    printed = [line.strip() for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert f'mlflow.set_registry_uri("sqlite:///{tmp_path / "models.db"}")' in printed
    done = python_code("\n".join([*printed[:-1], f"print({printed[-1]}.shape)"]), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "(16, 28, 28, 1)"


def test_a_champion_that_is_decided_no_more_is_named(results, uri, monkeypatch, capsys):
    """Nothing told that the alias stood on a setting that the report does not call the best any more."""
    said = Champion("test", "best", None, "best is not decided: too few seeds", suite="test")
    monkeypatch.setattr(find_setting, "champions", lambda _: [said])
    for stays in ("", f'; "champion" of the model stays-test stays on version 1, of {digits_trial(0).setting}'):
        assert mlflow_commands._register(results, uri, "stays/", PlainConsole())
        told = " ".join(capsys.readouterr().out.split())
        assert told == f"test: not registered: best is not decided: too few seeds{stays}"
        register(results, uri, "stays/", trial_of(results))


def test_the_lines_that_are_printed_hold_no_password(results, monkeypatch, capsys):
    monkeypatch.setattr(find_setting, "champions", lambda _: [Champion("test", "best", trial_of(results))])
    monkeypatch.setattr(registration, "register", lambda *_: "models:/test/1")
    assert mlflow_commands._register(results, "postgresql://u:4711@h/d", "", PlainConsole())
    assert '  mlflow.set_tracking_uri("postgresql://u:***@h/d")' in capsys.readouterr().out


def test_a_model_makes_as_many_images_as_it_is_asked_for(results, uri, recwarn):
    """None was a fault of numpy's; and MLflow asked for types whenever a model was made or loaded."""

    name = register(results, uri, "counts/", trial_of(results))
    mlflow.set_tracking_uri(uri)
    model = mlflow.pyfunc.load_model(name)
    assert [model.predict(count).shape for count in (0, 1, 3)] == [(count, 28, 28, 1) for count in (0, 1, 3)]
    assert str(model.predict(0).dtype) == "uint8"
    with pytest.raises(Exception, match="the number of images must be 0 or more, not -1"):
        model.predict(-1)
    assert not [each for each in recwarn if "type hints" in str(each.message)]


def test_a_champion_of_others_stays_theirs(results, uri, tmp_path):
    """A model of a user's own lost its alias without a word, and two folders took it from each other."""
    register(results, uri, "first/", trial_of(results))
    shutil.copytree(results, tmp_path / "other", ignore=shutil.ignore_patterns("mlflow.db", "mlartifacts"))
    (tmp_path / "other" / "results.json").unlink(missing_ok=True)
    with pytest.raises(UserError, match=r'"champion" of the model first-test is version 1, of another results folder'):
        register(tmp_path / "other", uri, "first/", trial_of(tmp_path / "other"))
    assert register(results, uri, "first/", trial_of(results)) == "models:/first-test/1"
    client = MlflowClient(uri)
    client.create_registered_model("own-test")
    (tmp_path / "model").mkdir()
    version = client.create_model_version("own-test", (tmp_path / "model").as_uri())
    client.set_registered_model_alias("own-test", "champion", version.version)
    with pytest.raises(
        UserError, match=r"of the model own-test is version 1, of another program; name one of your own"
    ):
        register(results, uri, "own/", trial_of(results))
    assert len(client.search_model_versions("name='own-test'")) == 1
