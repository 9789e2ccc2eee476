"""What stops a plan before hours are spent, and how long it is said to take."""

from __future__ import annotations

import re
import shutil
import warnings
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from support.records import bits
from support.runs import CPU, context, is_finished, run, stop_after, train
from support.trials import config_of, digits_trial
from torch import nn

import gan_bench as gb
from gan_bench.cli import doctor
from gan_bench.cli.describe import present
from gan_bench.config.image_folder import DataRoot
from gan_bench.config.trial import EvaluationConfig, Trial
from gan_bench.core.errors import DataError, DeviceError, UserError
from gan_bench.core.torch_settings import torch_settings_kept
from gan_bench.data.datasets import DATASETS
from gan_bench.execution.preflight import estimate as module
from gan_bench.execution.preflight.checks import survey
from gan_bench.execution.preflight.estimate import WORKER_START, estimate, group_size, unmeasured
from gan_bench.execution.preflight.folder import check_space, locks_remark
from gan_bench.execution.trial import environment
from gan_bench.execution.trial.context import RunContext
from gan_bench.models import mlp
from gan_bench.models.architectures import ARCHITECTURES, Architecture, fingerprint
from gan_bench.models.losses import LOSSES
from gan_bench.records.earlier import Earlier
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.record import Status
from gan_bench.scoring import prepare
from gan_bench.training.draws import steps_per_epoch
from gan_bench.training.engine import draws_globally
from gan_bench.training.group.group import can_group
from gan_bench.training.state import TrainState


class Flat(nn.Module):
    """A small network between any two shapes."""

    def __init__(self, width: int, shape: tuple[int, ...], slope: float = 0.2) -> None:
        super().__init__()
        self.shape = shape
        self.layers = nn.Sequential(nn.Linear(width, torch.Size(shape).numel()), nn.LeakyReLU(slope), nn.Tanh())

    def forward(self, inputs):
        return self.layers(inputs.flatten(1)).view(len(inputs), *self.shape)


class Several(nn.Linear):
    """Gives features beside its logits, and shows a function among its settings."""

    def __init__(self, width: int) -> None:
        super().__init__(width, 1)
        self.function = lambda: None

    def extra_repr(self):
        return f"function={self.function}"

    def forward(self, inputs):
        return super().forward(inputs.flatten(1)), inputs


class Whole(Flat):
    def forward(self, x):
        return super().forward(x).int()


@pytest.fixture
def tiny(registries):
    """Registers a pair of networks under the name ``tiny``."""

    def register(generator, discriminator):
        entry = Architecture(description="", image_shape=(1, 28, 28), generator=generator, discriminator=discriminator)
        registries(ARCHITECTURES, tiny=entry)
        return digits_trial(architecture="tiny")

    return register


@pytest.mark.parametrize(
    ("generator", "discriminator", "said"),
    [
        (
            lambda z: Flat(z, (1, 28, 28)),
            lambda: Flat(784, (1,)),
            r"D gives .* of \(2, 1\) .* floats of \(2,\); flatten",
        ),
        (
            lambda z: Flat(z, (28, 28)),
            lambda: Flat(784, ()),
            r"G gives .* \(2, 28, 28\) .* floats of \(2, 1, 28, 28\)",
        ),
        (
            lambda z: Flat(z + 1, (1, 28, 28)),
            lambda: Flat(784, ()),
            r"G does not run on .*: RuntimeError: .*shapes",
        ),
        (
            lambda z: Flat(z, (1, 28, 28)),
            lambda: Several(784),
            "D gives a tuple .*, and must give floats",
        ),
        (lambda z: 1 / 0, lambda: Flat(784, ()), "G does not run on .*: ZeroDivisionError"),
        (
            lambda z: Whole(z, (1, 28, 28)),
            lambda: Flat(784, ()),
            "G gives torch.int32 of .*, and must give floats",
        ),
    ],
)
def test_networks_are_tried_before_anything_runs(tiny, generator, discriminator, said):
    before = torch.get_rng_state()
    with pytest.raises(UserError, match=f"the architecture tiny.*{said}"):
        survey((tiny(generator, discriminator),), context())
    assert torch.equal(before, torch.get_rng_state())


