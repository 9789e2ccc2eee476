from __future__ import annotations

import importlib
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.parts import temporary

import gan_bench as gb
from gan_bench.config.image_folder import DataRoot
from gan_bench.config.plugins import PluginCode, forget_plugin, keep_plugins, load_plugin
from gan_bench.core import registry as registry_module
from gan_bench.core.errors import UserError
from gan_bench.core.registry import Registry, did_you_mean
from gan_bench.core.sources import code_digest
from gan_bench.execution.trial.decision import Policy
from gan_bench.execution.workers.job import Contexts, Job, Site
from gan_bench.models.losses import LOSSES


@pytest.fixture
def fruits(monkeypatch):
    monkeypatch.setattr(registry_module, "REGISTRIES", {})
    registry: Registry[int] = Registry("fruit", "fruits", int, {})
    registry.register("apple", 1)
    registry.register("pear", 2)
    return registry


def test_what_is_shipped_cannot_be_dropped_and_other_names_become_free(registries):
    registries(LOSSES)
    shipped = LOSSES["hinge"]
    LOSSES.drop("hinge")
    assert LOSSES["hinge"] is shipped
    LOSSES.register("mine", shipped)
    LOSSES.drop("mine")
    LOSSES.drop("mine")
    assert "mine" not in LOSSES
    LOSSES.register("mine", shipped)


def test_order_of_registration_is_kept(fruits):
    assert list(fruits.items()) == [("apple", 1), ("pear", 2)]


def test_get_is_that_of_a_mapping(fruits):
    """It raised for names that are not there."""
    assert fruits.get("granite") is None
    assert fruits.get("granite", 1) == 1
    assert fruits.get(next(iter(fruits))) == fruits[next(iter(fruits))]


def test_duplicate_is_an_error(fruits):
    with pytest.raises(ValueError, match='the fruit name "pear" is taken: it is registered twice'):
        fruits.register("pear", 3)


def test_near_miss_is_named(fruits):
    with pytest.raises(UserError, match='unknown fruit "aple" .did you mean "apple"'):
        fruits["aple"]


def test_what_is_not_near_is_no_hint():
    """`show nothing` asked whether hinge was meant."""
    assert did_you_mean("nothing", ["hinge", "kid"]) == "known: hinge, kid"
    assert did_you_mean("hinj", ["hinge", "kid"]) == 'did you mean "hinge"?'
    assert did_you_mean("onyl", ["only"]) == 'did you mean "only"?'
    assert did_you_mean("mlp", ["mlp-wide-and-deep"]) == 'did you mean "mlp-wide-and-deep"?'


def test_far_miss_lists_what_is_known(fruits):
    with pytest.raises(UserError, match="known: apple, pear"):
        fruits["xyz"]


def test_membership_does_not_raise(fruits):
    assert "kiwi" not in fruits


# ------------------------------------------------------------------------------------- parts of other packages


@dataclass(frozen=True)
class Point:
    """An entry point of a package that is not installed."""

    name: str
    owner: str
    value: str = "somewhere:THING"
    found: object = 1
    module: str = "json"

    @property
    def dist(self):
        return SimpleNamespace(name=self.owner, version="2.0")

    def load(self):
        if isinstance(self.found, BaseException):
            raise self.found
        return self.found


@pytest.fixture
def offered(monkeypatch):
    """Makes a registry to which packages offer parts."""

    def make(*points, **options):
        monkeypatch.setattr(registry_module, "REGISTRIES", {})
        monkeypatch.setattr(registry_module, "points_of", lambda group: list(points) if "fruits" in group else [])
        return Registry("fruit", "fruits", int, {"apple": 1}, **options)

    return make


def test_parts_of_packages_are_found_by_name_and_loaded_when_asked_for(offered):
    unused = Point("plum", "orchard", found=RuntimeError("never imported"))
    found = offered(Point("kiwi", "zoo", found=7), unused)
    assert list(found) == ["apple", "kiwi", "plum"]
    assert "plum" in found
    assert found["kiwi"] == 7
    assert (found.source("kiwi").name, found.source("kiwi").version) == ("zoo", "2.0")
    assert found.source("apple") is None
    assert not found.is_shipped("kiwi")
    with pytest.raises(
        UserError, match=r'the fruit "plum" of orchard 2.0 cannot be loaded .RuntimeError: never imported'
    ):
        found["plum"]


def test_a_package_s_name_that_no_score_can_carry_is_refused_before_it_is_imported(offered):
    fruit = offered(Point("kiwi,2", "zoo", found=RuntimeError("never imported")), in_scores=True)
    with pytest.raises(UserError, match='the fruit "kiwi,2" of zoo cannot be: "kiwi,2" cannot name a fruit'):
        fruit["kiwi,2"]


