"""Parts of other people that misbehave: each fault is a sentence or a missing value, and costs nobody else anything."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from support.commands import gan_bench
from support.needs import slow
from support.parts import registered, temporary
from support.runs import CPU, context, run, train
from support.trials import digits_trial
from torch import nn

import gan_bench as gb
from gan_bench.cli.describe import present
from gan_bench.cli.doctor import _dataset, _images_of
from gan_bench.cli.part_commands import data_verify
from gan_bench.config.image_folder import DataRoot
from gan_bench.config.measures import MEASURES, Measure
from gan_bench.config.plugins import forget_plugin, load_plugin
from gan_bench.contract.check import check_part
from gan_bench.core import errors
from gan_bench.core.errors import DataError, UserError
from gan_bench.data.datasets import DATASETS, load
from gan_bench.execution.preflight.baselines import real_baselines
from gan_bench.execution.preflight.checks import survey
from gan_bench.metrics.extractors import EXTRACTORS, ExtractorEntry, load_extractor
from gan_bench.metrics.features import Features
from gan_bench.metrics.measures.base import Estimate, FeatureMetric, metric_class
from gan_bench.models.losses import LOSSES, Loss
from gan_bench.records.reader import read_trial
from gan_bench.records.record import Failure, Status
from gan_bench.records.verify import verify
from gan_bench.sampling import interpolation, load_generator


class SilentError(Exception):
    """An exception that cannot be written."""

    def __str__(self):
        raise ValueError


class Other(BaseException):
    """No ``Exception``, and no request to stop either."""


ANYTHING = [SystemExit(3), asyncio.CancelledError("x"), Other("y"), SilentError()]


def raises(error):
    def raise_it(*_):
        raise error

    return raise_it


GIVEN = {
    "nan": Estimate(math.nan),
    "inf": Estimate(math.inf),
    "text": Estimate("3.0"),
    "tensor": Estimate(torch.ones(3)),
    "list": Estimate([1.0]),
    "complex": Estimate(1 + 2j),
    "bool": Estimate(True),
    "huge": Estimate(1e308),
    "spread": Estimate(1.0, std="wide"),
    "number": 1.0,
    "nothing": None,
}


class Odd(FeatureMetric):
    """Gives or raises what a test wants, where a test wants it."""

    given: dict[str, object] = {"odd": None}  # noqa: RUF012 - replaced, never changed
    where = "compute"
    error: BaseException | None = None

    def __init__(self, setup):
        super().__init__(setup)
        self._act("init")

    @property
    def gives(self):
        return tuple(self.given)

    def update(self, features, logits):
        features.zero_()
        self._act("update")

    def compute(self):
        self._act("compute")
        return self.given

    def _act(self, where):
        if self.error is not None and self.where == where:
            raise self.error


ENTRY = Measure(title="odd", lower_is_better=True, description="odd", metric=f"{__name__}:Odd",
                roles=frozenset({"quality", "summary", "compared"}))  # fmt: skip


@pytest.fixture
def odd(monkeypatch):
    """Registers the measures that ``Odd`` is told to give."""

    def change(**changes):
        for name, value in changes.items():
            monkeypatch.setattr(Odd, name, value)
        for name in Odd.given:
            MEASURES.register(name, replace(ENTRY, title=name))

    with temporary(MEASURES):
        yield change


def scores_of(folder, trial):
    directory, record = run(folder, trial)
    stored = read_trial(directory.path)
    assert record.status is Status.DONE
    assert stored.fault is None
    assert not [v.faults for v in verify(folder / "results") if v.checked and v.faults]
    return {score["metric"]: score for score in stored.evaluations[-1]["scores"]}


def baselines_and_scores(folder, trial):
    assert real_baselines((trial,), context=context()), "the run gets to its training"
    return scores_of(folder, trial)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The scores of the same trial without the odd measure."""
    return scores_of(tmp_path_factory.mktemp("plain"), digits_trial())