class Tied(Flat):
    """Two layers that share their weights."""

    def __init__(self, width, shape):
        super().__init__(width, shape)
        self.again = nn.Linear(784, 784)
        self.twice = nn.Linear(784, 784)
        self.twice.weight = self.again.weight

    def forward(self, inputs):
        return self.twice(self.again(super().forward(inputs).flatten(1))).tanh().view(len(inputs), *self.shape)


class Noisy(Flat):
    """Draws from torch's own generator in every mode, as layers of StyleGAN do."""

    def forward(self, inputs):
        return super().forward(inputs) + 0.1 * torch.randn(len(inputs), *self.shape)


class Dropped(Flat):
    """Draws from it in training alone."""

    def forward(self, inputs):
        return super().forward(nn.functional.dropout(inputs, 0.3, self.training))


class Still(Flat):
    def forward(self, inputs):
        return super().forward(inputs).detach()


class Wide(Flat):
    def forward(self, inputs):
        return super().forward(inputs).double()


class Cast(Flat):
    """Weights of another dtype, whatever comes in and goes out."""

    def __init__(self, width, shape):
        super().__init__(width, shape)
        self.double()

    def forward(self, inputs):
        return super().forward(inputs.double()).float()


class OldNorm(Flat):
    def __init__(self, width, shape):
        super().__init__(width, shape)
        with warnings.catch_warnings(action="ignore"):
            nn.utils.weight_norm(self.layers[0])


class Counting(Flat):
    """Counts its steps where no checkpoint looks."""

    steps = 0

    def forward(self, inputs):
        self.steps += self.training
        return super().forward(inputs) * (1 + 0.01 * self.steps)


class CountingInTraining(Flat):
    steps = 0

    def forward(self, inputs):
        self.steps += self.training
        return super().forward(inputs) * (1 + 0.01 * self.steps * self.training)


class FailingInEval(Flat):
    def forward(self, inputs):
        if not self.training:
            raise ValueError("no eval")
        return super().forward(inputs)


class Averaging(Flat):
    """Keeps a mean in a buffer, with which its state is or is not saved."""

    def __init__(self, width, shape, *, persistent):
        super().__init__(width, shape)
        self.register_buffer("seen", torch.zeros(()), persistent=persistent)

    def forward(self, inputs):
        if self.training:
            self.seen += inputs.detach().mean()
        return super().forward(inputs) + 0.001 * self.seen


class RandomOffset(Flat):
    """Adds numbers that its constructor draws: a trial that is resumed has them again, and no file of G has them."""

    def __init__(self, width, shape):
        super().__init__(width, shape)
        self.register_buffer("offset", torch.randn(width), persistent=False)

    def forward(self, inputs):
        return nn.functional.dropout(super().forward(inputs.flatten(1) + self.offset), 0.1, self.training)


class Bounded(Flat):
    """Takes images alone, and keeps whole numbers beside its weights."""

    def __init__(self, width, shape):
        super().__init__(width, shape)
        self.order = nn.Parameter(torch.arange(width).flip(0), requires_grad=False)

    def forward(self, inputs):
        assert inputs.abs().max() <= 1, "images are in [-1, 1]"
        return super().forward(inputs.flatten(1)[:, self.order])


@cache
def shared_flat(width):
    return Flat(width, (1, 28, 28))


class Extra(Flat):
    def __init__(self, width, shape, kept):
        super().__init__(width, shape)
        self.kept = kept

    def get_extra_state(self):
        return self.kept

    def set_extra_state(self, state):
        self.kept = state


