"""Measures and extractors that are added to finished trials, from the weights that they kept."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from support.commands import gan_bench
from support.records import edit, reseal

from gan_bench.config.image_folder import DataRoot
from gan_bench.config.trial import TrialConfig
from gan_bench.core.errors import RecordError
from gan_bench.execution.trial.context import RunContext
from gan_bench.records.folders import scan
from gan_bench.records.json_files import SEAL, write_object
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.reader import read_trial
from gan_bench.records.verify import verify
from gan_bench.report.build import build_report
from gan_bench.report.findings.summaries import summaries
from gan_bench.report.study.studies import read_studies
from gan_bench.rescoring import add_scores

SUITE = """
suite: kept
version: 1
trials:
  - recipe: mnist-mlp-z100
    set: {dataset: digits, image_size: 28, epochs: 3, ema_decay: 0.9}
seeds: [0, 1]
evaluate: {epochs: [1, 3], samples: 64, draws: 2, keep: KEEP}
"""


FEW = ("--profile", "full", "--no-tracking", "--device", "cpu", "--train-limit", "300", "--executor", "inline")
"""Options of runs whose epochs are three steps."""


def run(folder, keep):
    folder.mkdir(exist_ok=True)
    suite = folder / "kept.yaml"
    suite.write_text(SUITE.replace("KEEP", keep))
    done = gan_bench("run", suite, "--results", folder / "results", *FEW)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "results", done.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return run(tmp_path_factory.mktemp("kept"), "weights")


@pytest.fixture
def results(trained, tmp_path):
    return shutil.copytree(trained[0], tmp_path / "results")


def records(results):
    return sorted((results / "kept").glob("*--*"))


def files(path):
    return {each.relative_to(path): each.read_bytes() for each in path.rglob("*") if each.is_file()}


def without(results, *measures):
    """Take measures out of records, as if they had been made before there were any."""
    taken = {}
    for path in records(results):
        directory = RecordDirectory(path)
        lines = [json.loads(line) for line in directory.evaluations.read_text().splitlines()]
        taken[path] = {
            (s["name"], line["epoch"]): s for line in lines for s in line["scores"] if s["metric"] in measures
        }
        for line in lines:
            line["scores"] = [score for score in line["scores"] if score["metric"] not in measures]
        directory.evaluations.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
        content = json.loads(directory.record.read_text())
        content.pop(SEAL)
        for part in ("final", "best"):
            kept = {k: v for k, v in content[part].items() if not k.startswith(tuple(f"{m}[" for m in measures))}
            content[part] = kept
        directory.record.write_text(json.dumps(content))
        reseal(directory)
    return taken


def scores_of(path):
    return {(s["name"], line["epoch"]): s for line in read_trial(path).evaluations for s in line["scores"]}


def test_weights_of_every_evaluated_epoch_are_kept_and_change_nothing_else(trained, tmp_path):
    assert "weights of every evaluated epoch are kept" in " ".join(trained[1].split())
    plain, said = run(tmp_path / "plain", "nothing")
    assert "are kept" not in said
    for kept, other in zip(records(trained[0]), records(plain), strict=True):
        assert kept.name == other.name, "the same trial"
        weights = sorted(path.name for path in (kept / "weights").iterdir())
        assert weights == [f"epoch-000{e}{mark}.safetensors" for e in (0, 1) for mark in ("-ema", "")]
        assert not (other / "weights").exists()
        assert scores_of(kept) == scores_of(other)
        for name in ("generator.safetensors", "samples/epoch-0001.png"):
            assert (kept / name).read_bytes() == (other / name).read_bytes()
    asked = tmp_path / "plain" / "kept.yaml"
    asked.write_text(SUITE.replace("KEEP", "weights"))
    later = gan_bench("run", asked, "--results", plain, *FEW)
    assert later.returncode == 0, later.stderr
    assert not any((path / "weights").exists() for path in records(plain)), "none was trained again"
    config = json.loads((records(plain)[0] / "trial.json").read_text())["config"]
    assert "keep" not in config["evaluation"], "records are written as they were"
    with pytest.raises(ValueError, match="keep must be one of nothing, weights"):
        TrialConfig.from_json({**config, "evaluation": {**config["evaluation"], "keep": "all"}})


def test_a_measure_is_added_with_the_values_that_it_would_have_had(results):
    taken = without(results, "density", "sw2")
    before = {path: files(path) for path in records(results)}
    done = gan_bench("score", results, "--add", "density", "--add", "sw2", "--device", "cpu")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "24 scores added" in done.stdout, "two measures, three looks, G and its average, two trials"
    for path in records(results):
        after = files(path)
        (new,) = set(after) - set(before[path])
        assert str(new) == "added.json"
        assert {name: after[name] for name in before[path]} == before[path], "other bytes stay"
        found = scores_of(path)
        for key, score in taken[path].items():
            for name in ("value", "draw_std", "generated", "kept"):
                wanted = None if score[name] is None else pytest.approx(score[name], rel=1e-5, abs=1e-7)
                assert found[key][name] == wanted, (key, name)
        for each in json.loads((path / "added.json").read_text())["additions"]:
            assert each["version"]
            assert each["device"] == "cpu"
            assert each["at"].startswith("20")
    assert gan_bench("verify", results).returncode == 0
    again = gan_bench("score", results, "--add", "density", "--device", "cpu")
    assert "0 scores added" in again.stdout


@pytest.mark.parametrize("words", [("--samples", "64"), ("--size", "16"), ("--json",), ("--extractor", "cifar-v1")])
def test_options_that_have_no_effect_on_added_scores_are_refused(results, words):
    """Three of them were ignored without a word."""
    done = gan_bench("score", results, "--add", "fid", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{words[0]} " in done.stderr.replace(",", " ")


def test_a_measure_that_no_extractor_of_a_trial_gives_says_which_do(results):
    done = gan_bench("score", results, "--add", "clip_mmd")
    assert done.returncode == 1
    said = " ".join((done.stdout + done.stderr).split())
    assert "clip_mmd is not given under lenet-mnist-v1; add one that it is given under: clip-vit-b-32" in said


@pytest.mark.slow
def test_what_an_extractor_cannot_give_is_not_lacking(results):
    """EfficientNet does not know the classes of digits, and nothing says that weights are missing."""
    gan_bench("score", results, "--add", "efficientnet-lite0")
    done = gan_bench("score", results, "--add", "classes")
    assert done.returncode == 0
    assert "no weights" not in done.stdout
    assert "0 scores added" in done.stdout


def test_an_added_extractor_stands_beside_the_ranking_and_does_not_rank_first(results):
    as_run = shutil.copytree(results, results.parent / "as-run")
    done = gan_bench("score", results, "--add", "cifar-v1", "--device", "cpu")
    assert done.returncode == 0, done.stdout + done.stderr
    made = build_report(results, html=False)
    protocols = [answer.protocol.split(",")[0] for _, answer in made.answers]
    assert protocols == ["lenet-mnist-v1", "cifar-v1"], "though cifar comes first in the alphabet"
    published = gan_bench("publish", results, "--out", results.parent / "published")
    assert published.returncode == 0, published.stdout + published.stderr
    copied = results.parent / "published"
    compared = gan_bench("compare", results, as_run)
    assert (compared.returncode, "gone" in compared.stdout) == (0, False), "a run has no scores that were added"
    assert all((path / "added.json").is_file() and not (path / "weights").exists() for path in records(copied))
    assert gan_bench("verify", copied).returncode == 0
    assert [len(s.evaluations[0]["scores"]) for s in scan(copied)] == [
        len(s.evaluations[0]["scores"]) for s in scan(results)
    ]


def test_an_added_extractor_that_some_trials_lack_ranks_nothing(results):
    def curves():
        return {name for study in read_studies(results)[1] for found in summaries(study) for name in found["curves"]}

    assert gan_bench("score", results, "--add", "cifar-v1", "--device", "cpu").returncode == 0
    assert "fid[cifar-v1,train,64]" in curves()
    (records(results)[0] / "added.json").unlink()
    assert "fid[lenet-mnist-v1,train,64]" in curves()
    assert "fid[cifar-v1,train,64]" not in curves(), "a mean of MLflow's would be over fewer seeds than the others"
    made = build_report(results, html=False)
    assert [answer.protocol.split(",")[0] for _, answer in made.answers] == ["lenet-mnist-v1"]
    (trials,) = [table for table in made.tables if table.kind == "trials"]
    assert any(column.key == "fid[cifar-v1,train,64]" for column in trials.columns), "its scores are shown there"


def test_what_has_no_weights_any_more_is_said(results):
    without(results, "density")
    for path in records(results):
        shutil.rmtree(path / "weights")
        reseal(RecordDirectory(path))
    done = gan_bench("score", results, "--add", "density", "--device", "cpu")
    said = " ".join(done.stdout.split())
    assert "added, of epochs 3" in said
    assert "no weights of epochs 0, 1; evaluate: {keep: weights} in a suite keeps them" in said


def test_of_held_out_images_that_changed_while_it_was_trained_only_the_last_epoch_is_scored(results):
    """All epochs were scored with the images that the last one had."""
    without(results, "density")
    for directory in map(RecordDirectory, records(results)):
        now = json.loads(directory.environment.read_text())["held_out_sha256"]
        edit(directory.environment, held_out_sha256="0" * 64, changes=[{"held_out_sha256": now}])
        reseal(directory)
    said = " ".join(gan_bench("score", results, "--add", "density", "--device", "cpu").stdout.split())
    assert "2 scores added, of epochs 3" in said
    assert "nothing added to epochs 0, 1; the held-out images changed when it was resumed" in said


def test_weights_that_are_not_what_was_saved_are_refused(results):
    without(results, "density")
    first, second = records(results)
    (first / "weights" / "epoch-0001.safetensors").write_bytes(
        (second / "weights" / "epoch-0001.safetensors").read_bytes()
    )
    done = gan_bench("score", results, "--add", "density", "--device", "cpu")
    assert done.returncode == 1
    assert "epoch-0001.safetensors is not what was saved" in " ".join(done.stdout.split())
    assert not (first / "added.json").exists()
    assert (second / "added.json").exists(), "the others go on"


def test_weights_that_score_otherwise_are_refused_though_their_digests_fit(results):
    without(results, "density")
    first, second = records(results)
    (first / "weights" / "epoch-0001.safetensors").write_bytes((second / "generator.safetensors").read_bytes())
    reseal(RecordDirectory(first))
    done = gan_bench("score", results, "--add", "density", "--device", "cpu")
    assert done.returncode == 1
    assert "not what they were" in " ".join(done.stdout.split())
    assert not (first / "added.json").exists()


def test_nothing_is_scored_beside_added_scores_that_are_damaged(results, monkeypatch):
    """All was scored, and the remedy that was named, to run the suite again, did nothing."""
    first, second = records(results)
    shutil.rmtree(second)
    (first / "added.json").write_text('{"schema": 1, "additions": [')
    monkeypatch.setattr(RunContext, "evaluator", lambda *_: pytest.fail("it was scored"))
    (added,) = add_scores(results, ["density"], DataRoot(results, given=True), torch.device("cpu"))
    assert added.fault.startswith(f"{first / 'added.json'} is damaged")
    assert added.fault.endswith("; delete it, and add the scores again with `gan-bench score --add`")
    assert (first / "added.json").read_text() == '{"schema": 1, "additions": ['


def doctored(path, by):
    content = json.loads(path.read_text())
    content.pop(SEAL)
    by(content)
    return content


FOREIGN = {"name": "fid[lenet-mnist-v1,train,9]", "metric": "fid", "extractor": "lenet-mnist-v1"}
BROKEN = {
    "another value": lambda path: path.write_text(path.read_text().replace('"value": ', '"value": 1', 1)),
    "no digest": lambda path: path.write_text(json.dumps(doctored(path, lambda content: None))),
    "other counts": lambda path: write_object(
        path, doctored(path, lambda content: content["additions"][0]["scores"][0].update(FOREIGN))
    ),
    "an epoch that was not evaluated": lambda path: write_object(
        path, doctored(path, lambda content: content["additions"][0].update(epoch=2))
    ),
    "no JSON": lambda path: path.write_text("{"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_added_scores_that_cannot_be_believed_are_left_out_and_the_trial_stays(trained, tmp_path, broken):
    results = shutil.copytree(trained[0], tmp_path / "results")
    first, _ = records(results)
    before = scores_of(first)
    score = {**next(iter(before.values())), "name": "density[cifar-v1,train,64]", "metric": "density", "value": 0.5,
             "extractor": "cifar-v1"}  # fmt: skip
    addition = {"epoch": 3, "at": "2026-01-01T00:00:00+00:00", "version": "0.1.0", "device": "cpu", "scores": [score]}
    write_object(first / "added.json", {"schema": 1, "additions": [addition]})
    assert len(scores_of(first)) == len(before) + 1
    BROKEN[broken](first / "added.json")
    assert scores_of(first) == before
    assert read_trial(first).fault is None, "hours of training are not done again for it"
    assert "delete it, and add the scores again" in str(read_trial(first).added_fault)
    (verdict,) = [each for each in verify(results) if each.faults]
    assert "added.json" in verdict.faults[0]
    made = build_report(results, html=False)
    assert len(made.unreadable) == 1
    assert "added.json" in made.unreadable[0]


def test_scores_are_added_where_the_images_are_a_users(tmp_path):
    source = np.random.default_rng(0)
    for number in range(40):
        folder = tmp_path / "mine" / "own" / ("train" if number < 30 else "test")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(source.integers(0, 255, (28, 28), dtype=np.uint8)).save(folder / f"{number}.png")
    suite = SUITE.replace("KEEP", "weights").replace("dataset: digits, image_size: 28", "dataset: mine")
    suite = suite.replace("samples: 64", "samples: 16")
    (tmp_path / "mine" / "own.yaml").write_text(f"{suite}\ndatasets: {{mine: {{path: own, size: 28, channels: 1}}}}\n")
    place = ("--results", tmp_path / "results", "--profile", "full", "--no-tracking", "--device", "cpu", "--seeds", "0")
    done = gan_bench("run", "mine/own.yaml", *place, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    added = gan_bench("score", "results", "--add", "cifar-v1", "--device", "cpu", cwd=tmp_path)
    assert added.returncode == 0, added.stdout + added.stderr
    assert "added, of epochs 0, 1, 3" in added.stdout
    Image.fromarray(source.integers(0, 64, (28, 28), dtype=np.uint8)).save(tmp_path / "mine/own/test/39.png")
    other = gan_bench("score", "results", "--add", "efficientnet-lite0", "--device", "cpu", cwd=tmp_path)
    assert other.returncode == 1
    own = f"images in {tmp_path}/mine/own are not those that it was scored against; bring those back"
    assert f"the held-out {own}" in " ".join(other.stdout.split())
    (record,) = map(RecordDirectory, (tmp_path / "results").glob("*/*--*"))
    edit(record.environment, held_out_sha256=None)
    reseal(record)
    none = gan_bench("score", "results", "--add", "efficientnet-lite0", "--device", "cpu", cwd=tmp_path)
    assert f"{tmp_path}/mine/own holds images out, and it was scored without any" in " ".join(none.stdout.split())
    shutil.copy(tmp_path / "mine/own/train/0.png", tmp_path / "mine/own/train/1.png")
    changed = gan_bench("score", "results", "--add", "efficientnet-lite0", "--device", "cpu", cwd=tmp_path)
    assert f"the {own}, or run the suite again with these" in " ".join(changed.stdout.split())
    assert "--data" not in changed.stdout, "the suite names them"
    shutil.rmtree(tmp_path / "mine")
    gone = gan_bench("score", "results", "--add", "efficientnet-lite0", "--device", "cpu", cwd=tmp_path)
    assert gone.returncode == 1, "a fault of its trials, and no end of all"


def test_links_among_kept_weights_are_refused(results):
    first, _ = records(results)
    shutil.rmtree(first / "samples")
    (first / "weights" / "more.safetensors").symlink_to("/etc/passwd")
    with pytest.raises(RecordError, match="is a link"):
        read_trial(first)


def test_names_that_are_none_and_folders_without_trials(results, tmp_path):
    wrong = gan_bench("score", results, "--add", "dnsity")
    assert wrong.returncode == 2
    assert 'unknown measure or extractor "dnsity" (did you mean "density"?)' in " ".join(wrong.stderr.split())
    (tmp_path / "empty").mkdir()
    none = gan_bench("score", tmp_path / "empty", "--add", "density")
    assert none.returncode == 2
    assert "holds no finished trial" in none.stderr


def test_a_measure_of_a_suite_s_own_file_is_known_where_it_may_run(results, tmp_path):
    """The name was refused before the file that registers it was read."""
    assert gan_bench("new", "measure", "of_its_suite", "--out", tmp_path).returncode == 0
    suite = results / "kept" / "suite.yaml"
    edit(results / "kept" / "plan.json", command="gan-bench run kept")  # the file that was run is elsewhere
    suite.write_text(f"{suite.read_text()}plugins: [{tmp_path / 'of_its_suite.py'}]\n")
    refused = gan_bench("score", results, "--add", "of_its_suite")
    assert refused.returncode == 2
    assert "unknown measure or extractor" in refused.stderr
    assert "run with --allow-plugins alone" in " ".join(refused.stderr.split())
    allowed = gan_bench("score", results, "--add", "of_its_suite", "--allow-plugins")
    assert allowed.returncode == 0, allowed.stdout + allowed.stderr
    assert "\n12 scores added" in allowed.stdout, "of two trials at three epochs, of G and its average"


def test_measures_of_two_suites_own_files_are_added_to_their_trials(results, tmp_path):
    """The parts of the suite that was read last were the only ones that were known."""
    folders = results / "kept", results / "twin"
    shutil.copytree(*folders)
    for number, folder in enumerate(folders):
        assert gan_bench("new", "measure", f"own_{number}", "--out", tmp_path).returncode == 0
        edit(folder / "plan.json", command="gan-bench run kept", suite=folder.name)
        suite = (folder / "suite.yaml").read_text().replace("suite: kept", f"suite: {folder.name}")
        (folder / "suite.yaml").write_text(f"{suite}plugins: [{tmp_path / f'own_{number}.py'}]\n")
    for path in folders[1].glob("*/trial.json"):
        config = {**json.loads(path.read_text())["config"], "suite": "twin"}
        edit(path, config=config)
    done = gan_bench("score", results, "--add", "own_0", "--add", "own_1", "--allow-plugins")
    assert "unknown measure" not in done.stdout + done.stderr
    added = {path.parent.parent.name: path.read_text() for path in results.glob("*/*/added.json")}
    assert "own_0" in added["kept"], done.stdout
    assert "own_1" not in added["kept"]