def test_measures_that_give_no_number_have_no_value_and_say_why(tmp_path, odd, plain):
    odd(given=GIVEN)
    with pytest.warns(RuntimeWarning) as warned:
        found = scores_of(tmp_path, digits_trial())
    said = {str(each.message) for each in warned}
    for kind in GIVEN:
        score = found.pop(kind)
        assert score["value"] is None, kind
        assert score["std"] is None, kind
        assert score["note"].startswith("its metric gave "), kind
        (line,) = [line for line in said if line.startswith(f"{kind} is not scored as it should be: its metric gave ")]
        assert "gan-bench check" in line
    assert {name: score["value"] for name, score in found.items()} == {
        name: score["value"] for name, score in plain.items()
    }


def test_values_outside_their_bounds_are_none(tmp_path, odd):
    outside = {"low": -5, "high": 1.5}
    odd(given={name: Estimate(value) for name, value in outside.items()})
    entries = {name: replace(MEASURES[name], bounds=(0, 1)) for name in outside}
    with temporary(MEASURES, **entries), pytest.warns(RuntimeWarning) as warned:
        found = scores_of(tmp_path, digits_trial())
    for name, value in outside.items():
        assert found[name]["value"] is None
        (line,) = {str(each.message) for each in warned if f"{name} is not scored" in str(each.message)}
        assert re.search(f"its metric gave {value}, which is no .* within its bounds", line)


AWAY = """
import os
from dataclasses import replace

import gan_bench as gb
from torch import nn


def going(made):
    def make(*given):
        os.chdir("/")
        return made(*given)

    return make


class Generator(nn.Sequential):
    def __init__(self, latent_dim):
        os.chdir("/")
        super().__init__(nn.Linear(latent_dim, 784), nn.Tanh(), nn.Unflatten(1, (1, 28, 28)))

    forward = going(nn.Sequential.forward)


class Measure(gb.FeatureMetric):
    gives = ("away",)
    update = going(lambda *_: None)
    compute = going(lambda _: {"away": gb.Estimate(1.0)})


class Extractor:
    name, sha256, feature_dim, classes = "away", "0" * 64, 3, 2

    def __init__(self, device):
        self.device = device

    def __call__(self, images):
        os.chdir("/")
        flat = images.flatten(1)[:, :3].float()
        return gb.Features(flat, flat[:, :2])


digits, mlp, hinge, fid = gb.DATASETS["digits"], gb.ARCHITECTURES["mlp"], gb.LOSSES["hinge"], gb.MEASURES["fid"]
gb.DATASETS.register("away", replace(digits, name="away", read=going(digits.read)))
gb.ARCHITECTURES.register("away", replace(mlp, generator=Generator))
gb.LOSSES.register("away", replace(hinge, discriminator=going(hinge.discriminator), generator=going(hinge.generator)))
gb.MEASURES.register("away", replace(fid, metric=f"{__name__}:Measure", roles=frozenset()))
gb.EXTRACTORS.register("away", gb.ExtractorEntry(description="", channels=None, load=Extractor))
"""


