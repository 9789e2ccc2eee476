"""The precision of a trial's products: what is rounded, what is not, and who refuses it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.commands import gan_bench
from support.engines import engines, fake_capture, members, off, train, train_together
from support.studies import report_of, stored, table
from support.trials import config_of, digits_trial
from torch.utils._python_dispatch import TorchDispatchMode

from gan_bench.config.cuts import PlanOptions
from gan_bench.config.suite import make_plan
from gan_bench.core.errors import UserError
from gan_bench.core.torch_settings import Tf32, tf32, tf32_in_use
from gan_bench.execution.trial.environment import describe_environment
from gan_bench.execution.workers.job import shape_key
from gan_bench.report.findings.factors import FACTORS
from gan_bench.run_options import RunOptions
from gan_bench.training.engine import ReferenceEngine
from gan_bench.training.fast.engine import FastEngine
from gan_bench.training.group.group import AGREEMENT, Group
from gan_bench.training.group.ways import BRANCHES, STACKED
from gan_bench.training.precision import tf32_flags, why_not

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
ROUNDING = 2.0**-8
"""Half the distance of two bfloat16 numbers, relative to them: they have eight bits of mantissa."""


@pytest.mark.parametrize("name", ["mnist-mlp-z100", "mnist-dcgan"])
def test_a_step_in_bf16_rounds_products_and_nothing_that_lasts(name):
    (exact,) = engines(name, (ReferenceEngine,), torch.float32)
    rounded = engines(name, dtype=torch.float32, precision="bf16")
    for engine in (exact, *rounded):
        train(engine, 1)
        assert all(
            t.dtype == torch.float32 for t in engine.state.generator.state_dict().values() if t.is_floating_point()
        )
        assert all(p.grad is None or p.grad.dtype == torch.float32 for p in engine.state.discriminator.parameters())
        moments = [m for state in engine.state.optimizer_d.state.values() for m in state.values()]
        assert {m.dtype for m in moments} == {torch.float32}
    for engine in rounded:
        assert 0 < off(engine, exact) < AGREEMENT["bf16"]
        for mine, wanted in zip(engine.snapshot().last.values(), exact.snapshot().last.values(), strict=True):
            assert mine == pytest.approx(wanted, abs=8 * ROUNDING)
    batch_norm = [t for n, t in rounded[0].state.generator.named_buffers() if "running_mean" in n]
    assert all((t.bfloat16().float() != t).any() for t in batch_norm)  # statistics are not rounded


@pytest.mark.parametrize("way", [STACKED, BRANCHES])
@pytest.mark.parametrize("name", ["mnist-mlp-z100", "mnist-dcgan"])
def test_groups_in_bf16_are_the_reference(name, way):
    alone = members(name, ReferenceEngine, torch.float32, precision="bf16")
    together = members(name, FastEngine, torch.float32, precision="bf16")
    train_together(Group(together, fake_capture, way), 1)
    for reference, member in zip(alone, together, strict=True):
        train(reference, 1)
        assert off(reference, member) < AGREEMENT["bf16"]


def test_float64_is_not_rounded():
    """The reference in float64, against which everything is measured, stays what it is."""
    exact, rounded = (engines("mnist-dcgan", (ReferenceEngine,), precision=each)[0] for each in ("default", "bf16"))
    train(exact, 2)
    train(rounded, 2)
    assert off(exact, rounded) == 0


@pytest.mark.parametrize("name", ["gradient_penalty", "r1_gamma"])
def test_penalties_can_be_computed_in_bf16(name):
    (exact,) = engines("mnist-dcgan", (ReferenceEngine,), torch.float32, **{name: 1.0})
    (rounded,) = engines("mnist-dcgan", (ReferenceEngine,), torch.float32, precision="bf16", **{name: 1.0})
    for engine in (exact, rounded):
        train(engine, 1)
    assert 0 < off(exact, rounded) < AGREEMENT["bf16"]


def test_spectral_norms_can_be_computed_in_bf16():
    (exact,) = engines("mnist-dcgan", (ReferenceEngine,), torch.float32, spectral_norm=True)
    (rounded,) = engines("mnist-dcgan", (ReferenceEngine,), torch.float32, precision="bf16", spectral_norm=True)
    for engine in (exact, rounded):
        train(engine, 1)
    vectors = [t for n, t in rounded.state.discriminator.named_buffers() if n.endswith(("_u", "_v"))]
    assert vectors
    assert all(t.dtype == torch.float32 and float(t.norm()) == pytest.approx(1, abs=ROUNDING) for t in vectors)
    assert 0 < off(exact, rounded) < AGREEMENT["bf16"]


class Seen(ReferenceEngine):
    """Notes PyTorch's flags in every step."""

    def _update(self, batch, *, g_step):
        self.flags = tf32_in_use()
        return super()._update(batch, g_step=g_step)


