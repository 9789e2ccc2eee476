"""Parts that a program registers itself: their code is known by a digest, the same wherever and whenever it runs."""

from __future__ import annotations

import functools
import linecache
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from itertools import count
from types import ModuleType

import pytest
import torch
from support.parts import registered, temporary
from torch import nn
from torch.nn import functional as F

import gan_bench as gb
from gan_bench.config.plugins import forget_plugin, load_plugin
from gan_bench.core.program_code import PROGRAM, is_other_code, program_digest

CELL = """
import gan_bench as gb
from torch import nn

SLOPE = 0.2
CALLS = 0

def activation():
    return nn.LeakyReLU(SLOPE)

class Generator(nn.Module):
    def __init__(self, latent_dim):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(latent_dim, 784), activation())

    def forward(self, z):
        global CALLS
        CALLS += 1
        return self.layers(z).tanh().unflatten(1, (1, 28, 28))

class Discriminator(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 1), nn.Flatten(0))

gb.ARCHITECTURES.register(
    "of_a_cell",
    gb.Architecture(description="d", image_shape=(1, 28, 28), generator=Generator, discriminator=Discriminator),
)
"""
numbers = count()


def run_cell(text, *, source=True):
    """Run text as a notebook does, and return what its part is recorded as."""
    file = f"<cell {next(numbers)}>"
    if source:
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    exec(compile(text, file, "exec"), {"__name__": PROGRAM})  # noqa: S102 - a cell
    return gb.ARCHITECTURES.source("of_a_cell")


@pytest.fixture(autouse=True)
def _nothing_stays():
    with temporary(gb.ARCHITECTURES):
        yield


CHANGES = {
    "forward": ("self.layers(z).tanh()", "self.layers(z).sin()"),
    "a function that it calls": ("nn.LeakyReLU(SLOPE)", "nn.ReLU()"),
    "a number of the module": ("SLOPE = 0.2", "SLOPE = 0.3"),
    "what it is made of": ("class Discriminator(nn.Sequential)", "class Discriminator(nn.ModuleList)"),
}


@pytest.mark.parametrize("source", [True, False])
@pytest.mark.parametrize("changed", CHANGES)
def test_other_code_has_another_digest(changed, source):
    before = run_cell(CELL, source=source)
    assert before.name == PROGRAM
    assert run_cell(CELL, source=source) == before
    now = run_cell(CELL.replace(*CHANGES[changed]), source=source)
    assert is_other_code(vars(before), vars(now), vars(now))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('description="d"', 'description="another"'),
        ("CALLS = 0", "CALLS = 7"),  # what a network counts is no code
        ("class Discriminator", "\n\n# a remark between two cells\nclass Discriminator"),
        ("SLOPE = 0.2", "SLOPE = 0.2; UNUSED = 4"),
    ],
)
def test_what_no_function_stands_on_is_no_code(old, new):
    assert run_cell(CELL).sha256 == run_cell(CELL.replace(old, new)).sha256


def test_code_without_source_says_of_which_python_its_digest_is():
    """Another Python compiles the same code to other bytes, so that nothing can be told."""
    known, bare = run_cell(CELL), run_cell(CELL, source=False)
    assert known.version == ""
    assert bare.version == f"bytecode of Python {sys.version_info.major}.{sys.version_info.minor}"
    assert not is_other_code(vars(known), vars(bare), vars(bare))
    other = vars(replace(bare, version="bytecode of Python 3.0", sha256="0"))
    assert not is_other_code(other, vars(bare), vars(bare))
    assert is_other_code({**other, "version": bare.version}, vars(bare), vars(bare))


def test_a_part_that_moves_into_a_file_is_the_same_and_one_that_was_changed_is_another(tmp_path):
    before = run_cell(CELL)
    gb.ARCHITECTURES.drop("of_a_cell")
    file = tmp_path / "my_nets.py"
    for text, is_other in ((CELL, False), (CELL.replace("tanh", "sin"), True)):
        file.write_text(f'"""My networks."""\n{text}')
        now = load_plugin(file)
        try:
            assert gb.ARCHITECTURES.source("of_a_cell") == now
            assert is_other_code(vars(before), vars(now), vars(gb.ARCHITECTURES.in_program("of_a_cell"))) is is_other
            assert not is_other_code(vars(now), vars(before), vars(before)), "a file's digest says nothing of functions"
        finally:
            forget_plugin(str(file))


def margin_loss(margin):
    def discriminator(real, fake):
        return F.relu(margin - real).mean(-1) + F.relu(margin + fake).mean(-1)

    return discriminator


class Scaled:
    def __init__(self, scale):
        self.scale, self.seen = scale, []

    def __call__(self, fake):
        return -self.scale * fake.mean(-1)

    def method(self, fake):
        return self(fake)


def scaled(fake, scale=1.0):
    return -scale * fake.mean(-1)


def with_default(value):
    def discriminator(real, fake, margin=value):
        return (margin - real + fake).mean(-1)

    return discriminator


def decorated(scale):
    @functools.wraps(scaled)
    def work(fake):
        return scaled(fake, scale)

    return work


@pytest.mark.parametrize(
    "make",
    [
        margin_loss,
        Scaled,
        lambda value: Scaled(value).method,
        lambda value: partial(scaled, scale=value),
        with_default,
        decorated,
        lambda value: lambda fake: fake * value,
        lambda value: margin_loss((value, "a")),
        lambda value: margin_loss(nn.ReLU if value == 1.0 else nn.Tanh),
    ],
)
def test_values_that_code_stands_on_count(make):
    assert program_digest([make(1.0)]) == program_digest([make(1.0)])
    assert program_digest([make(1.0)])[0] != program_digest([make(500.0)])[0]


