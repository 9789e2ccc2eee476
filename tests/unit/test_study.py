"""What may be compared with what: datasets, articles' protocols, published values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.studies import as_read, report_of, stored, studies_of, table
from support.trials import config_of, digits_trial

from gan_bench.config.measures import MEASURES
from gan_bench.config.trial import EvaluationConfig, Trial
from gan_bench.records.reader import StoredTrial
from gan_bench.records.record import Protocol
from gan_bench.report.compare.comparison import differences_of
from gan_bench.report.findings.reproduction import published_rows, references
from gan_bench.report.findings.summaries import summaries
from gan_bench.report.study.study import UNTRAINED


def own_trial(recipe, seed=0, **changes):
    evaluation = EvaluationConfig(epochs=(0,), samples=100)
    config = config_of(recipe, seed=seed, evaluation=evaluation, **changes)
    return Trial(setting=recipe, config=config)


def finished(trial, fid, last=None, extractor="cifar-v1"):
    epochs = trial.config.epochs
    values = last or {"loss_d": 1.0, "loss_g": 1.0, "d_real": 0.5, "d_fake": 0.5}
    history = [
        {"kind": "epoch", "epoch": epoch, "step": epoch, "train_seconds": 1.0, "last": values, "mean": values}
        for epoch in range(1, epochs + 1)
    ]
    score = {"metric": "fid", "name": f"fid[{extractor},train,100]", "value": fid}
    return StoredTrial(
        path=Path("x"),
        trial={"id": trial.id, "name": trial.name, "setting": trial.setting, "config": as_read(trial.config)},
        environment={"device": "cpu"},
        history=history,
        evaluations=[{"epoch": 0, "scores": [{**score, "value": 99.0}]}, {"epoch": epochs, "scores": [score]}],
        record={"status": "done", "epochs": epochs, "final": values, "train_seconds": 1.0, "evaluate_seconds": 1.0,
                "images": 1},
    )  # fmt: skip


def test_datasets_are_never_ranked_together():
    stored = [finished(own_trial("cats-dcgan"), 10.0), finished(own_trial("cifar10-dcgan"), 20.0)]
    tables = [t for t in report_of(stored).all if "-settings-" in t.name]
    assert len(tables) == 2
    assert {t.rows["rank"].dropna().tolist()[0] for t in tables} == {1}
    assert all(len(t.rows["rank"].dropna()) == 1 for t in tables)
    assert len({t.name for t in tables}) == 2


@pytest.mark.parametrize(
    ("named", "ranked"),
    [
        (("lenet-mnist-v1", "a-plugin"), ["lenet-mnist-v1", "a-plugin"]),
        (("a-plugin", "lenet-mnist-v1"), ["a-plugin", "lenet-mnist-v1"]),
        (("auto",), ["lenet-mnist-v1", "inception"]),
        (("auto", "a-plugin"), ["lenet-mnist-v1", "inception", "a-plugin"]),  # of two runs
    ],
)
def test_the_extractor_that_a_suite_names_first_ranks_first(named, ranked):
    evaluation = EvaluationConfig(epochs=(0,), samples=100, extractors=named)
    trial = Trial(setting="a", config=config_of("mnist-dcgan", seed=0, evaluation=evaluation))
    each = [finished(trial, 20.0, extractor=extractor) for extractor in reversed(ranked)]
    scores = [
        {"epoch": lines[0]["epoch"], "scores": [score for line in lines for score in line["scores"]]}
        for lines in zip(*(one.evaluations for one in each), strict=True)
    ]
    (study,) = studies_of([replace(each[0], evaluations=scores)])
    assert [scored.protocol.extractor for scored in study.scored] == ranked


def test_the_noise_of_scoring_is_pooled_and_relative_where_the_measure_is_of_ratios():
    """Root of the mean square: of sd / value for FID, which is judged as a logarithm, of sd for the inception score."""
    trials = []
    for seed, (fid, fid_sd, score, score_sd) in enumerate([(10.0, 0.5, 2.0, 0.3), (40.0, 1.0, 8.0, 0.4)]):
        trial = finished(own_trial("cats-dcgan", seed), fid)
        (line,) = trial.evaluations[-1]["scores"]
        line = {**line, "draw_std": fid_sd}
        beside = {"metric": "is", "name": "is[cifar-v1,train,100]", "value": score, "draw_std": score_sd}
        trials.append(replace(trial, evaluations=[{**trial.evaluations[-1], "scores": [line, beside]}]))
    (study,) = studies_of(trials)
    (scored,) = study.scored
    assert scored.measurement_sd("fid", relative=True) == pytest.approx(((0.05**2 + 0.025**2) / 2) ** 0.5, rel=1e-12)
    assert scored.measurement_sd("is", relative=False) == pytest.approx(((0.3**2 + 0.4**2) / 2) ** 0.5, rel=1e-12)
    assert scored.measurement_sd("fid", relative=True, seeds=(0,)) == pytest.approx(0.05, rel=1e-12)


@pytest.mark.parametrize(("pictures", "noise"), [(100, 0.3), (99, 0.0)])
def test_noise_of_one_draw_is_that_of_as_many_real_images_and_no_larger_share_of_a_score(pictures, noise):
    """Their FID is near 0: as a share of that, any noise would make ties of what differs; few images have more."""
    score = {
        "metric": "fid", "name": "fid[cifar-v1,train,100]", "value": 1.5, "draw_std": 0.3, "extractor": "cifar-v1",
        "split": "train",
    }  # fmt: skip
    real = {
        "dataset": "cats",
        "image_size": 64,
        "samples": 100,
        "pictures": pictures,
        "what": "held",
        "scores": [score],
    }
    trials = [finished(own_trial("cats-dcgan", seed), 60.0 if seed < 3 else 1.0) for seed in range(7)]
    (study,) = studies_of(trials, baselines={"test": [real]})
    (scored,) = study.scored
    assert scored.measurement_sd("fid", relative=True, seeds=(0, 1, 2)) == pytest.approx(noise / 60)
    assert scored.measurement_sd("fid", relative=True) == pytest.approx(noise)
    assert scored.measurement_sd("fid", relative=False) == pytest.approx(noise)


def test_real_rows_belong_to_their_dataset_and_protocol():
    score = {
        "metric": "fid",
        "name": "fid[cifar-v1,train,100]",
        "value": 1.5,
        "extractor": "cifar-v1",
        "split": "train",
    }
    anchor = {"dataset": "cats", "image_size": 64, "samples": 100, "pictures": 50, "what": "held", "scores": [score]}
    stored = [finished(own_trial("cats-dcgan"), 10.0), finished(own_trial("cifar10-dcgan"), 20.0)]
    tables = report_of(stored, baselines={"test": [anchor, {**anchor, "samples": 7}]}).all
    rows = table(tables, "cats-settings").rows
    assert rows[rows["setting"].str.startswith("real data")]["fid"].tolist() == [1.5]
    assert not table(tables, "cifar10-settings").rows["setting"].str.startswith("real data").any()


def test_rows_of_reference_are_of_the_images_that_trials_have_seen():
    """A mean over old and new images says of neither whether training got anywhere."""
    score = {
        "metric": "fid", "name": "fid[cifar-v1,train,100]", "value": 1.5, "extractor": "cifar-v1", "split": "train",
    }  # fmt: skip
    real = {"dataset": "cats", "image_size": 64, "samples": 100, "pictures": 50, "what": "held", "scores": [score]}

    def rows(*digests, of):
        trials = [
            replace(trial, environment={**trial.environment, "data_sha256": digest})
            for seed, digest in enumerate(digests)
            for trial in [finished(own_trial("cats-dcgan", seed), 10.0)]
        ]
        (study,) = studies_of(trials, baselines={"test": [{**real, "data_sha256": of}]})
        (scored,) = study.scored
        return [row["setting"] for row in scored.baseline_rows(("fid",))]

    assert len(rows("a", "a", of="a")) == 2
    assert rows("a", "a", of="b") == [UNTRAINED]
    assert rows("a", "b", of="b") == []


def test_copies_are_of_the_held_out_images_that_trials_were_scored_with():
    """Others were in one mean with them, and beside real data that others again had been counted for."""
    names, of_real = ("fid", "copies"), {"extractor": "cifar-v1", "split": "train", "value": 1.5}
    scores = [{"metric": name, "name": f"{name}[cifar-v1,train,100]", **of_real} for name in names]
    real = {"dataset": "cats", "image_size": 64, "samples": 100, "pictures": 50, "what": "held", "scores": scores}

    def shown(*environments, of):
        trials = [
            replace(trial, environment={**trial.environment, **environment})
            for seed, environment in enumerate(environments)
            for trial in [finished(own_trial("cats-dcgan", seed), 10.0)]
        ]
        for trial in trials:
            trial.evaluations[-1]["scores"].append({**trial.evaluations[-1]["scores"][0], **scores[1]})
        (study,) = studies_of(trials, baselines={"test": [{**real, **of}]})
        (scored,) = study.scored
        ((_, known),) = scored.real()
        in_curves = {name.partition("[")[0] for each in summaries(study) for name in each["curves"]}
        assert ("copies" in in_curves) == ("copies" in study.metrics), "MLflow shows these"
        return study.shown(("copies",)), list(known), scored.held_out_changed

    a, b, none = ({"held_out_sha256": digest} for digest in ("a", "b", None))
    both = (["copies"], ["fid", "copies"], False)
    assert shown(a, a, of=a) == shown(a, {}, of={}) == shown({}, {}, of=b) == shown(none, none, of=none) == both
    assert shown({**a, "changes": [{"threads": 1}, b]}, b, of=b) == both
    assert shown(a, a, of=b) == (["copies"], ["fid"], True)
    assert shown(a, b, of=b) == ([], ["fid"], True)
    assert shown(a, a, of=none) == shown(none, none, of=a) == (["copies"], ["fid"], True), "removed, or added"
    assert shown(a, none, of=none) == shown(none, a, of=a) == ([], ["fid"], True)


def test_folders_differ_in_held_out_images_where_one_has_none():
    def differences(old, new):
        pair = [replace(finished(own_trial("cats-dcgan"), 10.0), environment=each) for each in (old, new)]
        return list(differences_of(*({"the trial": each} for each in pair)))

    a, b, none = ({"held_out_sha256": digest} for digest in ("a", "b", None))
    assert differences(a, none) == differences(none, a) == differences(a, b) == ["held-out images of cats differ"]
    assert differences(a, {**none, "changes": [b]}) == ["held-out images of cats differ"], "those it was scored with"
    for old, new in ((a, a), (none, none), (a, {}), ({}, none), (a, {**b, "changes": [a]})):
        assert not differences(old, new)


A0 = {"loss_g": 5.9449, "loss_d": 0.7790, "d_real": 0.8575, "d_fake": 0.4179}


def test_reproduction_sets_reported_beside_measured():
    trials = [
        finished(own_trial("cats-dcgan", seed), 10.0, {k: v + 0.01 * (seed - 2) for k, v in A0.items()})
        for seed in range(5)
    ]
    rows = table(report_of(trials).all, "reproduction").rows
    first = rows[rows["epoch"] == 1].set_index("quantity")
    assert first.loc["loss G", "reported"] == 5.9449
    assert first.loc["loss G", "measured"] == pytest.approx(5.9449)
    assert first.loc["loss G", ["least", "most"]].tolist() == pytest.approx([5.9249, 5.9649])
    assert first["verdict"].tolist() == ["inside"] * 4
    half = 2.776445 * 0.01 * 2.5**0.5 * (6 / 5) ** 0.5  # Student's quantile of four degrees of freedom
    assert first.loc["loss G", ["low", "high"]].tolist() == pytest.approx([5.9449 - half, 5.9449 + half])
    later = rows[rows["epoch"] == 60].set_index("quantity")
    assert later.loc["loss D", "verdict"] == "outside"
    assert set(rows["epoch"]) == {1, 10, 20, 40, 60}
    assert set(later.loc[["D(real)", "D(fake)"], "verdict"]) <= {"inside", "outside"}


@pytest.mark.parametrize(("seeds", "words"), [(1, "one seed"), (2, "two seeds"), (3, "three seeds"), (4, "four seeds")])
def test_fewer_than_five_seeds_do_not_judge_a_reported_value(seeds, words):
    """From three, the interval of a loss of A0 ran from -11 to 19, and everything lay inside."""
    trials = [
        finished(own_trial("cats-dcgan", seed), 10.0, {k: v + seed for k, v in A0.items()}) for seed in range(seeds)
    ]
    rows = table(report_of(trials).all, "reproduction").rows
    assert set(rows["verdict"]) == {f"{words} cannot say"}
    assert rows[["low", "high"]].isna().all(axis=None)
    assert rows["most"].notna().all() == (seeds > 1)


def test_intervals_of_probabilities_end_at_0_and_1():
    trials = [
        finished(
            own_trial("cats-dcgan", seed),
            10.0,
            {**A0, "d_real": 0.8 + 0.05 * seed, "d_fake": 0.2 - 0.05 * seed, "loss_g": seed},
        )
        for seed in range(5)
    ]
    rows = table(report_of(trials).all, "reproduction").rows.set_index(["epoch", "quantity"])
    assert rows.loc[(1, "D(real)"), "high"] == 1.0
    assert rows.loc[(1, "D(fake)"), "low"] == 0.0
    assert rows.loc[(1, "loss G"), "low"] < 0.0


def test_a_shorter_run_is_the_beginning_of_the_article_s():
    stored = finished(own_trial("cats-dcgan", epochs=15, profile="quick"), 1.0, A0)
    rows = table(report_of([stored]).all, "reproduction").rows
    assert set(rows["epoch"]) == {1, 10}


@pytest.mark.parametrize("change", [{"batch_size": 64}, {"train_limit": 500}, {"lr_g": 1e-3}, {"init": "dcgan"}])
def test_only_the_exact_protocol_is_a_reproduction(change):
    other = own_trial("cats-dcgan", **change)
    assert not [t for t in report_of([finished(other, 1.0)]).all if "reproduction" in t.name]


def test_one_seed_is_no_spread():
    rows = table(report_of([finished(own_trial("cats-dcgan"), 1.0)]).all, "reproduction").rows
    assert set(rows["verdict"]) == {"one seed cannot say"}
    assert rows[["low", "high"]].isna().all(axis=None)


def test_protocols_carry_their_provenance():
    rows = table(report_of([finished(own_trial("mnist-dcgan"), 1.0)]).all, "protocol").rows
    values = rows.set_index("field")["mnist-dcgan"]
    assert values["lr_g"] == "0.0003 (lineage)"
    assert values["epochs"] == "10 (stated)"


def test_what_a_suite_trained_instead_stands_beside_what_the_article_used():
    """Below "quickstart: the articles' protocols" stood mnist, batch 128 and lr 0.0003, none of which it trained."""
    changed = {"dataset": "digits", "batch_size": 64, "ema_decay": 0.995, "train_limit": 500}
    trials = [finished(own_trial("mnist-mlp-z100", lr_g=lr, lr_d=3e-4, **changed), 1.0) for lr in (1e-3, 3e-3, 1e-3)]
    found = table(report_of(trials).all, "protocol")
    assert "what the articles used, and what was trained here instead" in found.title
    assert 'After "here"' in found.note
    values = found.rows.set_index("field")["mnist-mlp-z100"]
    assert values["dataset"] == "mnist (code); here: digits"
    assert values["batch_size"] == "128 (code); here: 64"
    assert values["lr_g"] == "0.0003 (code); here: 0.001 or 0.003"
    assert values["lr_d"] == "0.0003 (code)"
    assert values["ema_decay"] == "0.0; here: 0.995"
    assert values["train_limit"] == "all; here: 500"


def test_nothing_stands_beside_an_article_that_a_suite_follows():
    found = table(report_of([finished(own_trial("mnist-dcgan"), 1.0)]).all, "protocol")
    assert found.title == "test: what the articles used (full profile)"
    assert '"here"' not in found.note
    assert not found.rows["mnist-dcgan"].str.contains("here").any()


def test_many_values_of_a_suite_are_a_range():
    trials = [finished(own_trial("mnist-mlp-z100", lr_g=lr), 1.0) for lr in (1e-3, 3e-3, 2e-3, 4e-3, 5e-3)]
    values = table(report_of(trials).all, "protocol").rows.set_index("field")["mnist-mlp-z100"]
    assert values["lr_g"] == "0.0003 (code); here: 5 values from 0.001 to 0.005"


def test_the_note_on_collapses_is_of_trials_as_their_column_is():
    """Below a column of "5 of 5" stood "1 when half of the classes or fewer appear", which is of one trial's value."""
    item = finished(own_trial("mnist-mlp-z100"), 1.0, extractor="lenet-mnist-v1")
    name = "collapsed[lenet-mnist-v1,train,100]"
    item.evaluations[-1]["scores"].append({"metric": "collapsed", "name": name, "value": 1.0})
    found = table(report_of([item]).all, "health")
    assert list(found.rows["collapses"].dropna()) == ["1 of 1"]
    assert "collapsed: trials with half of the classes or fewer" in found.note