@pytest.mark.parametrize(("precision", "products"), [("default", False), ("tf32", True), ("bf16", False)])
def test_flags_hold_during_steps_alone(precision, products):
    (engine,) = engines("mnist-mlp-z100", (Seen,), precision=precision)
    before = tf32_in_use()
    assert not before.products
    train(engine, 1)
    assert engine.flags == (True, products)
    assert tf32_in_use() == before

    group = Group(members("mnist-mlp-z100", FastEngine, precision=precision), fake_capture)
    seen, made = [], group._make_step
    group._make_step = lambda: seen.append(tf32_in_use().products) or made()
    group.advance(1, lambda: False)
    assert products in seen  # the others are of snapshots, between two steps
    assert tf32_in_use() == before


class RoundedFactors(TorchDispatchMode):
    """Rounds the factors of products to ten bits of mantissa, as a card does in TF32."""

    products = 0

    def __torch_dispatch__(self, operation, _types, args=(), kwargs=None):
        name, fixed = operation.overloadpacket.__name__, 0
        if name in ("addmm", "baddbmm"):
            fixed = 1  # what the product is added to
        elif name not in ("mm", "bmm", "convolution", "convolution_backward"):
            return operation(*args, **(kwargs or {}))
        self.products += 1
        factors = {"convolution": 2, "convolution_backward": 3}.get(name, fixed + 2)
        rounded = [
            ((each.contiguous().view(torch.int32) + 2**12) & -(2**13)).view(torch.float32)
            for each in args[fixed:factors]
        ]
        return operation(*args[:fixed], *rounded, *args[factors:], **(kwargs or {}))


@pytest.mark.parametrize(("name", "products"), [("mnist-mlp-z100", 30), ("mnist-dcgan", 30)])
def test_a_rehearsal_takes_a_way_that_rounds_as_tf32_does(name, products):
    """A limit that rejects honest ways costs speed without a word of why."""
    group = Group(members(name, FastEngine, torch.float32))
    group.prepare()
    before, start = group._snapshot(), group._numbers()
    group._iteration()
    wanted = group._numbers()
    group._restore(before)
    with RoundedFactors() as rounding:
        group._iteration()
    made = group._numbers()
    assert rounding.products > products
    assert any((a != b).any() for a, b in zip(made, wanted, strict=True))
    group._check("its step", made, wanted, start, AGREEMENT["default"])


@pytest.mark.parametrize("precision", ["default", "bf16"])
def test_what_the_environment_sets_is_no_trial_s(precision):
    """``TORCH_ALLOW_TF32_CUBLAS_OVERRIDE`` let commands train in another precision under the same id."""
    (engine,) = engines("mnist-mlp-z100", (Seen,), precision=precision)
    with tf32(Tf32(convolutions=False, products=True)):
        train(engine, 1)
        assert tf32_in_use() == (False, True)
    assert engine.flags == (True, False)


def test_flags_are_put_back_after_a_fault():
    before = tf32_in_use()
    with pytest.raises(RuntimeError), tf32_flags("tf32"):
        raise RuntimeError
    assert tf32_in_use() == before