def test_parts_that_go_to_another_folder_take_nobody_along(tmp_path):
    """The results were looked for there, and the run ended with the sentence that they had been removed."""
    (tmp_path / "away.py").write_text(AWAY)
    (tmp_path / "away.yaml").write_text(
        "suite: away\nversion: 1\nplugins: [./away.py]\ntrials:\n  - recipe: mnist-mlp-z100\n    set: {dataset: away, "
        "architecture: away, loss: away, epochs: 2}\nseeds: [0]\nevaluate: {epochs: [1, 2], samples: 64, "
        "extractors: [away, lenet-mnist-v1]}\n"
    )
    cut = ("--allow-plugins", "--no-tracking", "--profile", "full", "--executor", "inline", "--no-estimate")
    done = gan_bench("run", "away.yaml", *cut, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (record,) = tmp_path.glob("results/away/*/record.json")
    assert json.loads(record.read_text())["status"] == "done"
    done = gan_bench("sample", record.parent.relative_to(tmp_path), "--allow-plugins", "--out", "images", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.glob("images/*.png"))


def test_a_loss_that_goes_to_another_folder_takes_no_shipped_network_along(tmp_path):
    """Whether trials can train together is asked of a loss where the networks are not somebody's own."""
    (tmp_path / "away.py").write_text(
        "import os\nimport gan_bench as gb\n\n\ndef of_fake(fake):\n    os.chdir('/')\n    return -fake.mean(-1)\n\n\n"
        "def of_both(real, fake):\n    return fake.mean(-1) - real.mean(-1)\n\n\n"
        "gb.LOSSES.register('away', gb.Loss(description='a', source='b', discriminator=of_both, generator=of_fake, "
        "output='score'))\n"
    )
    (tmp_path / "away.yaml").write_text(
        "suite: away\nversion: 1\nplugins: [./away.py]\ntrials:\n  - recipe: mnist-mlp-z100\n    set: "
        "{dataset: digits, loss: away, epochs: 1}\nseeds: [0, 1]\nevaluate: {samples: 64}\n"
    )
    cut = ("--allow-plugins", "--no-tracking", "--executor", "inline", "--no-estimate")
    done = gan_bench("run", "away.yaml", *cut, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(tmp_path.glob("results/away/*/record.json"))) == 2


def test_a_broken_measure_is_said_once_by_a_run(tmp_path):
    assert gan_bench("new", "measure", "my-own", "--out", tmp_path).returncode == 0
    (file,) = tmp_path.glob("*.py")
    text = file.read_text()
    file.write_text(text.replace("        return {", "        1 / 0\n        return {"))
    assert file.read_text() != text
    (suite,) = tmp_path.glob("*.yaml")
    cut = ("--epochs", "1", "--samples", "64", "--seeds", "0,1", "--no-tracking", "--no-estimate")
    done = gan_bench("run", suite, "--allow-plugins", "--results", tmp_path / "r", *cut)
    assert done.returncode == 0, done.stderr
    said = " ".join((done.stdout + done.stderr).split())
    assert said.count("is not scored as it should be") == 1
    assert "ZeroDivisionError" in said


def test_every_real_number_is_a_value(tmp_path, odd):
    values = {"int": 1, "float": 0.5, "float32": np.float32(0.5), "float64": np.float64(0.25), "int64": np.int64(2)}
    odd(given={name: Estimate(value) for name, value in values.items()})
    found = scores_of(tmp_path, digits_trial())
    assert {name: found[name]["value"] for name in values} == {name: float(value) for name, value in values.items()}


RAISED = (ValueError("no such thing"), RecursionError(), *ANYTHING)


@pytest.mark.parametrize(
    ("where", "error"),
    [
        *product(["compute"], RAISED),
        *(("init", RAISED[-1]), ("update", RAISED[-2])),
        *slow(*product(["init"], RAISED[:-1]), *product(["update"], [*RAISED[:-2], RAISED[-1]])),
    ],
)
def test_a_measure_that_raises_costs_its_own_value_alone(tmp_path, odd, plain, where, error):
    odd(where=where, error=error)
    trial = digits_trial()
    with pytest.warns(RuntimeWarning, match="odd is not scored as it should be: .* failed "):
        found = baselines_and_scores(tmp_path, trial)
    assert found["odd"]["value"] is None
    assert f"test_foreign_parts:Odd failed ({type(error).__name__}" in found["odd"]["note"]
    assert found["fid"]["value"] == plain["fid"]["value"]


@pytest.mark.parametrize("where", ["init", "update", "compute"])
def test_a_measure_that_changes_torch_or_its_reference_changes_no_other_score(tmp_path, odd, plain, monkeypatch, where):
    def act(metric, here):
        if here == where:
            torch.set_default_dtype(torch.float64)
            torch.set_default_device("meta")
            metric.reference.moments.mean.zero_()
            metric.reference.features.zero_()

    odd(given={"odd": Estimate(1.0)})
    monkeypatch.setattr(Odd, "_act", act)
    found = baselines_and_scores(tmp_path, digits_trial())
    assert found.pop("odd")["value"] == 1.0
    assert found == plain


# --------------------------------------------------------------------------------------------- what is registered

WRONG = {
    "title": 3,
    "lower_is_better": "yes",
    "bounds": ("low", None),
    "roles": frozenset({"best"}),
    "log_scale": 1.5,
    "metric": None,
}


@pytest.mark.parametrize("field", WRONG)
def test_a_measure_with_a_wrong_field_is_refused_where_it_is_registered(field):
    with pytest.raises(TypeError, match=f'the measure "mine" has a wrong {field}: it must be '):
        MEASURES.register("mine", replace(MEASURES["fid"], **{field: WRONG[field]}))
    assert "mine" not in MEASURES


@pytest.mark.parametrize("name", ["rank", "status", "two words", "", "<b>", 3])
def test_a_name_that_breaks_tables_is_refused(name):
    with pytest.raises(ValueError, match="measure"):
        MEASURES.register(name, MEASURES["fid"])


@pytest.mark.parametrize(
    "name", ["a,b", "a[b]", "clip@336", "resnet(50)", "a+b", "my net", "dino:v2", "c#1", "../x", ".", "x" * 200]
)
def test_a_name_that_no_score_can_carry_is_refused(name):
    """A trial ran to its end, and nobody could read its records."""
    with pytest.raises(ValueError, match="cannot name an extractor: it stands in the names of scores, of at most 100"):
        gb.EXTRACTORS.register(name, gb.EXTRACTORS["lenet-mnist-v1"])
    with pytest.raises(ValueError, match="cannot name a measure: "):
        MEASURES.register(name, MEASURES["fid"])


@pytest.mark.parametrize("name", ["dinov2-vit-s-14.v2", "my_net", "größe"])
def test_a_name_that_scores_can_carry_is_none_to_refuse(name, registries):
    registries(gb.EXTRACTORS)
    gb.EXTRACTORS.register(name, gb.EXTRACTORS["lenet-mnist-v1"])


@pytest.mark.parametrize("registry", [gb.ARCHITECTURES, gb.LOSSES, gb.DATASETS, gb.EXTRACTORS, gb.MEASURES, gb.RECIPES])
def test_an_entry_of_another_class_is_refused(registry):
    with pytest.raises(TypeError, match=f'the {registry.kind} "mine" must be an? '):
        registry.register("mine", {"description": "a dict"})


def test_every_shipped_entry_has_fields_of_its_types():
    for registry in (gb.ARCHITECTURES, gb.LOSSES, gb.DATASETS, gb.EXTRACTORS, gb.MEASURES, gb.RECIPES):
        for name, entry in registry.shipped().items():
            registry._check_fields(name, entry)


@pytest.mark.parametrize(
    "code",
    [
        "import sys\nsys.exit(0)",
        "raise SystemExit",
        "1 / 0",
        "import gan_bench as gb\ngb.MEASURES.register('mine', 3)",
        "import gan_bench as gb\ngb.LOSSES.register('mine', gb.LOSSES['bce'].__class__)",
        "x = ",
        "import asyncio\nraise asyncio.CancelledError",
        "class E(BaseException):\n    pass\nraise E('x')",
        "class E(Exception):\n    def __str__(self): raise ValueError\nraise E()",
        "raise BaseExceptionGroup('all', [ValueError()]) if False else ValueError('é\\x1b')",
    ],
)
def test_a_plug_in_that_cannot_be_loaded_is_a_sentence(tmp_path, code):
    path = tmp_path / "mine.py"
    path.write_text(code)
    with pytest.raises(UserError, match=r"the plug-in .*mine\.py cannot be loaded \(") as error:
        load_plugin(path)
    assert "\n" not in str(error.value)
    forget_plugin(str(path))


@pytest.mark.parametrize(
    ("change", "said"),
    [({"roles": frozenset({"primary"})}, "the role primary"), ({"bounds": (10**400, None)}, "bounds")],
)
def test_a_measure_that_would_rank_or_has_no_bounds_is_refused(change, said):
    entry = Measure(title="odd", lower_is_better=True, description="", metric="mine:Odd", **change)
    with pytest.raises(ValueError, match=f'the measure "odd" cannot be: .*{said}'):
        MEASURES.register("odd", entry)
    assert "odd" not in MEASURES


def test_a_measure_may_name_no_class_of_gan_bench_that_is_not_there():
    with pytest.warns(RuntimeWarning, match="scores of gan_bench.nope:X are left out"):
        assert metric_class("gan_bench.nope:X") is None


# ------------------------------------------------------------------------------------------------- other kinds


def network(forward):
    """A generator and a discriminator of one layer; the generator does what a test wants."""

    class Generator(nn.Module):
        def __init__(self, latent):
            super().__init__()
            self.layer = nn.Linear(latent, 784)

        def forward(self, z):
            forward(self)
            return torch.tanh(self.layer(z)).reshape(-1, 1, 28, 28)

    class Discriminator(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Flatten(), nn.Linear(784, 1), nn.Flatten(0))

    return gb.Architecture(description="", image_shape=(1, 28, 28), generator=Generator, discriminator=Discriminator)


@pytest.mark.parametrize("error", [ValueError("odd"), SystemExit("bye"), *ANYTHING])
def test_networks_that_end_the_process_are_refused_before_anything_trains(error):
    with (
        registered(gb.ARCHITECTURES, "odd", network(raises(error))),
        pytest.raises(UserError, match="the architecture odd: G does not run on "),
    ):
        survey((digits_trial(architecture="odd"),), context())


ENDS = (SystemExit(0), GeneratorExit(), *ANYTHING)


@pytest.mark.parametrize(
    ("error", "stepping"),
    [*product(ENDS, [True]), (ENDS[0], False), (ENDS[-1], False), *slow(*product(ENDS[1:-1], [False]))],
)
def test_networks_that_raise_anything_while_they_train_fail_their_trial(tmp_path, error, stepping):
    def forward(generator):
        if generator.training is stepping and list(tmp_path.rglob("history.jsonl")):
            raise error

    trials = [digits_trial(architecture="odd"), digits_trial(1)]
    with registered(gb.ARCHITECTURES, "odd", network(forward)):
        records = train(tmp_path, trials, context(engine="reference")).records
    failed, done = (records[trial.id] for trial in trials)
    assert (failed.status, failed.failure) == (Status.FAILED, Failure.CRASH)
    assert type(error).__name__ in failed.reason
    assert done.status is Status.DONE


class Changed(nn.Module):
    """A generator whose images are changed in eval mode."""

    change = staticmethod(lambda images: images)

    def __init__(self, latent):
        super().__init__()
        self.inner = gb.ARCHITECTURES["mlp"].generator(latent)

    def forward(self, z):
        images = self.inner(z)
        return images if self.training else self.change(images)


@pytest.fixture
def changed(monkeypatch):
    """Registers an architecture, and returns what changes its images."""
    with registered(gb.ARCHITECTURES, "odd", replace(gb.ARCHITECTURES["mlp"], generator=Changed)):
        yield lambda change: monkeypatch.setattr(Changed, "change", staticmethod(change))


def one_is_nan(images):
    return torch.cat([images[:-1], images[-1:] * math.nan])


def test_images_that_are_not_finite_are_not_scored_as_black_ones(tmp_path, changed):
    """They were ranked first."""
    changed(one_is_nan)
    scores = scores_of(tmp_path, digits_trial(architecture="odd"))
    said = {(score["value"], score.get("std"), score["note"]) for score in scores.values()}
    assert said == {(None, None, "1 of 64 generated images have values that are not finite")}


@pytest.mark.parametrize("change", [lambda images: images.byte(), lambda images: (images,), lambda images: images[1:]])
def test_a_generator_that_gives_no_images_to_be_scored_fails_its_trial(tmp_path, changed, change):
    """Bytes were taken to lie in [-1, 1], and scored."""
    changed(change)
    _, record = run(tmp_path, digits_trial(architecture="odd"))
    assert (record.status, record.failure) == (Status.FAILED, Failure.CRASH)
    assert "in eval mode, and must give floats of (64, 1, 28, 28)" in record.reason


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (raises(SystemExit(0)), r'the architecture "odd" fails \(SystemExit: 0\)'),
        (raises(KeyError("x")), r'the architecture "odd" fails \(KeyError'),
        (lambda images: (images,), r"G gives a tuple in eval mode, and must give floats of \(64, 1, 28, 28\)"),
        (lambda images: images[..., :5], r"G gives torch.float32 of \(64, 1, 28, 5\)"),
        (one_is_nan, "makes images with values that are not finite, which cannot be drawn"),
    ],
)
def test_a_generator_that_cannot_be_drawn_from_is_a_sentence(tmp_path, changed, change, said):
    """One that ended the process did so with exit code 0 and an empty folder; what was NaN became black."""
    directory, _ = run(tmp_path, digits_trial(architecture="odd"))
    changed(change)
    generator = load_generator(directory.path)
    for draw in (lambda: generator.images(64), lambda: interpolation(generator, 8, 8)):
        with pytest.raises(UserError, match=said):
            draw()
    if change is not one_is_nan:
        with pytest.raises(UserError, match='the architecture "odd" fails'):
            gb.score(generator, "digits", samples=64)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda *_: 1.0, "D's loss of two images is a float, and must be one number"),
        (lambda *_: "x", "D's loss of two images is a str"),
        (lambda real, _fake: real, r"D's loss of two images is .* of \(2,\), and must be one number"),
        (raises(SystemExit(1)), r'the loss "odd" fails \(SystemExit: 1\); correct its code'),
        (raises(KeyError("x")), r'the loss "odd" fails \(KeyError'),
    ],
)
def test_a_loss_that_gives_no_loss_is_refused_before_anything_trains(made, said):
    entry = Loss(description="", source="", discriminator=made, generator=lambda fake: fake.mean())
    with registered(LOSSES, "odd", entry), pytest.raises(UserError, match=said):
        survey((digits_trial(loss="odd"),), context())


