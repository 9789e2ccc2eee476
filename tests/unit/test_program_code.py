"""Parts that a program registers itself: their code is known by a digest, the same wherever and whenever it runs."""

from __future__ import annotations

import functools
import importlib.util
import linecache
import os
import subprocess
import sys
import weakref
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
    assert known.version == "rule 2"
    assert bare.version == f"rule 2, bytecode of Python {sys.version_info.major}.{sys.version_info.minor}"
    assert not is_other_code(vars(known), vars(bare), vars(bare))
    other = vars(replace(bare, version="rule 2, bytecode of Python 3.0", sha256="0"))
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


class OutOfContext:
    """Fails when it is looked at, as proxies of web servers do outside a request."""

    @property
    def __class__(self):
        raise RuntimeError("working outside of the context")


def deep(depth):
    given = ()
    for _ in range(depth):
        given = (given, given)
    return given


class Text(int):
    def __repr__(self):
        raise RuntimeError("its text is of no use")


def test_objects_of_any_kind_keep_no_change_from_being_seen():
    """A number of 5,000 digits, a proxy whose object is gone, and what fails when it is looked at raised an error."""
    gone = weakref.proxy(Scaled(1.0))
    for given in (Everything(), (len, "a"), OutOfContext(), gone, 1 << 20_000, deep(24), deep(5000), Text(3)):
        texts = [f"def discriminator(real, fake): return given, real {sign} fake" for sign in "+-"]
        found = []
        for text in (*texts, texts[0]):
            cells = {"__name__": PROGRAM, "given": given}
            exec(text, cells)  # noqa: S102 - a cell
            found.append(program_digest([cells["discriminator"]]))
        assert found[0] == found[2] != found[1]


D = "def part(x): return "
CHANGED = {  # a program, what is changed in it, and into what
    "one of equal numbers": ("A, B, C = 64, 64, 128\n" + D + "A + B + C", "64, 64, 128", "64, 128, 128"),
    "one of equal flags": ("A, B, C = True, True, False\n" + D + "A, B, C", "True, True", "True, False"),
    "numbers of two names": ("A = 1.0\nB = 2.0\n" + D + "A - B", "A = 1.0\nB = 2.0", "A = 2.0\nB = 1.0"),
    "an argument of equal ones": (
        "from functools import partial\ndef f(a, b, c): return a\npart = partial(f, 64, 64, 128)", "64, 64", "64, 128"
    ),
    "one of two functions": (
        "def f(x): return x\ndef g(x): return -x\nA, B, C = f, g, f\n" + D + "A(B(C(x)))", "f, g, f", "f, g, g"
    ),
    "a text of a class": ("class part:\n  act = 'relu'", "relu", "tanh"),
    "a function of a class": ("import torch\nclass part:\n  act = torch.relu", "relu", "tanh"),
    "a property": ("class part:\n  @property\n  def width(self): return 64", "64", "128"),
    "a class method": ("class part:\n  @classmethod\n  def width(cls): return 64", "64", "128"),
    "a member of an enum": ("import enum\nclass W(enum.Enum):\n  A = 64\n" + D + "W.A", "64", "128"),
    "an own descriptor": (
        "class Clamp:\n  def __init__(self, v): self.v = v\nclass part:\n  w = Clamp(0.1)", "0.1", "0.5"
    ),
    "another name of a function": ("from torch import tanh as act\n" + D + "act(x)", "import tanh", "import relu"),
    "a network": ("from torch import nn\nact = nn.ReLU()\n" + D + "act(x)", "ReLU", "Tanh"),
    "a bound method": ("class H:\n  def f(self, x): return 2 * x\nh = H().f\n" + D + "h(x)", "2 * x", "9 * x"),
    "a gradient": (
        "import torch\nclass R(torch.autograd.Function):\n  @staticmethod\n  def backward(ctx, g): return -0.5 * g\n"
        "rev = R.apply\n" + D + "rev(x)", "0.5", "5.0"
    ),
    "an index of a lambda": ("part = lambda r, f: r[..., 0] - f[..., 0]", "r[..., 0]", "r[..., 1]"),
    "a slot": (
        "class S:\n  __slots__ = ('scale',)\n  def __init__(self, scale): self.scale = scale\npart = S(1.0)",
        "1.0", "5.0",
    ),
    "an option": (
        "import argparse\nargs = argparse.Namespace(width=64)\n" + D + "args.width * x", "64", "128"
    ),
    "a named tuple": (
        "from typing import NamedTuple\nclass C(NamedTuple):\n  w: int\nc = C(64)\n" + D + "c.w * x", "64", "128"
    ),
    "a data class in another": (
        "from dataclasses import dataclass\n@dataclass\nclass In:\n  w: int\n@dataclass\nclass Out:\n  i: In\n"
        "c = Out(In(64))\n" + D + "c.i.w * x", "64", "128"
    ),
    "a function that an object keeps": (
        "def hinge(x): return 1 - x\nclass W:\n  def __init__(self, f): self.f = f\npart = W(hinge)", "1 - x", "2 - x"
    ),
    "the options that a function is given": (
        "import argparse\ndef made(o):\n  def d(x): return o.width * x\n  return d\n"
        "part = made(argparse.Namespace(width=64))",
        "64", "128"
    ),
    "a class that decorates": (
        "import functools\nclass Twice:\n  def __init__(self, f): functools.update_wrapper(self, f)\n"
        "  def __call__(self, x): return 2.0 * x\n@Twice\ndef part(x): return x",
        "2.0", "50.0",
    ),
    "what such a class decorates": (
        "import functools\nclass Twice:\n  def __init__(self, f): functools.update_wrapper(self, f)\n"
        "@Twice\ndef part(x): return 2.0 * x",
        "2.0", "50.0",
    ),
    "an own kind of property": (
        "class once(property):\n  def __get__(self, o, t=None): return 2.0\nclass part:\n  w = once(len)", "2.0", "5.0"
    ),
    "an own number": ("class W(int): pass\nwidth = W(64)\n" + D + "width * x", "W(64)", "W(128)"),
    "a fraction": ("from fractions import Fraction\nf = Fraction(1, 2)\n" + D + "f * x", "1, 2", "1, 3"),
    "a default of a data class": (
        "from dataclasses import dataclass\n@dataclass\nclass C:\n  w: int = 64\n" + D + "C().w * x", "64", "128"
    ),
    "a field of a data class": (
        "from dataclasses import dataclass\n@dataclass\nclass C:\n  a: int\n  b: int\n" + D + "C(1, 2).b * x",
        "a: int\n  b: int", "b: int\n  a: int",
    ),
    "an attribute that is no network's": (
        "class C:\n  def __init__(self, v): self.training = v\nc = C(1)\n" + D + "c.training * x", "C(1)", "C(2)"
    ),
    "a variable that another function calls its own": (
        "def made(k):\n  def part(x):\n    def inner():\n      k = 1\n      return lambda: k\n    return x\n"
        "  def outer(x): return k * part(x)\n  return outer\npart = made(2)", "made(2)", "made(3)"
    ),
    "a number type": ("import torch\nkind = torch.float32\n" + D + "x.to(kind)", "float32", "float64"),
    "a helper with a default": ("def f(x, k=1): return x\n" + D + "f(x)", "k=1", "k=2"),
}  # fmt: skip
SAME = {
    "a variable called like an attribute": ("mean = 0.5\n" + D + "x.mean()", "0.5", "0.6"),
    "an equal number of its own": ("A = 0.5\nB = 0.5\n" + D + "A + B", "B = 0.5", "B = float('0.5')"),
    "what is asked of no option": (
        "import argparse\nargs = argparse.Namespace(width=64, seed=3)\n" + D + "args.width * x",
        "seed=3",
        "seed=4",
    ),
    "lines above a class": ("\nclass part:\n  def f(self): return 1", "\nclass", "\n\n\nclass"),
    "a list": ("seen = [1]\n" + D + "seen", "[1]", "[1, 2]"),
}