@pytest.mark.parametrize(
    ("generator", "said"),
    [
        (lambda z: Counting(z, (1, 28, 28)), "G keeps something that is not in its state_dict"),
        (lambda z: CountingInTraining(z, (1, 28, 28)), "G keeps something that is not in its state_dict"),
        (lambda z: FailingInEval(z, (1, 28, 28)), "G does not work again, in eval mode.*ValueError: no eval"),
        (lambda z: Averaging(z, (1, 28, 28), persistent=False), "G keeps something that is not in its state_dict"),
        (
            lambda z: Extra(z, (1, 28, 28), {"k": 1}),
            r"G keeps what is no tensor \(_extra_state\); register it as a buffer",
        ),
        (lambda z: nn.Sequential(Flat(z, (1, 28, 28)).double()), "G does not run on"),
        (lambda z: RandomOffset(z, (1, 28, 28)), "G keeps something that is not in its state_dict"),
        (shared_flat, "G is made once and given to every trial; let the function make a new one at each call"),
        (lambda z: Cast(z, (1, 28, 28)), r"G has parameters that are not float32 \(layers.0.weight\)"),
        (lambda z: Wide(z, (1, 28, 28)), "D does not run on torch.float64 of .*RuntimeError"),
        (lambda z: Flat(z, (1, 28, 28)).requires_grad_(False), "G has no parameters that could be trained"),
        (lambda z: Still(z, (1, 28, 28)), "no gradient reaches the parameters of G; .* use_reentrant=False"),
        (lambda z: OldNorm(z, (1, 28, 28)), "G cannot be copied, .* take that of torch.nn.utils.parametrizations"),
    ],
)
def test_networks_that_would_fail_later_are_refused(tiny, generator, said):
    """They trained until their first score, or failed one by one with a message of torch."""
    with pytest.raises(UserError, match=f"the architecture tiny.*({said})"):
        survey((tiny(generator, lambda: Flat(784, ())),), context())


@pytest.mark.parametrize("keeps", [partial(Averaging, persistent=True), partial(Extra, kept=torch.ones(2))])
def test_networks_whose_state_is_saved_are_tried_twice_and_taken(tiny, keeps):
    trial = tiny(lambda z: keeps(z, (1, 28, 28)), lambda: keeps(784, ()))
    survey((trial,), context())


@pytest.mark.parametrize("kind", [RandomOffset, Bounded])
def test_discriminators_that_a_resumed_trial_makes_again_are_taken(tiny, kind):
    """One of random features with dropout was refused, and one that looks at what it is given."""
    survey((tiny(lambda z: Flat(z, (1, 28, 28)), lambda: kind(784, ())),), context())


def test_a_discriminator_keeps_its_state_too(tiny):
    with pytest.raises(UserError, match="the architecture tiny: D keeps something that is not in its state_dict"):
        survey((tiny(lambda z: Flat(z, (1, 28, 28)), lambda: Counting(784, ())),), context())


class Remembering:
    """A loss that takes off the mean of what it has seen."""

    seen = 0.0

    def __call__(self, real, fake):
        self.seen = 0.9 * self.seen + 0.1 * real.detach().mean()
        return (fake - real.mean(-1, keepdim=True) + self.seen).mean(-1)


def test_a_loss_that_trials_would_share_is_refused(registries):
    """Its state leaked from trial to trial: other numbers with one worker than with two."""
    registries(LOSSES, mine=replace(LOSSES["non_saturating"], discriminator=Remembering(), smoothed=None))
    with pytest.raises(UserError, match='the loss "mine" keeps something between calls'):
        survey((Trial(setting="s", config=config_of("mnist-mlp-z100", loss="mine")),), context())


def test_tied_weights_are_saved(tiny, tmp_path):
    """All was trained and scored, and then could not be saved."""
    trial = tiny(lambda z: Tied(z, (1, 28, 28)), lambda: Flat(784, ()))
    assert train(tmp_path, [trial], context()).records[trial.id].status is Status.DONE
    assert gb.generator(RecordDirectory.of(tmp_path, trial).path, allow_plugins=True).images(2).shape == (2, 1, 28, 28)