DIGITS = torch.zeros(1438, 1, 28, 28, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (raises(ValueError("odd")), r'the dataset "odd" fails \(ValueError: odd\)'),
        (raises(SystemExit(1)), r'the dataset "odd" fails \(SystemExit: 1\)'),
        (lambda *_: None, r'the dataset "odd" fails \(TypeError'),
        (
            lambda *_: (DIGITS.float(), None),
            r"train images torch.float32 .*, and declares a tensor torch.uint8 \(1438, 1,",
        ),
        (
            lambda *_: (DIGITS[:, :, :20, :20], None),
            r"\(1438, 1, 20, 20\), and declares a tensor .* \(1438, 1, 28, 28\)",
        ),
        (lambda *_: (DIGITS[:4], None), r"\(4, 1, 28, 28\), and declares"),
        (lambda *_: (DIGITS.numpy(), None), r"gives train images as ndarray, and declares a tensor"),
        (
            lambda *_: (DIGITS, torch.zeros(3)),
            r"labels torch.float32 \(3,\), and must give a tensor \(1438,\), or None",
        ),
        (lambda *_: (DIGITS, np.arange(4)), r"labels as ndarray, and must give"),
        (lambda *_: (DIGITS, torch.full((1438,), 10)), r"10 classes, .* not of 0, 1, 2"),
    ],
)
def test_a_dataset_that_gives_no_images_is_a_sentence(made, said):
    entry = replace(DATASETS["digits"], name="odd", read=made)
    with registered(DATASETS, "odd", entry):
        with pytest.raises(UserError, match=said):
            survey((digits_trial(dataset="odd"),), context())
        with pytest.raises(UserError, match=said):
            load("odd", context().data, "train", 28)


