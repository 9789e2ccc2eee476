"""Scores of whole image sets: order of the anchors, invariances, caches and the Inception path."""

from __future__ import annotations

import gc
import hashlib
import os
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.commands import python_code
from support.trials import config_of, digits_trial

from gan_bench.config.image_folder import DataRoot
from gan_bench.config.measures import MEASURES
from gan_bench.config.trial import EvaluationConfig
from gan_bench.core.cache import cache_folder
from gan_bench.core.errors import DataError, UserError
from gan_bench.data.datasets import ImageSet, load
from gan_bench.metrics import reference as reference_module
from gan_bench.metrics.evaluator import Evaluator, sample_grid, to_uint8
from gan_bench.metrics.extractors import EXTRACTORS
from gan_bench.metrics.measures.base import MetricSet
from gan_bench.metrics.reference import compute, export_moments, import_moments, reference
from gan_bench.training.fast.engine import FastEngine
from gan_bench.training.state import TrainState

CPU = torch.device("cpu")
HERE = DataRoot(Path(), given=True)


@pytest.fixture(scope="module")
def lenet():
    return EXTRACTORS["lenet-mnist-v1"].load(CPU)


@pytest.fixture(scope="module")
def digits():
    return load("digits", HERE, "train", 28), load("digits", HERE, "test", 28)


@pytest.fixture
def evaluator(lenet, digits):
    return Evaluator([lenet], {lenet.name: reference(*digits, "train", lenet)}, class_extractor="lenet-mnist-v1")


def values(scores):
    return {score.metric: score.value for score in scores}


def test_every_registered_measure_is_scored(evaluator, digits):
    found = evaluator.score_images(digits[1].images)
    assert {score.metric for score in found} == {name for name, each in MEASURES.items() if each.extractors is None}
    assert all(score.value is not None for score in found)
    few = evaluator.score_images(digits[1].images, 200)
    assert {s.metric: s.note for s in few if s.value is None} == {"fid_inf": "needs 256 generated images"}


def test_real_before_noise_for_every_measure(evaluator, digits):
    real = values(evaluator.score_images(digits[1].images))
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (359, 1, 28, 28), generator=generator, dtype=torch.uint8)
    noise = values(evaluator.score([noise], 359))
    for name, measure in MEASURES.items():
        if name in ("fid_inf", "copies", "authentic") or measure.extractors:  # noise copies nothing
            continue
        assert (real[name] < noise[name]) == measure.lower_is_better, name


def test_copies_are_found(evaluator, digits):
    train, test = digits
    assert values(evaluator.score_images(test.images))["copies"] == pytest.approx(0.01, abs=0.005)
    assert values(evaluator.score_images(train.images[:300]))["copies"] == 1.0


def test_collapse_is_flagged(evaluator, digits):
    train, _ = digits
    ones = train.images[train.labels == 1]
    found = values(evaluator.score_images(ones))
    assert found["collapsed"] == 1.0
    assert found["class_kl"] > 1
    assert values(evaluator.score_images(train.images))["collapsed"] == 0.0


@pytest.mark.parametrize("size", [1, 97, 359])
def test_chunks_do_not_matter(evaluator, digits, size):
    """The forward pass in float32 moves with the chunk; nothing after it does."""
    images = digits[1].images
    whole, cut = values(evaluator.score([images], 359)), values(evaluator.score(images.split(size), 359))
    for name, value in whole.items():
        assert cut[name] == pytest.approx(value, rel=1e-5, abs=1e-7), name


def test_order_does_not_matter_to_what_has_no_blocks(evaluator, digits):
    images = digits[1].images
    turned = images.flip(0)
    whole, other = values(evaluator.score([images], 359)), values(evaluator.score([turned], 359))
    for name in ("fid", "precision", "recall", "classes", "class_kl", "copies", "collapsed"):
        assert other[name] == pytest.approx(whole[name], rel=1e-6, abs=1e-9), name