def test_environment_says_what_was_rounded(monkeypatch):
    def said(precision):
        found = describe_environment(CUDA, "fast", precision=precision)["determinism"]
        return found["cudnn_tf32"], found["matmul_tf32"]

    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a card")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    for precision, wanted in (("default", (True, False)), ("tf32", (True, True)), ("bf16", (True, False))):
        assert said(precision) == wanted
    with monkeypatch.context() as told:
        told.setenv("NVIDIA_TF32_OVERRIDE", "0")
        assert said("default") == (False, False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert said("default") == (False, False)
    assert "cudnn_tf32" not in describe_environment(CPU, "fast")["determinism"]


def test_precision_names_a_trial_unless_it_is_the_default():
    plain, default, tf32 = config_of("mnist-mlp-z100"), config_of("mnist-mlp-z100", precision="default"), "tf32"
    other = config_of("mnist-mlp-z100", precision=tf32)
    assert plain.id == default.id != other.id
    assert shape_key(plain) != shape_key(other)  # they do not train together
    with pytest.raises(ValueError, match="precision must be one of default, tf32, bf16"):
        config_of("mnist-mlp-z100", precision="fp16")


def test_a_run_is_asked_for_a_precision():
    options = RunOptions("quickstart", precision="bf16")
    assert RunOptions("precision", precision="default").plan.changes == {"precision": "default"}  # in all its trials
    assert options.plan.changes == {"precision": "bf16"}
    assert "--precision bf16" in options.command()
    assert RunOptions("quickstart").plan.changes == {}
    assert "precision" not in RunOptions("quickstart").command()
    with pytest.raises(UserError, match="do not go together"):
        RunOptions("quickstart", precision="bf16", changes={"precision": "tf32"})


@pytest.mark.parametrize("asked", [("--precision", "bf16"), ("--set", "precision=tf32")])
def test_a_cpu_refuses_it(tmp_path, asked):
    done = gan_bench("run", "quickstart", *asked, "--device", "cpu", "--results", tmp_path)
    assert done.returncode == 2
    assert "is a precision of GPUs, and this runs on cpu; use --precision default" in done.stderr
    assert not list(tmp_path.rglob("trial.json"))


def test_an_old_card_refuses_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla V100")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 0))
    assert why_not("bf16", CUDA) == "Tesla V100 is older than Ampere and has no bf16"
    assert why_not("default", CUDA) is None
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert why_not("tf32", CUDA) is None


def test_what_suites_sweep_is_a_factor_of_their_reports():
    """Or a report says nothing of what its suite asks."""
    known = {name for fields in FACTORS.values() for name in fields}
    for path in Path("benchmarks").glob("*.yaml"):
        swept: dict[str, set[str]] = {}
        for trial in make_plan(path, PlanOptions()).trials:
            for name, value in trial.config.to_json().items():
                swept.setdefault(name, set()).add(f"{trial.config.recipe} {value}")
        recipes = {trial.config.recipe for trial in make_plan(path, PlanOptions()).trials}
        of_settings = {
            name
            for name, values in swept.items()
            if any(sum(value.startswith(f"{recipe} ") for value in values) > 1 for recipe in recipes)
        }
        assert of_settings - known <= {"seed", "epochs", "evaluation", "ema_decay", "lr_g", "lr_d"}, path


def test_a_report_compares_number_formats():
    items = []
    for each, worse in (("default", 0.0), ("bf16", 30.0)):
        for seed in range(5):
            trial = digits_trial(seed, precision=each)
            items.append(stored(replace(trial, setting=f"mlp,precision={each}"), fid=20 + seed + worse))
    ((_, tables, _),) = report_of(items).studies
    (row,) = table(tables, "factor-number-format").rows.to_dict("records")
    assert {row["first_level"], row["second_level"]} == {"default", "bf16"}
    assert row["verdict"] == "default"