def saved(folder, split):
    images, labels = torch.load(folder / f"{split}.pt", weights_only=True)
    return images, labels


def save(folder):
    for split in ("train", "test"):
        torch.save(DATASETS["digits"].read(folder, split), folder / f"{split}.pt")


def test_a_dataset_whose_files_are_missing_is_fetched(tmp_path):
    """What it read was never there, and its download never tried."""
    root = DataRoot(tmp_path / "data", given=False)
    with registered(DATASETS, "odd", replace(DATASETS["digits"], name="odd", read=saved, fetch=save)):
        with pytest.raises(
            DataError, match=r"odd is not in .*data \(FileNotFoundError: .* a run without --data fetches it"
        ):
            load("odd", replace(root, given=True), "train", 28)
        assert "a run fetches it" in _dataset("odd", root, is_needed=True).line
        found = load("odd", root, "train", 28)
    assert torch.equal(found.images, load("digits", root, "train", 28).images)


@pytest.mark.parametrize("error", [SystemExit(0), KeyError("mirror")])
def test_a_download_of_others_that_fails_is_a_sentence(tmp_path, error):
    entry = replace(DATASETS["digits"], name="odd", read=saved, fetch=raises(error), source=raises(error))
    with registered(DATASETS, "odd", entry):
        with pytest.raises(UserError, match=rf'the dataset "odd" fails \({type(error).__name__}'):
            load("odd", DataRoot(tmp_path / "data", given=False), "train", 28)
        for ask in (
            lambda: list(present("odd", context().data)),
            lambda: _images_of(entry, tmp_path),
            lambda: data_verify("odd", None),
        ):
            with pytest.raises(UserError, match=rf"odd.* \({type(error).__name__}|odd is not in"):
                ask()