def test_draws_give_the_noise_of_evaluating(evaluator):
    state = TrainState.start(digits_trial().config, CPU)
    config = config_of("mnist-mlp-z100", evaluation=EvaluationConfig(epochs=(0,), samples=200))
    single = evaluator.evaluate(state.generator, config)
    several = evaluator.evaluate(state.generator, config, draws=3)
    assert values(single) == values(several), "further draws must not move the value"
    assert all(score.draw_std is None for score in single)
    spread = {score.metric: score.draw_std for score in several}
    assert spread["fid"] > 0


def test_looking_at_a_generator_changes_nothing():
    state = TrainState.start(digits_trial(architecture="dcgan28").config, CPU)
    before = {k: v.clone() for k, v in state.generator.state_dict().items()}
    grid = sample_grid(state.generator, digits_trial(architecture="dcgan28").config)
    assert grid.shape == (242, 242, 3)
    assert grid.dtype == np.uint8
    assert all(torch.equal(before[k], v) for k, v in state.generator.state_dict().items())
    assert state.generator.training


@pytest.mark.parametrize("name", ["mnist-dcgan", "mnist-mlp-z64"])
def test_images_do_not_depend_on_how_an_engine_lays_weights_out(name):
    config = config_of(name)
    fresh = TrainState.start(config, CPU)
    trained = TrainState.start(config, CPU)
    FastEngine(config, torch.zeros(256, 1, 28, 28, dtype=torch.uint8), trained).step()  # one flat tensor, channels last
    strides = [[p.stride() for p in state.generator.parameters()] for state in (fresh, trained)]
    assert strides[0] != strides[1] or "mlp" in name
    assert np.array_equal(sample_grid(fresh.generator, config), sample_grid(trained.generator, config))


def test_images_are_rounded_to_the_nearest_level():
    levels = torch.arange(256)
    assert torch.equal(to_uint8(levels / 127.5 - 1), levels.to(torch.uint8))
    assert to_uint8(torch.tensor([-9.0, 9.0, float("nan")])).tolist() == [0, 255, 0]


# ------------------------------------------------------------------------------------- reference cache


def test_the_cache_gives_the_same_numbers_and_is_used(lenet, digits, monkeypatch, tmp_path):
    monkeypatch.setenv("GAN_BENCH_CACHE", str(tmp_path))
    first = reference(*digits, "train", lenet)
    monkeypatch.setattr(reference_module, "compute", lambda *_: pytest.fail("the cache was not used"))
    again = reference(*digits, "train", lenet)
    assert torch.equal(first.moments.covariance, again.moments.covariance)
    assert torch.equal(first.features, again.features)
    assert again.copy_distance == first.copy_distance


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", None])
def test_a_damaged_cache_is_computed_anew(lenet, digits, monkeypatch, tmp_path, damage):
    monkeypatch.setenv("GAN_BENCH_CACHE", str(tmp_path))
    first = reference(*digits, "train", lenet)
    (file,) = tmp_path.rglob("*.npz")
    file.write_bytes(file.read_bytes()[:-500] if damage is None else damage)
    assert torch.equal(reference(*digits, "train", lenet).moments.mean, first.moments.mean)


def test_other_pixels_are_another_entry(lenet, digits, monkeypatch, tmp_path):
    monkeypatch.setenv("GAN_BENCH_CACHE", str(tmp_path))
    train, test = digits
    reference(train, test, "train", lenet)
    changed = train.images.clone()
    changed[0, 0, 0, 0] += 1
    other = ImageSet(changed, None, hashlib.sha256(changed.numpy().data).hexdigest())
    reference(other, test, "train", lenet)
    assert len(list(tmp_path.rglob("*.npz"))) == 2


def test_a_cache_that_cannot_be_written_costs_no_result(lenet, digits, monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setenv("GAN_BENCH_CACHE", str(blocked))
    assert reference(*digits, "train", lenet).moments.count == len(digits[0].images)


def test_two_processes_write_one_sound_entry(tmp_path):
    code = (
        "from pathlib import Path; import torch\n"
        "from gan_bench.config.image_folder import DataRoot; from gan_bench.data.datasets import load\n"
        "from gan_bench.metrics.extractors import EXTRACTORS\n"
        "from gan_bench.metrics.reference import reference\n"
        "root = DataRoot(Path(), True)\n"
        "e = EXTRACTORS['lenet-mnist-v1'].load(torch.device('cpu'))\n"
        "print(reference(load('digits', root, 'train', 28), None, 'train', e).moments.mean.sum().item())\n"
    )
    environment = {**os.environ, "GAN_BENCH_CACHE": str(tmp_path)}
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: python_code(code, env=environment), range(2)))
    assert [each.returncode for each in done] == [0, 0], done
    assert len({each.stdout for each in done}) == 1
    assert len(list(tmp_path.rglob("*"))) == 2, "one folder, one entry, nothing left aside"