@pytest.mark.parametrize("engine", ["reference", "fast"])
@pytest.mark.parametrize("kind", [Noisy, Dropped])
def test_networks_that_draw_themselves_give_the_same_bits(tiny, tmp_path, kind, engine):
    """Two runs of one trial differed, a resumed one too, and nothing said so."""
    trial = tiny(lambda z: kind(z, (1, 28, 28)), lambda: kind(784, ()))
    survey((trial,), context())
    found = []
    for i, stops in enumerate((None, None, 8)):
        torch.manual_seed(i)
        before, name = torch.get_rng_state(), f"results{i}"
        if stops:
            assert run(tmp_path, trial, name, stop=stop_after(stops), engine=engine)[1].status is Status.INTERRUPTED
        directory, record = run(tmp_path, trial, name, engine=engine)
        assert record.status is Status.DONE
        assert torch.equal(before, torch.get_rng_state()), "the numbers of others stay as they are"
        found.append(bits(directory))
    assert found[0] == found[1] == found[2]
    assert draws_globally(trial.config, TrainState.start(trial.config, torch.device("cpu")))


def test_a_training_in_which_g_never_steps_is_refused():
    """It ended as done, with the FID of the untrained generator."""
    trial = digits_trial()
    steps = trial.config.epochs * steps_per_epoch(trial.config, len(context().training_images(trial.config)))
    assert steps > 2
    with pytest.raises(
        UserError, match=rf"every {steps + 1} of D .* has {steps} steps, so G would stay untrained; low"
    ):
        survey((digits_trial(d_steps=steps + 1),), context())
    survey((digits_trial(d_steps=steps),), context())


@pytest.mark.parametrize("drawn", ["discriminator", "smoothed"])
def test_a_loss_that_draws_trains_alone(registries, drawn):
    """In a group its numbers were nobody's, and two runs differed."""

    def noisy(real, fake, *target):
        return (real * torch.rand_like(real)).mean() + fake.mean()

    made = replace(LOSSES["minimax"], **{drawn: noisy})
    registries(LOSSES, noisy=made)
    smoothing = 0.1 if drawn == "smoothed" else 0.0
    engines = [context().engine(digits_trial(seed, loss="noisy", label_smoothing=smoothing).config) for seed in (0, 1)]
    plain = [context().engine(digits_trial(seed, loss="minimax").config) for seed in (0, 1)]
    assert can_group(plain)
    assert not can_group(engines)


def test_a_loss_that_fails_where_it_is_tried_fails_its_own_trial_alone(registries, tmp_path):
    """A suite ended with the traceback of one trial: the loss was tried before the trial could take the error."""
    calls = []

    def failing(real, fake, *target):
        calls.append(len(real))
        if len(real) == 2:  # the two images that it is tried on
            raise MemoryError
        return real.mean() + fake.mean()

    registries(LOSSES, failing=replace(LOSSES["minimax"], discriminator=failing))
    engine = context().engine(digits_trial(0, loss="failing").config)
    assert not can_group([engine, engine])
    assert 2 in calls
    trials = [digits_trial(0, loss="failing"), digits_trial(1)]
    records = train(tmp_path, trials, context()).records
    assert [records[trial.id].status for trial in trials] == [Status.DONE, Status.DONE]


@pytest.mark.parametrize(
    ("library", "name"),
    [("mkldnn", "enabled"), ("cudnn", "enabled"), ("cudnn", "deterministic"), ("cudnn", "benchmark")],
)
def test_libraries_that_a_part_chooses_compute_nothing_of_others(library, name):
    """mnist-dcgan had another FID under its own id, in that suite and in the next of the process."""
    module = getattr(torch.backends, library)
    before = getattr(module, name)
    with torch_settings_kept():
        setattr(module, name, not before)
        assert getattr(module, name) is not before
    assert getattr(module, name) is before


def test_networks_that_do_not_draw_are_known(tiny):
    trial = tiny(lambda z: Flat(z, (1, 28, 28)), lambda: Flat(784, ()))
    assert not draws_globally(trial.config, TrainState.start(trial.config, torch.device("cpu")))
    assert not draws_globally(digits_trial().config, TrainState.start(digits_trial().config, torch.device("cpu")))