def test_a_dataset_that_fills_one_memory_for_all_splits_keeps_its_splits_apart():
    """Its held-out images were trained on."""
    images, labels = torch.zeros(1438, 1, 28, 28, dtype=torch.uint8), torch.zeros(1438, dtype=torch.int64)

    def read(folder, split):
        read_images, read_labels = DATASETS["digits"].read(folder, split)
        count = len(read_images)
        images[:count], labels[:count] = read_images, read_labels
        return images[:count], labels[:count]

    with registered(DATASETS, "odd", replace(DATASETS["digits"], name="odd", read=read)):
        train, _ = (load("odd", context().data, split, 28) for split in ("train", "test"))
    right = load("digits", context().data, "train", 28)
    assert torch.equal(train.images, right.images)
    assert torch.equal(train.labels, right.labels)


def test_a_dataset_that_changes_torch_changes_no_other_trial():
    """Its threads went into the records of all, and its default dtype ended every run with a traceback."""

    def read(folder, split):
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(torch.get_num_threads() + 1)
        torch.set_autocast_enabled("cpu", True)
        return DATASETS["digits"].read(folder, split)

    before = torch.get_default_dtype(), torch.get_num_threads(), torch.is_autocast_enabled("cpu")
    with registered(DATASETS, "odd", replace(DATASETS["digits"], name="odd", read=read)):
        load("odd", context().data, "train", 28)
    assert (torch.get_default_dtype(), torch.get_num_threads(), torch.is_autocast_enabled("cpu")) == before