def test_a_package_s_name_that_is_reserved_is_refused_before_it_is_imported(offered):
    """A package's measure could take the name of a table's column, which a program's could not."""
    fruit = offered(Point("rank", "zoo", found=RuntimeError("never imported")), reserved=frozenset({"rank"}))
    with pytest.raises(UserError, match='the fruit "rank" of zoo cannot be: "rank" cannot name a fruit: it is a col'):
        fruit["rank"]


def test_a_wrong_kind_and_two_owners_are_errors(offered):
    with pytest.raises(UserError, match=r'the fruit "kiwi" of zoo 2.0 is a str; somewhere:THING must be an int'):
        offered(Point("kiwi", "zoo", found="7"))["kiwi"]
    with pytest.raises(UserError, match=r"offered by several packages .farm, zoo.; uninstall all but one"):
        offered(Point("kiwi", "farm"), Point("kiwi", "zoo"))["kiwi"]


def test_shipped_names_win_and_a_clash_is_its_owner_s_error(offered):
    found = offered(Point("apple", "zoo", found=9), Point("kiwi", "zoo"), Point("plum", "farm", found=3))
    assert found["apple"] == 1
    assert found["plum"] == 3
    with pytest.raises(UserError, match=r'zoo offers the fruit "apple", a name of gan_bench itself; rename it'):
        found["kiwi"]


def test_where_all_count_a_broken_one_is_left_out_and_said(offered):
    found = offered(Point("kiwi", "zoo", found=SystemExit(3)), Point("plum", "farm", found=3), all_count=True)
    with pytest.warns(RuntimeWarning, match=r'left out: the fruit "kiwi" of zoo 2.0 cannot be loaded'):
        assert list(found) == ["apple", "plum"]
    assert len(found) == 2  # and says it once


def test_a_lent_entry_gives_way(fruits):
    fruits.register_placeholder("kiwi", 0)
    assert fruits["kiwi"] == 0
    fruits.register_placeholder("apple", 0)
    assert fruits["apple"] == 1
    fruits.register("kiwi", 5)
    assert fruits["kiwi"] == 5