def test_networks_are_known_wherever_their_functions_lie(tiny):
    tiny(mlp.Generator, lambda: Several(784))
    assert fingerprint(ARCHITECTURES["tiny"], 8) == fingerprint(ARCHITECTURES["tiny"], 8)


def test_changed_networks_are_trained_anew(tiny, tmp_path):
    trial = tiny(mlp.Generator, lambda: Flat(784, ()))
    train(tmp_path, [trial], context())
    assert is_finished(tmp_path, trial)
    tiny(mlp.Generator, lambda: Flat(784, (), slope=0.1))
    assert not is_finished(tmp_path, trial)
    before = Earlier(RecordDirectory.of(tmp_path, trial)).record
    after = train(tmp_path, [trial], context()).records[trial.id]
    assert after.status is Status.DONE
    assert after.weights_sha256 != before.weights_sha256
    assert is_finished(tmp_path, trial)


def test_an_interrupted_trial_with_changed_networks_starts_again(tiny, tmp_path):
    """Their weights would even load: only a slope has changed."""
    trial = tiny(mlp.Generator, lambda: Flat(784, ()))
    looks = iter(range(10**6))
    train(tmp_path, [trial], context(lambda: next(looks) > 9))
    assert Earlier(RecordDirectory.of(tmp_path, trial)).status is Status.INTERRUPTED
    tiny(mlp.Generator, lambda: Flat(784, (), slope=0.1))
    resumed = train(tmp_path / "a", [trial], context()).records[trial.id]
    with pytest.warns(
        RuntimeWarning, match=r"changed; training from the start, what was there is kept in .*superseded"
    ):
        mixed = train(tmp_path, [trial], context()).records[trial.id]
    assert mixed.weights_sha256 == resumed.weights_sha256


def test_a_folder_of_another_size_than_the_networks_take(registries):
    sized = replace(DATASETS["digits"], prepared_size=32)
    registries(DATASETS, digits=sized)
    with pytest.raises(UserError, match="digits is prepared at 32x32, and .* takes 28x28; write size: 28"):
        survey((digits_trial(),), context())


def test_one_image_is_too_few(monkeypatch):
    monkeypatch.setattr(RunContext, "training_images", lambda *_: torch.zeros(1, 1, 28, 28, dtype=torch.uint8))
    with pytest.raises(DataError, match="one training image; .* at least 2"):
        survey((digits_trial(),), context())


def test_epochs_of_one_step_are_measured():
    trial = digits_trial(
        train_limit=20, batch_size=64, epochs=1000, evaluation=EvaluationConfig(epochs=(0,), samples=2)
    )
    assert estimate([trial], context()).seconds > 0.1


def test_what_is_behind_a_trial_is_not_expected_again():
    trial = digits_trial(epochs=400)
    whole, rest = (estimate([trial], context(), done={trial.id: done}).seconds for done in (0, 390))
    assert rest < whole / 2


def test_without_a_measurement_epochs_that_are_left_are_the_work():
    begun, new = digits_trial(epochs=400), digits_trial(seed=1, epochs=100)
    found = unmeasured([begun, new], group=3, done={begun.id: 390})
    assert found.seconds is None
    assert found.work == {begun.id: 10.0, new.id: 100.0}
    assert found.group(begun.config) == 3
    assert found.images_per_second(new.config) is None
    assert unmeasured([new]).largest_group == unmeasured([new], group=1).largest_group == 1