class Small:
    """An extractor of three features."""

    name, sha256, feature_dim, classes, device = "odd", "0" * 64, 3, 2, CPU

    def __call__(self, images):
        flat = images.flatten(1).float()
        return Features(flat[:, :3], flat[:, :2])


class Wrong(Small):
    def __call__(self, images):
        return Features(images, images)


class Raising(Small):
    __call__ = raises(SystemExit(2))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (raises(OSError("no weights")), r'the extractor "odd" fails \(OSError: no weights\)'),
        (raises(SystemExit(2)), r'the extractor "odd" fails \(SystemExit: 2\)'),
        (lambda _: None, r'the extractor "odd" fails \(AttributeError'),
        (lambda _: Wrong(), r"it gives \(64, 1, 28, 28\) and .*, not \(64, 3\) and \(64, 2\)"),
        (lambda _: Raising(), r'the extractor "odd" fails \(SystemExit: 2\)'),
    ],
)
def test_an_extractor_that_fails_is_a_sentence(made, said):
    with (
        registered(EXTRACTORS, "odd", ExtractorEntry(description="", channels=1, load=made)),
        pytest.raises(UserError, match=said),
    ):
        load_extractor("odd", CPU)(torch.zeros(64, 1, 28, 28, dtype=torch.uint8))