def test_the_digest_of_code_follows_its_own_imports(tmp_path, monkeypatch):
    package = tmp_path / "orchard_of_tests"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "deep/__init__.py").write_text("")
    (package / "part.py").write_text("from .deep.base import x\nimport json\n")
    (package / "deep/base.py").write_text("from orchard_of_tests import far\nx = 1\n")
    (package / "far.py").write_text("y = 1\n")
    (package / "unused.py").write_text("z = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        importlib.import_module("orchard_of_tests.part")
        first = code_digest("orchard_of_tests.part")
        (package / "unused.py").write_text("z = 2\n")
        assert code_digest("orchard_of_tests.part") == first
        seen = {first}
        for name in ("far.py", "deep/base.py", "part.py", "__init__.py"):
            with (package / name).open("a") as file:
                file.write("# changed\n")
            seen.add(code_digest("orchard_of_tests.part"))
        assert len(seen) == 5
    finally:
        for name in [name for name in sys.modules if name.startswith("orchard_of_tests")]:
            del sys.modules[name]


# ------------------------------------------------------------------------------------------------ local files


@pytest.fixture
def table(monkeypatch):
    """A registry that local files know by name."""
    yield Registry("stone", "stones", int, {"flint": 1})
    del registry_module.REGISTRIES["stones"]


HEAD = "from gan_bench.core.registry import REGISTRIES\nstones = REGISTRIES['stones']\n"


def test_a_file_registers_parts_and_runs_again_only_when_it_changed(table, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(HEAD + "stones.register('slate', 2)\n")
    source = load_plugin(file)
    assert table["slate"] == 2
    assert table.source("slate") == source
    assert load_plugin(file) == source  # it is not registered twice
    file.write_text(HEAD + "stones.register('marble', 3)\n")
    assert load_plugin(file).sha256 != source.sha256
    assert list(table) == ["flint", "marble"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stones.register('slate', 2)\n1 / 0\n", r"cannot be loaded .ZeroDivisionError: division by zero, line 4."),
        ("stones.register('flint', 2)\n", r'the stone name "flint" is taken by gan_bench'),
        ("import sys; sys.exit(1)\n", "SystemExit: 1"),
        ("def (\n", "SyntaxError"),
        ("from helper_beside import x\n", "install it, or name its folder in PYTHONPATH"),
        ("from . import helper_beside\n", "import the module by its name, and name its folder in PYTHONPATH"),
    ],
)
def test_a_file_that_fails_leaves_nothing_behind(table, tmp_path, text, said):
    file = tmp_path / "mine.py"
    file.write_text(HEAD + text)
    with pytest.raises(UserError, match=said):
        load_plugin(file)
    assert list(table) == ["flint"]
    with pytest.raises(UserError, match="cannot be read"):
        load_plugin(tmp_path / "none.py")


@pytest.mark.parametrize("end", ["", "1 / 0\n"])
def test_a_file_that_goes_to_another_folder_takes_nobody_along(table, tmp_path, end):
    """A run wrote its results there, and named a page that was not where it said."""
    before = Path.cwd()
    (tmp_path / "mine.py").write_text(f"import os\nos.chdir({str(tmp_path)!r})\n{end}")
    with suppress(UserError):
        load_plugin(tmp_path / "mine.py")
    assert Path.cwd() == before


def test_a_file_that_changed_is_refused_before_it_runs(table, tmp_path):
    file, ran = tmp_path / "mine.py", tmp_path / "ran"
    file.write_text(HEAD + "stones.register('slate', 2)\n")
    known = load_plugin(file).sha256
    file.write_text(f"open({str(ran)!r}, 'w').close()\n")
    with pytest.raises(UserError, match="is not what it was; restore it"):
        load_plugin(file, known)
    assert not ran.exists()


@pytest.mark.parametrize("then", ["saved", "away"])
@pytest.mark.parametrize("is_new", [True, False])
def test_a_worker_runs_the_file_that_was_planned(table, tmp_path, then, is_new):
    """Every trial that had not begun failed when somebody saved the file, whose remedy failed them again."""
    file = tmp_path / "mine.py"
    file.write_bytes(b"# coding: latin-1\n" + HEAD.encode() + b"stones.register('slate', len('\xe4'))\n")
    site = Site(data=DataRoot(tmp_path, given=True), device="cpu", engine="auto", threads=None)
    site = site.knowing((), (load_plugin(file),))
    if then == "saved":
        file.write_text("1 / 0\n")
    else:
        file.unlink()
    if is_new:
        forget_plugin(str(file))
    job = Job.from_json(Job(trials=(), results=tmp_path, site=site, policy=Policy()).to_json())
    assert job.site == site
    Contexts(lambda: False).of(job.site)
    assert PluginCode.of(table.source("slate")) == site.plugins[0]


def test_parts_of_another_suite_s_file_are_forgotten(table, tmp_path):
    first, second = tmp_path / "a.py", tmp_path / "b.py"
    first.write_text(HEAD + "stones.register('slate', 2)\n")
    second.write_text(HEAD + "stones.register('slate', 3)\n")
    load_plugin(first)
    keep_plugins([second])
    load_plugin(second)
    assert table["slate"] == 3


def test_a_file_does_not_shadow_a_package(offered):
    found = offered(Point("kiwi", "zoo", found=7))
    with pytest.raises(ValueError, match='the fruit name "kiwi" is taken by the package zoo'):
        found.register("kiwi", 1)
    assert found["kiwi"] == 7


def test_code_counts_that_is_imported_later_or_named_only(tmp_path, monkeypatch, offered):
    package = tmp_path / "lazy_of_tests"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text("def build():\n    from lazy_of_tests.later import x\n    return x\n")
    (package / "later.py").write_text("x = 1\n")
    (package / "named.py").write_text("y = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        before = code_digest("lazy_of_tests.part")
        importlib.import_module("lazy_of_tests.later")
        assert code_digest("lazy_of_tests.part") == before, "what was imported meanwhile changes nothing"
        (package / "later.py").write_text("x = 2\n")
        assert code_digest("lazy_of_tests.part") != before

        def digest():
            made = offered(Point("kiwi", "zoo", module="lazy_of_tests.part"), also=lambda _: "lazy_of_tests.named")
            return made.source("kiwi").sha256

        first = digest()
        (package / "named.py").write_text("y = 2\n")
        assert digest() != first
    finally:
        for name in [name for name in sys.modules if name.startswith("lazy_of_tests")]:
            del sys.modules[name]


def test_a_cell_of_a_notebook_may_run_again():
    """A network that was changed and registered again was an error; its kernel had to be started anew."""
    cell = {"__name__": "__main__", "registry": gb.ARCHITECTURES, "entry": None}
    code = "registry.register('of_a_cell', entry)"
    with temporary(gb.ARCHITECTURES):
        for description in ("first", "second"):
            made = replace(gb.ARCHITECTURES["mlp"], description=description)
            exec(code, {**cell, "entry": made})  # noqa: S102 - a cell
            assert gb.ARCHITECTURES["of_a_cell"] is made
        with pytest.raises(ValueError, match="is registered twice"):
            gb.ARCHITECTURES.register("of_a_cell", made)
        with pytest.raises(ValueError, match="by gan_bench: it is registered twice"):
            exec(code.replace("of_a_cell", "mlp"), {**cell, "entry": made})  # noqa: S102 - a cell