MOUNTS = """\
/dev/sda / ext4 rw 0 0
server:/export /nfs nfs4 rw 0 0
user@host:/there /far\\040away fuse.sshfs rw 0 0
tmpfs /far\\040away/inside tmpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("place", "kind"),
    [("/plain/results", ""), ("/nfs/results", ""), ("/far away/results", "sshfs"), ("/far away/inside/results", "")],
)
def test_a_file_system_whose_locks_stay_on_one_machine_is_named(place, kind):
    found = list(locks_remark(Path(place), MOUNTS))
    assert [f"lies on {kind}" in remark for remark in found] == [True] * bool(kind)
    assert list(locks_remark(Path(place), "nonsense\n\n")) == []


LEVEL = {1: 1.0, 4: 0.4, 16: 0.2, 25: 0.19}


def test_a_folder_with_room_for_the_records_is_not_refused(tmp_path, monkeypatch):
    """Six such trials were refused on 63 MB, of which they take 10: MLflow's copies counted with --no-tracking, too."""
    trials = [digits_trial(seed, epochs=2) for seed in range(6)]

    def on_a_disk_of(free, mirrored):
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
        check_space(trials, 1, tmp_path, mirrored=mirrored)

    def needed(mirrored):
        with pytest.raises(UserError, match=r"free some space or choose another folder") as refused:
            on_a_disk_of(0, mirrored)
        numbers = re.search(r"will write about ([\d,]+) MB to .* and needs ([\d,]+) MB to spare", str(refused.value))
        return [int(number.replace(",", "")) for number in numbers.groups()]

    (alone, spare), (with_copies, same) = needed(mirrored=False), needed(mirrored=True)
    assert spare == same
    assert with_copies == pytest.approx(2 * alone, abs=1)
    on_a_disk_of((alone + spare + 2) * 1e6, mirrored=False)
    with pytest.raises(UserError, match="to spare"):
        on_a_disk_of((alone + spare + 2) * 1e6, mirrored=True)


@pytest.mark.parametrize(
    ("measured", "count", "workers", "size"),
    [
        (LEVEL, 25, 1, 25),  # 13 and then 12 would do fewer images per second, and 12 would wait for 13
        ({**LEVEL, 25: 0.3}, 25, 1, 16),  # 13 and 12
        (LEVEL, 25, 2, 16),  # both processes have some
        ({1: 1.0, 4: 1.0}, 8, 1, 1),  # nothing is gained
        ({1: 1.0, 4: 0.99}, 8, 1, 1),  # nor enough for the memory
        ({1: 1.0}, 8, 1, 1),
        ({1: 0.0, 4: 0.1}, 8, 1, 1),  # one alone could not be measured
    ],
)
def test_groups_end_soonest(measured, count, workers, size):
    assert group_size(measured, count, workers) == size


@pytest.mark.parametrize(
    ("seconds", "asked", "size", "limit"),
    [
        ({4: 0.4, 6: 0.3}, None, 6, "trials"),
        ({4: 0.4, 6: 0.9}, None, 4, "rate"),
        ({4: 0.4, 6: None}, None, 4, "failed"),
        ({3: 0.4}, None, 3, "tried"),
        ({4: 0.9}, 4, 4, "asked"),
        ({6: 0.9}, 64, 6, "trials"),
    ],
)
def test_an_estimate_says_what_limits_groups(monkeypatch, seconds, asked, size, limit):
    trials = [digits_trial(seed) for seed in range(6)]
    monkeypatch.setattr(module, "GROUPS", {"cpu": tuple(seconds)})
    monkeypatch.setattr(module, "_seconds_per_step", lambda *_, **__: 1.0)
    monkeypatch.setattr(module, "_seconds_per_image", lambda *_: 0.0)
    monkeypatch.setattr(module, "_seconds_per_group_step", lambda config, context, size: seconds[size])
    found = estimate(trials, context(), group=asked)
    (pace,) = found.paces.values()
    assert (pace.group, pace.limit) == (size, limit)
    config = trials[0].config
    steps = pace.step * steps_per_epoch(config, len(context().training_images(config)))
    assert found.seconds == pytest.approx(steps * sum(trial.config.epochs for trial in trials), rel=0.1)