def test_what_grows_while_code_runs_does_not_count():
    seen, object_ = [], Scaled(1.0)

    def discriminator(real, fake):
        seen.append(float(real.mean()))
        return real - fake

    before = program_digest([discriminator, object_])
    seen.append(1.0)
    object_.seen.append(1.0)
    assert program_digest([discriminator, object_]) == before


def test_what_changes_after_the_registration_is_no_code():
    """A number that another function counts, a counter of a class, an attribute: the trials were trained again."""
    cells = {"__name__": PROGRAM}
    exec(compile(CELL, "<cells>", "exec"), cells)  # noqa: S102 - a cell
    before = gb.ARCHITECTURES.source("of_a_cell")
    cells["SLOPE"] = 7.0
    cells["Generator"].count = 3
    assert gb.ARCHITECTURES.source("of_a_cell") == before


def test_texts_of_a_module_are_no_code_and_those_given_to_a_function_are():
    """Paths, devices and dates are others at each start."""
    text = CELL.replace("SLOPE = 0.2", "SLOPE = 0.2\nHERE = '/a'").replace(
        "nn.LeakyReLU(SLOPE)", "(nn.ReLU(), HERE)[0]"
    )
    assert run_cell(text).sha256 == run_cell(text.replace("'/a'", "'/b'")).sha256
    assert program_digest([margin_loss("a")]) != program_digest([margin_loss("b")])


def test_own_modules_are_followed_and_decorators_of_packages_are_not(tmp_path, monkeypatch):
    module = ModuleType("helpers_of_tests")
    module.__file__ = str(tmp_path / "helpers_of_tests.py")
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def digest(text):
        exec(compile(text, "<helpers>", "exec"), vars(module))  # noqa: S102 - an import
        cell = {"__name__": PROGRAM, "helpers": module, "torch": torch}
        code = "@torch.no_grad()\ndef loss(fake):\n    return helpers.margin() - fake\n"
        exec(compile(code, "<loss>", "exec"), cells := cell)  # noqa: S102 - a cell
        return program_digest([cells["loss"]])

    assert digest("def margin():\n    return 1.0\n") == digest("def margin():\n    return 1.0\n")
    assert digest("def margin():\n    return 1.0\n") != digest("def margin():\n    return 50.0\n")
    cached = "import functools\n@functools.cache\ndef margin():\n    return {}\n"
    assert digest(cached.format(1.0)) != digest(cached.format(50.0))


class Slots:
    __slots__ = ("scale",)

    def __init__(self, scale):
        self.scale = scale

    def __call__(self, fake):
        return -self.scale * fake


class Everything:
    """Has every name that it is asked for, as stand-ins of modules do."""

    def __getattr__(self, name):
        return Everything()

    def __call__(self):
        return self


@pytest.mark.parametrize("given", [Slots(1.0), Everything(), (len, "a")])
def test_objects_of_any_kind_have_a_digest(given):
    def discriminator(real, fake):
        return given, real - fake

    assert program_digest([discriminator]) == program_digest([discriminator])


def test_a_long_chain_of_functions_ends():
    cells = {"__name__": PROGRAM}
    text = "def f0(x): return x\n" + "".join(f"def f{i}(x): return f{i - 1}(x)\n" for i in range(1, 3000))
    exec(compile(text, "<chain>", "exec"), cells)  # noqa: S102 - a cell
    assert program_digest([cells["f2999"]]) != program_digest([cells["f2998"]])


def test_source_is_that_of_the_code_that_runs_though_its_file_was_edited_since(tmp_path, monkeypatch):
    file = tmp_path / "nets_of_tests.py"
    file.write_text(CELL)
    module = ModuleType("nets_of_tests")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(CELL, file, "exec"), vars(module))  # noqa: S102 - an import
    before = gb.ARCHITECTURES.source("of_a_cell")
    file.write_text(CELL.replace("tanh", "sin"))
    assert gb.ARCHITECTURES.source("of_a_cell") == before


def test_what_gan_bench_ships_or_python_installs_counts_by_its_name():
    with registered(gb.LOSSES, "of_tests", replace(gb.LOSSES["hinge"], description="d")):
        first = gb.LOSSES.source("of_tests")
    assert first.version == "", "its source was not looked at"
    with registered(gb.LOSSES, "of_tests", replace(gb.LOSSES["wasserstein"], description="d")):
        assert gb.LOSSES.source("of_tests").sha256 != first.sha256
    assert gb.LOSSES.source("hinge") is None


MEASURE = """
import gan_bench as gb

class Shift(gb.FeatureMetric):
    gives = ("of_a_cell",)

    def update(self, features, logits):
        pass

    def compute(self):
        return {"of_a_cell": gb.Estimate(1.0)}

gb.MEASURES.register("of_a_cell", gb.Measure(
    title="t", lower_is_better=True, description="d", metric=f"{__name__}:Shift", bounds=(0, None)))
"""


def test_the_class_that_a_measure_names_counts(monkeypatch):
    found = []
    for text in (MEASURE, MEASURE, MEASURE.replace("Estimate(1.0)", "Estimate(2.0)")):
        module = ModuleType("measures_of_tests")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        with temporary(gb.MEASURES):
            exec(text, vars(module))  # noqa: S102 - an import
            found.append(gb.MEASURES.source("of_a_cell").sha256)
    assert found[0] == found[1] != found[2]


def test_a_digest_is_the_same_in_every_process():
    text = "import sys; print(sorted({'a', 'b', 'c'})[0], end=''); " + (
        "from gan_bench.core.program_code import program_digest\n"
        "def work(real, names=(frozenset({'a', 'b', 'c'}), 1)): return real in {'x', 'y', 'z'}\n"
        "print(program_digest([work, lambda x: x in {'x', 'y', 'z'}])[0])\n"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", text],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1