def of_program(text, file):
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    cells = {"__name__": PROGRAM}
    exec(compile(text, file, "exec"), cells)  # noqa: S102 - a cell
    return program_digest([cells["part"]])


@pytest.mark.parametrize(
    ("case", "counts"), [*((case, True) for case in CHANGED.values()), *((case, False) for case in SAME.values())],
    ids=[*CHANGED, *SAME],
)  # fmt: skip
def test_what_counts(case, counts):
    text, old, new = case
    assert old in text
    before = of_program(text, f"<cell {next(numbers)}>")
    assert of_program(text, f"<cell {next(numbers)}>") == before
    assert (of_program(text.replace(old, new), f"<cell {next(numbers)}>") != before) == counts


def test_classes_that_python_writes_into_are_of_source_and_stay_as_they_are():
    """A config as a data class made a part's digest say nothing outside of one version of Python."""
    text = (
        "import dataclasses, enum, typing\n@dataclasses.dataclass\nclass Config:\n  width: int = 64\n"
        "class Size(typing.NamedTuple):\n  width: int\nclass Way(enum.Flag):\n  A = 1\n  B = 2\n"
        "class Called(typing.Protocol):\n  def __call__(self, x): ...\n"
        "def part(x): return Config().width, Size(3), Way.A, Called\n"
    )
    file = f"<cell {next(numbers)}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    cells = {"__name__": PROGRAM}
    exec(compile(text, file, "exec"), cells)  # noqa: S102 - a cell
    before = program_digest([cells["part"]])
    assert before[1] == "rule 2"
    assert ~cells["Way"].A == cells["Way"].B
    assert program_digest([cells["part"]]) == before


def test_own_modules_are_followed_through_others_and_lazy_ones_stay_so(tmp_path, monkeypatch):
    (tmp_path / "nets_of_tests").mkdir()
    (tmp_path / "nets_of_tests" / "__init__.py").touch()
    (tmp_path / "nets_of_tests" / "losses.py").write_text("def hinge(x): return MARGIN - x\nMARGIN = 1.0\n")
    (tmp_path / "lazy_of_tests.py").write_text("raise AssertionError('it was imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("nets_of_tests.losses")
    spec = importlib.util.find_spec("lazy_of_tests")
    spec.loader = importlib.util.LazyLoader(spec.loader)
    lazy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lazy)
    try:
        found = []
        for margin in (1.0, 2.0, 1.0):
            module.MARGIN = margin
            cells = {"__name__": PROGRAM, "lazy": lazy}
            text = "import nets_of_tests\ndef part(x): return lazy.a, nets_of_tests.losses.hinge(x)\n"
            exec(text, cells)  # noqa: S102 - a cell
            found.append(program_digest([cells["part"]]))
        assert found[0] == found[2] != found[1]
    finally:
        for name in ("nets_of_tests", "nets_of_tests.losses"):
            del sys.modules[name]


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
    assert first.version == "rule 2", "its source was not looked at"
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