def test_published_values_are_well_formed():
    for entry in references():
        assert entry["metric"] in MEASURES
        assert entry["citation"]


def test_comparable_needs_everything_to_be_the_same():
    def verdicts(dataset, size, protocols, profile):
        rows = published_rows(dataset, size, [Protocol(each) for each in protocols], profile)
        return [row["comparable"] for row in rows]

    assert verdicts("mnist", 28, ["inception,test,10000"], "full") == ["comparable"]
    assert "quick" in verdicts("mnist", 28, ["inception,test,10000"], "quick")[0]
    assert "split train, not test" in verdicts("mnist", 28, ["inception,train,10000"], "full")[0]
    assert "extractor lenet-mnist-v1, not inception" in verdicts("mnist", 28, ["lenet-mnist-v1,test,10000"], "full")[0]
    enlarged = verdicts("cifar10", 64, ["inception,train,50000"], "full")
    assert all("images of 64x64, not 32x32" in verdict for verdict in enlarged)
    assert "comparable" in verdicts("cifar10", 32, ["inception,train,50000"], "full")
    assert published_rows("cats", 64, [Protocol("inception,train,50000")], "full") == []


def test_lost_pairs_are_counted():
    a = [own_trial("mnist-mlp-z64", seed) for seed in range(3)]
    b = [replace(t, config=replace(t.config, lr_g=3e-4, lr_d=3e-4)) for t in a]
    stored = [finished(t, 10.0 + t.config.seed, extractor="lenet-mnist-v1") for t in (*a, *b)]
    broken = replace(stored[-1], record={**stored[-1].record, "status": "diverged"})
    rows = table(report_of([*stored[:-1], broken]).all, "factor-learning-rate").rows
    assert rows["pairs"].tolist() == [2]
    assert rows["lost"].tolist() == [1]


def test_rows_are_named_by_the_networks_that_were_trained():
    """A recipe gives its training; where all of its trials have other networks, those are what was trained."""
    own = [stored(digits_trial(seed, architecture="resnet28"), fid=50.0) for seed in range(2)]
    (study,) = studies_of(own)
    assert set(study.trials["recipe"]) == {"resnet28 (trained as mnist-mlp-z100)"}
    assert table(report_of(own).all, "settings").rows["recipe"].iloc[0].startswith("resnet28 (")
    swept = [*own, *(stored(digits_trial(seed), fid=60.0) for seed in range(2))]
    (study,) = studies_of(swept)
    assert set(study.trials["recipe"]) == {"mnist-mlp-z100"}, "then networks are a factor"
    assert {"resnet28", "mlp"} <= {part for label in study.trials["label"] for part in label.split()}