class Writing(Small):
    """It writes into its images, and gives the same memory every time."""

    def __init__(self):
        self.features = torch.zeros(64, 3)

    def __call__(self, images):
        self.features[:] = images.flatten(1)[:, :3]
        images.zero_()
        return Features(self.features, self.features[:, :2])


def test_an_extractor_that_writes_into_its_images_changes_nobody_s():
    """The images were those that train, and the ones of the next extractor, whose statistics were cached."""
    images = torch.randint(1, 256, (2, 64, 1, 28, 28), dtype=torch.uint8)
    kept = images.clone()
    with registered(EXTRACTORS, "odd", ExtractorEntry(description="", channels=1, load=lambda _: Writing())):
        extractor = load_extractor("odd", CPU)
        first, second = extractor(images[0]), extractor(images[1])
    assert torch.equal(images, kept)
    assert torch.equal(first.features, kept[0].flatten(1)[:, :3].float())
    assert torch.equal(first.logits, first.features[:, :2])
    assert not torch.equal(first.features, second.features)


def test_a_check_of_parts_survives_them_too():
    entry = Loss(description="", source="", discriminator=raises(SystemExit(1)), generator=lambda fake: fake.mean())
    with registered(LOSSES, "odd", entry):
        found = list(check_part("losses", "odd", context().data))
    assert any(each.fault and "SystemExit" in each.fault for each in found)
    json.dumps([each.fault for each in found])


@pytest.mark.parametrize("is_ours", [True, False])
def test_a_part_that_prints_where_nobody_reads_fails_no_trial(tmp_path, monkeypatch, is_ours):
    """`run … | head` recorded such a trial as failed, for ever; a pipe of the part's own is a fault of its own."""
    readers = []  # a truth value that it stands on would be other code
    monkeypatch.setattr(errors, "is_broken_pipe", lambda _: is_ours)

    def forward(generator):
        if not readers and generator.training:
            raise BrokenPipeError(32, "Broken pipe")

    trial = digits_trial(architecture="odd")
    with registered(gb.ARCHITECTURES, "odd", network(forward)):
        if not is_ours:
            assert "BrokenPipeError" in run(tmp_path, trial, engine="reference")[1].reason
            return
        with pytest.raises(BrokenPipeError):
            run(tmp_path, trial, engine="reference")
        readers.append(1)
        directory, record = run(tmp_path, trial, engine="reference")
    assert record.status is Status.DONE
    assert not list(directory.path.parent.glob(".damaged/*"))


def test_a_stream_is_broken_when_nobody_reads_it():
    reader, writer = os.pipe()
    assert not errors.is_broken_pipe(writer)
    os.close(reader)
    assert errors.is_broken_pipe(writer)
    os.close(writer)
