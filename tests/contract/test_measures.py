"""One contract for every registered measure, and what an evaluation makes of them."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from pkgutil import resolve_name

import numpy as np
import pytest
import torch
from support.scoring import CLASSES, COUNT, DIM, real, score, seen

from gan_bench.config.measures import MEASURES, measures_with, primary_measure
from gan_bench.metrics.distances import NotFiniteError
from gan_bench.metrics.measures import shipped
from gan_bench.metrics.measures.base import FeatureMetric, MeasureSetup, MetricSet
from gan_bench.metrics.measures.shipped import (
    ClipDistance,
    FrechetDistance,
    FrechetDistanceAtInfinity,
    InceptionScore,
    KernelDistance,
)
from gan_bench.metrics.reference import MAX_PAIRWISE_FEATURES, Reference

SAMPLED = {"kid", "fid_inf", "sw2", "precision", "recall", "density", "coverage", "copies", "authentic"}
PATHS = {measure.metric: measure.extractors or "recorded" for measure in MEASURES.values()}
"""The class of every measure, with an extractor that it is given under."""
ANYWHERE = {name for name, measure in MEASURES.items() if measure.extractors is None}


def setup(samples=COUNT, reference=None, seed=3, extractor="recorded"):
    given = reference or real()
    return MeasureSetup(reference=given, samples=samples, logits=CLASSES, seed=seed, extractor=extractor)


@pytest.fixture(params=PATHS)
def metric(request) -> FeatureMetric:
    return resolve_name(request.param)(setup(extractor=PATHS[request.param]))


def feed(metric, features, logits, size=COUNT):
    for piece in zip(features.split(size), logits.split(size), strict=True):
        metric.update(*piece)
    return metric.compute()


def states(metric):
    for state in metric.metric_state.values():
        yield from state if isinstance(state, list) else [state]


def names(metrics):
    """The measures that a set gives."""
    return {name for metric in metrics.shipped.values() for name in metric.gives}


def test_every_measure_is_given_by_its_class():
    for name, measure in MEASURES.items():
        made = resolve_name(measure.metric)
        assert name in made(setup(extractor=measure.extractors or "recorded")).gives
        there = MetricSet(setup(extractor=measure.extractors or "recorded"))
        assert name in names(there)
        assert (name in names(MetricSet(setup()))) == (measure.extractors is None)


def test_roles_list_measures_in_the_order_of_registration():
    assert primary_measure() == "fid"
    assert measures_with("quality") == (
        "fid",
        "fid_inf",
        "kid",
        "is",
        "precision",
        "recall",
        "density",
        "coverage",
        "sw2",
        "fd_dinov2",
        "clip_mmd",
    )
    assert measures_with("health") == ("classes", "class_kl", "copies", "authentic", "collapsed")
    assert measures_with("compared") == ("fid", "kid", "is")
    assert measures_with("summary") == ("fid", "kid", "is", "precision", "recall", "classes")


def test_estimates_are_those_it_promised(metric):
    found = feed(metric, *seen())
    assert tuple(found) == metric.gives
    assert all(math.isfinite(estimate.value) for estimate in found.values())


def test_states_are_float64_and_stay_so(metric):
    metric.update(*seen())
    for moved in (metric.to("cpu"), metric.float(), metric.half()):
        assert {state.dtype for state in states(moved)} == {torch.float64}
    assert metric.reset() is None
    assert all(state.dtype == torch.float64 for state in states(metric))


def test_moving_takes_the_reference_along(metric):
    moved = metric.to("meta")
    assert moved.reference.moments.mean.device.type == "meta"
    assert {state.device.type for state in states(moved)} <= {"meta"}


@pytest.mark.parametrize("size", [7, 500])
def test_chunks_do_not_matter(metric, size):
    features, logits = seen()
    whole = feed(metric, features, logits)
    cut = feed(type(metric)(setup()), features, logits, size)
    for name, estimate in whole.items():
        assert cut[name].value == pytest.approx(estimate.value, rel=1e-12, abs=1e-12)


def test_order_does_not_matter_to_sums():
    features, logits = seen()
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(5))
    for path in PATHS:
        build = resolve_name(path)
        if issubclass(build, (InceptionScore, KernelDistance, FrechetDistanceAtInfinity)):
            continue  # consecutive splits, blocks, seeded subsets: order is part of their definition
        straight, turned = feed(build(setup()), features, logits), feed(build(setup()), features[order], logits[order])
        for name, estimate in straight.items():
            assert turned[name].value == pytest.approx(estimate.value, rel=1e-12, abs=1e-12)


def test_reset_forgets(metric):
    first = feed(metric, *seen())
    metric.reset()
    other = feed(metric, *seen(seed=9, scale=3.0))
    metric.reset()
    assert feed(metric, *seen()) == first != other


def test_no_draw_comes_from_the_global_generator(metric):
    torch.manual_seed(4)
    before = torch.get_rng_state()
    first = feed(metric, *seen())
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(5)
    assert feed(type(metric)(setup()), *seen()) == first


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused(metric, bad):
    features, logits = seen()
    features[3, 1] = logits[3, 1] = bad
    with pytest.raises(NotFiniteError, match="are not finite"):
        feed(metric, features, logits)


def test_the_input_is_left_as_it_is(metric):
    features, logits = seen()
    before = features.clone(), logits.clone()
    feed(metric, features, logits, 100)
    assert torch.equal(features, before[0])
    assert torch.equal(logits, before[1])


def test_a_sum_can_be_merged():
    features, logits = seen()
    left, right = FrechetDistance(setup()), FrechetDistance(setup())
    left.update(features[:123], logits[:123])
    right.update(features[123:], logits[123:])
    left.merge_state(right)
    whole = feed(FrechetDistance(setup()), features, logits)
    assert left.compute()["fid"].value == pytest.approx(whole["fid"].value, rel=1e-9)


def test_metrics_of_one_sample_gather_it_once():
    metrics = MetricSet(setup()).shipped
    sharing = sorted(len(group) for group in metrics.compute_groups.values())
    assert sharing == [1, 1, 1, 4]
    metrics.update(*seen())
    kept = [m.features for m in metrics.values(copy_state=False) if isinstance(m, shipped.FeatureSample)]
    assert len(kept) == 4
    assert all(each is kept[0] for each in kept)


def test_a_sample_keeps_the_first_and_no_more(monkeypatch):
    monkeypatch.setattr(shipped, "MAX_PAIRWISE_FEATURES", 20)
    features, logits = seen(30)
    metric = KernelDistance(setup(30))
    feed(metric, features, logits, 7)
    assert torch.equal(metric.sample(), features[:20].double())


def naive_inception_score(logits, splits):
    probabilities = torch.softmax(logits.double(), 1).numpy()
    scores = []
    for part in np.array_split(probabilities, splits):
        marginal = part.mean(0)
        scores.append(np.exp((part * (np.log(part) - np.log(marginal))).sum(1).mean()))
    return np.mean(scores), np.std(scores)


@pytest.mark.parametrize(("count", "splits", "size"), [(1000, 10, 1000), (1000, 10, 77), (60, 1, 60)])
def test_inception_score_equals_the_textbook(count, splits, size):
    features, logits = seen(count)
    found = feed(InceptionScore(setup(count), splits), features, logits, size)["is"]
    mean, std = naive_inception_score(logits, splits)
    assert found.value == pytest.approx(mean, rel=1e-10)
    assert found.std == (pytest.approx(std, rel=1e-8) if splits > 1 else None)


def test_inception_score_of_sure_and_even_classes_is_their_number():
    logits = torch.eye(CLASSES).repeat(50, 1) * 1000
    count = len(logits)
    assert feed(InceptionScore(setup(count)), torch.zeros(count, DIM), logits)["is"].value == pytest.approx(CLASSES)


def test_clip_mmd_is_a_thousand_times_the_distance_with_the_kernel_of_cmmd():
    from torch_fidelity.metric_kid import kernel_rbf, mmd2

    features, logits = seen(900, seed=4)
    found = feed(ClipDistance(setup(900)), features, logits)["clip_mmd"]
    x, y = (torch.nn.functional.normalize(each.double()) for each in (features, real().features))
    kernels = [kernel_rbf(a.numpy(), b.numpy(), kid_kernel_rbf_sigma=10.0) for a, b in ((x, x), (x, y), (y, y))]
    assert found.value == pytest.approx(1000 * mmd2(*kernels), rel=1e-6)


def test_inception_score_needs_all_images():
    metric = InceptionScore(setup(4))
    metric.update(torch.zeros(2, DIM), torch.zeros(2, CLASSES))
    with pytest.raises(ValueError, match="2 images were added, 4 were promised"):
        metric.compute()


# ----------------------------------------------------------------------------------------------- evaluation


@pytest.mark.parametrize("bad", [None, math.nan, math.inf])
def test_kept_is_of_the_sampled_measures_alone(bad):
    few, reference = score(bad=bad), real()
    assert {s.kept for s in few.values()} == {None}
    many = replace(reference, moments=replace(reference.moments, count=MAX_PAIRWISE_FEATURES + 1))
    found = score(bad=bad, reference=many)
    assert set(found) == ANYWHERE
    assert {name: s.kept for name, s in found.items()} == {
        name: MAX_PAIRWISE_FEATURES if name in SAMPLED else None for name in ANYWHERE
    }
    exact = replace(reference, moments=replace(reference.moments, count=MAX_PAIRWISE_FEATURES))
    assert {s.kept for s in score(reference=exact).values()} == {None}


def test_features_that_are_not_finite_have_a_note_and_no_value():
    found = score(bad=math.nan)
    assert {s.value for name, s in found.items() if name != "is"} == {None}
    assert {s.note for name, s in found.items() if name != "is"} == {"features are not finite"}
    assert found["is"].value > 1


@pytest.mark.parametrize("bad", [None, math.nan])
def test_what_the_reference_does_not_allow_is_left_out(bad):
    neighbours = {"precision", "recall", "density", "coverage", "copies", "authentic"}
    full, sampled_only = ANYWHERE, {"kid", "sw2", *neighbours}
    of_classes = {name for name in ANYWHERE if MEASURES[name].sees == "classes"}
    assert of_classes >= {"classes", "class_kl", "collapsed"}
    moments_only = Reference("npz", real().moments)
    assert set(score(bad=bad, reference=moments_only)) == full - sampled_only - of_classes
    assert set(score(bad=bad, reference=replace(real(), copy_distance=None))) == full - {"copies"}
    assert set(score(bad=bad, class_extractor=None)) == full - of_classes
    assert set(score(3, bad=bad)) == full - neighbours


def test_few_images_have_a_note():
    found = score(DIM)
    assert found["fid"].note == "fewer images than feature dimensions"
    assert found["fid_inf"].note == "needs 50 generated images"
    assert score(2)["fid"].value > 0
    assert score(10)["is"].note == "one image a split, so it is 1"
    assert score(11)["is"].note is None


def test_few_real_images_have_a_note_too():
    plain = real()
    few = replace(plain, moments=replace(plain.moments, count=DIM))
    assert score(DIM + 1, reference=few)["fid"].note == "fewer real images than feature dimensions"
    assert score(DIM + 1)["fid"].note is None


def test_a_class_that_few_real_images_miss_costs_the_divergence_alone():
    """It was infinite: the record of a trial that had ended was damaged for ever, and several draws failed it."""
    few = replace(real(), classes=torch.eye(CLASSES, dtype=torch.int64)[0])
    found = score(reference=few)
    assert (found["class_kl"].value, found["class_kl"].note) == (None, "infinite: real images miss a class")
    assert all(math.isfinite(each.value) for name, each in found.items() if name != "class_kl")


# ------------------------------------------------------------------------------------------------- start-up


def test_torchmetrics_is_loaded_by_evaluations_only():
    modules = (
        "execution.trial.run",
        "execution.workers.worker",
        "metrics.evaluator",
        "scoring",
        "cli.app",
        "report.build",
    )
    code = (
        "import sys; from importlib import import_module\n"
        f"for name in {modules}:\n"
        "    import_module(f'gan_bench.{name}')\n"
        "    if 'torchmetrics' in sys.modules: sys.exit(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