@pytest.mark.parametrize(
    ("workers", "devices", "at_a_time", "sharing"), [(2, None, 2, 1), (2, 2, 2, 1), (2, 1, 1, 2), (3, 2, 2, 2)]
)
def test_processes_on_one_card_share_its_pace(monkeypatch, workers, devices, at_a_time, sharing):
    """Two workers on one card were planned in half the time, and then each was called slow."""
    trials = [digits_trial(seed) for seed in range(12)]
    monkeypatch.setattr(module, "_seconds_per_step", lambda *_, **__: 1.0)
    monkeypatch.setattr(module, "_seconds_per_image", lambda *_: 0.0)
    monkeypatch.setattr(module, "_seconds_per_group_step", lambda config, context, size: 1 / size)
    monkeypatch.setattr(module, "GROUPS", {"cpu": ()})
    found = estimate(trials, context(), workers, apart=True, devices=devices)
    assert found.seconds - WORKER_START == pytest.approx(sum(found.work.values()) / at_a_time)
    assert found.images_per_second(trials[0].config) == trials[0].config.batch_size / sharing
    monkeypatch.setattr(module, "GROUPS", {"cpu": (4, 12)})
    together = estimate(trials, context(), workers, apart=True, devices=devices)
    assert together.largest_group == 12 / at_a_time


def test_trials_that_train_together_share_a_reading_of_the_power(monkeypatch):
    """Sixty-four of them asked the driver one after the other at every log interval, while training waited."""
    gpu, now, asked = torch.device("cuda:0"), [100.0], []
    monkeypatch.setattr(environment, "_power", {})
    monkeypatch.setattr(environment, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(torch.cuda, "power_draw", lambda device: asked.append(device) or 250_000 * len(asked))
    assert {environment.power_watts(gpu) for _ in range(64)} == {250.0}
    assert asked == [gpu]
    now[0] += environment.POWER_SECONDS
    assert environment.power_watts(gpu) == 500.0
    assert environment.power_watts(torch.device("cpu")) is None


def test_a_gpu_that_does_not_say_its_power_is_asked_no_more_often(monkeypatch):
    asked = []
    monkeypatch.setattr(environment, "_power", {})
    monkeypatch.setattr(torch.cuda, "power_draw", lambda device: asked.append(device) or 1 / 0)
    assert [environment.power_watts(torch.device("cuda:0")) for _ in range(3)] == [None] * 3
    assert len(asked) == 1


@pytest.mark.parametrize(("samples", "few"), [(128, True), (129, False)])
def test_fewer_images_than_features_are_named(samples, few):
    """Ten images once gave an FID without a word."""
    trial = digits_trial()
    evaluation = replace(trial.config.evaluation, samples=samples)
    said = survey((replace(trial, config=replace(trial.config, evaluation=evaluation)),), context()).remarks
    assert [
        f"{samples} generated images per evaluation, and lenet-mnist-v1 has 128 features" in each for each in said
    ] == ([True] * few)


def test_a_folder_that_is_not_all_of_a_dataset_or_holds_images_out_that_are_trained_on_is_said(tmp_path):
    """Sixty images ran under the name cifar10, with a real-data FID near 0 against copies of themselves."""
    draw = np.random.default_rng(0)
    for name in map(str, range(10)):
        for split, number in (("train", 4), ("test", 1)):
            (folder := tmp_path / "cifar10" / split / name).mkdir(parents=True)
            for i in range(number):
                Image.fromarray(draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / f"{i}.png")
        Image.open(tmp_path / "cifar10" / "train" / name / "0.png").save(folder / "again.bmp")
    root = DataRoot(tmp_path, given=True)
    config = config_of(
        "cifar10-dcgan",
        batch_size=8,
        evaluation=EvaluationConfig(epochs=(0, 1), samples=129, extractors=("cifar-v1",)),
    )
    expected = [
        f"cifar10 in {tmp_path} has 40 train images, not 50,000, and 20 test images, not 10,000: scores do not compare "
        "with those of all cifar10; name the folder of all with --data, or name these images in a suite as its own",
        "cifar10 test: 10 of 20 are training images, too; scores against them say little about new images",
    ]
    said = survey((Trial(setting="cifar10-dcgan", config=config),), RunContext(root, CPU, lambda: False)).remarks
    assert said[:2] == expected
    assert list(present("cifar10", root))[-2:] == expected
    images = torch.zeros(4, 3, 32, 32, dtype=torch.uint8)
    assert prepare(images, "cifar10", ["cifar-v1"], root, CPU).remarks == tuple(expected)
    assert doctor._dataset("cifar10", root, is_needed=True).line == "; but ".join(("dataset cifar10: ready", *expected))


def test_lazy_layers_are_refused_with_a_remedy():
    """They ended a run in a traceback: there was no shape to tell the network by."""
    lazy = Architecture(
        description="a lazy pair",
        image_shape=(1, 28, 28),
        generator=lambda latent: nn.Sequential(nn.LazyLinear(784), nn.Unflatten(1, (1, 28, 28))),
        discriminator=lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 1)),
    )
    with pytest.raises(UserError, match=r"a lazy pair.*lazy layers.*nn\.Linear\(784, 256\)"):
        fingerprint(lazy, 4)