def test_the_cache_is_never_inside_the_package(monkeypatch):
    monkeypatch.delenv("GAN_BENCH_CACHE")
    assert not cache_folder().is_relative_to(Path(reference_module.__file__).parent)


def test_moments_travel_as_npz(lenet, digits, tmp_path):
    found = compute(digits[0].images, None, "train", lenet).moments
    path = tmp_path / "stats.npz"
    export_moments(path, found)
    again = import_moments(path, lenet.feature_dim)
    assert torch.equal(again.covariance, found.covariance)
    with np.load(path) as data:
        assert {"mu", "sigma"} <= set(data.files)
    with pytest.raises(DataError, match="holds moments of"):
        import_moments(path, 2048)
    link = tmp_path / "link.npz"
    link.symlink_to(path)
    export_moments(link, replace(found, count=7))
    assert link.is_symlink(), "what a link leads to is written, and so are pipes and devices"
    assert import_moments(path, 128).count == 7
    whole = path.read_bytes()
    packing = whole.index(b"PK\x01\x02") + 10
    for damaged in (b"no", b"", whole[:-30], whole[:packing] + b"\x63" + whole[packing + 1 :], _packed_badly(path)):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"no \.npz with the arrays mu and sigma"):
            import_moments(path, 128)


def _packed_badly(path):
    """The same arrays compressed, and a byte of them changed: zlib finds it."""
    with np.load(path) as data:
        np.savez_compressed(path, **data)
    content = bytearray(path.read_bytes())
    for i in range(60, 80):
        content[i] ^= 0xFF
    return bytes(content)


def test_sorted_images_are_shuffled_before_blocks_and_splits(evaluator, digits):
    """Images that lie class by class would make every split of the inception score one class."""
    train, _ = digits
    by_class = train.images[train.labels.argsort()]
    sorted_score = values(evaluator.score([by_class], len(by_class)))["is"]
    assert values(evaluator.score_images(by_class))["is"] > 2 * sorted_score
    assert values(evaluator.score_images(by_class, 200))["classes"] == 10


def test_only_the_judge_gives_class_measures(lenet, digits):
    other = Evaluator([lenet], {lenet.name: reference(*digits, "train", lenet)}, class_extractor=None)
    assert not {"classes", "class_kl", "collapsed"} & set(values(other.score_images(digits[1].images)))


def test_one_image_is_too_few(evaluator, digits):
    with pytest.raises(UserError, match="at least 2 images"):
        evaluator.score_images(digits[1].images[:1])


def test_statistics_of_real_images_are_computed_in_full_precision(lenet, digits, monkeypatch):
    """As scores are: a GPU's TensorFloat-32 would set both apart, and stay in the cache."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    seen = []

    class Watching:
        def __getattr__(self, name):
            return getattr(lenet, name)

        def __call__(self, images):
            seen.append(torch.backends.cudnn.allow_tf32)
            return lenet(images)

    compute(digits[0].images[:20], digits[0].images[20:40], "train", Watching())
    assert seen == [False, False]
    assert torch.backends.cudnn.allow_tf32


def test_the_memory_of_an_evaluation_is_free_when_it_ends(evaluator, digits, monkeypatch):
    """Metrics of 300 MB lay in cycles of a few objects, for which no collection of garbage comes."""
    made = []

    class Noted(MetricSet):
        def __init__(self, setup):
            super().__init__(setup)
            made.extend(weakref.ref(metric) for metric in self.shipped.values(copy_state=False))

    monkeypatch.setattr("gan_bench.metrics.measures.base.MetricSet", Noted)
    gc.disable()
    try:
        evaluator.score_images(digits[0].images[:64])
        assert made
        assert not [metric for metric in made if metric() is not None]
    finally:
        gc.enable()