# ------------------------------------------------------------------------------------- GPUs that cannot be used

NO_KERNEL = "CUDA error: no kernel image is available for execution on the device"
UNUSABLE = rf"cannot be used \(AcceleratorError: {NO_KERNEL}\); free or repair it, or use --device cpu$"


def fail(*_, **__):
    raise torch.AcceleratorError(f"{NO_KERNEL}\nCUDA kernel errors might be reported later")


@pytest.fixture
def broken_gpu(monkeypatch):
    """A GPU where every call of CUDA fails, as one that is full or too old for this PyTorch."""
    real = torch.ones

    def ones(*size, device=None, **options):
        return fail() if str(device).startswith("cuda") else real(*size, device=device, **options)

    monkeypatch.setattr(torch, "ones", ones)
    for name, answer in (("is_available", lambda: True), ("device_count", lambda: 1), ("current_device", fail)):
        monkeypatch.setattr(torch.cuda, name, answer)


@pytest.mark.usefixtures("broken_gpu")
@pytest.mark.parametrize("name", ["auto", "cuda", "cuda:0"])
def test_a_gpu_that_cannot_be_used_is_named(name):
    """It was found when the first trial was measured, or first asked for, by a traceback."""
    with pytest.raises(DeviceError, match=f"^cuda.*{UNUSABLE}"):
        environment.choose_device(name)
    assert environment.choose_device("cpu") == torch.device("cpu")


@pytest.mark.usefixtures("broken_gpu")
def test_a_doctor_sees_a_gpu_that_cannot_be_used(tmp_path):
    found = list(doctor.examine(DataRoot(tmp_path, given=True), tmp_path, "digits"))
    (line,) = [each.line for each in found if each.fatal]
    assert re.search(f"^device: cuda {UNUSABLE}", line)
    assert "dataset digits: ready" in [each.line for each in found]


def test_a_gpu_that_fails_while_it_is_measured_is_named(monkeypatch):
    monkeypatch.setattr(module, "_seconds_per_image", fail)
    with pytest.raises(DeviceError, match=UNUSABLE):
        estimate([digits_trial()], context())


@pytest.mark.parametrize(
    "text",
    [
        "cuDNN error: CUDNN_STATUS_NOT_INITIALIZED",
        "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle, opa, opb)`",
        "GET was unable to find an engine to execute this computation",
    ],
)
def test_a_library_of_cuda_that_fails_while_it_is_measured_is_named(monkeypatch, text):
    """Torch raises a plain RuntimeError of these, which ended the command with a traceback."""

    def fails():
        raise RuntimeError(text)

    def is_gone(name):
        raise environment.unusable(torch.device(name), RuntimeError("CUDA error: gone"))

    said = r"cuda:0 cannot be used \(RuntimeError: CUDA error: gone\); free or repair it, or use --device cpu$"
    monkeypatch.setattr(module, "choose_device", is_gone)
    with pytest.raises(DeviceError, match=said):
        module._unless_too_large(fails, torch.device("cuda:0"))
    for device, tries in (("cuda:0", torch.device), ("cpu", is_gone)):  # it computes: a part may be at fault
        monkeypatch.setattr(module, "choose_device", tries)
        with pytest.raises(RuntimeError, match=re.escape(text)):
            module._unless_too_large(fails, torch.device(device))
