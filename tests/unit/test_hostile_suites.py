"""Hostile and unlucky suite files: one clear sentence with its place, soon, and never a traceback."""

from __future__ import annotations

import hashlib
import random
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_bench.cli.describe import describe, listing
from gan_bench.config.cuts import PlanOptions
from gan_bench.config.entries import MAX_TRIALS
from gan_bench.config.suite import find_suite, make_plan
from gan_bench.config.suite_file import MAX_BYTES, parse
from gan_bench.config.trial import LIMITS, MAX_DIRECTORY, RESERVED_NAMES
from gan_bench.core.errors import SuiteError, UserError
from gan_bench.records import writer
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.lock import trial_lock

GOOD = """\
suite: s
version: 1
trials:
  - recipe: mnist-mlp-z100
    set: {batch_size: 8, dataset_repeats: 1, dataset: own}
    sweep: {lr: [2e-4], epochs: [3]}
datasets: {own: {path: images, size: 28}}
seeds: [0]
evaluate: {epochs: [1], samples: 100, extractors: auto, draws: 1}
profiles: {quick: {epochs: 2, train_limit: 500}}
"""
SHIPPED = sorted(Path("benchmarks").glob("*.yaml"))
FIRST = ("articles", "cats", "cifar10", "digits", "mnist")
LATER = ("losses", "ttur", "tuning")


def plan_of(tmp_path, text, **options):
    path = tmp_path / "s.yaml"
    path.write_text(text, encoding="utf-8")
    return make_plan(path, PlanOptions(**options))


def refusal(tmp_path, text, **options):
    with pytest.raises(SuiteError) as caught:
        plan_of(tmp_path, text, **options)
    return str(caught.value)


NOT_CORE = {
    "null in a sweep": ("[2e-4]", "[null]", "6:18: trials[0].sweep.lr[0]: ", "got null"),
    "empty sweep": ("lr: [2e-4]", "lr: ", "6:16: trials[0].sweep.lr: ", "must be a list, got null"),
    "null betas": ("lr: [2e-4]", "betas: [[0.5, ~]]", "6:27: trials[0].sweep.betas[0][1]: ", "got null"),
    "empty int": ("[0]", '[!!int ""]', "8:9: seeds[0]: ", "'' does not fit the tag !!int; remove the tag"),
    "int of text": ("[0]", "[!!int x]", "8:9: seeds[0]: ", "'x' does not fit the tag !!int"),
    "bool of text": ("[0]", "[!!bool x]", "8:9: seeds[0]: ", "does not fit the tag !!bool"),
    "timestamp": ("[0]", "[!!timestamp x]", "8:9: seeds[0]: ", "the tag !!timestamp is not supported; remove it"),
    "binary": ("suite: s", "suite: !!binary x", "1:8: suite: ", "the tag !!binary is not supported"),
    "python": ("suite: s", "suite: !!python/name:os.system ''", "1:8: suite: ", "is not supported; remove it"),
    "own tag": ("suite: s", "suite: !mine s", "1:8: suite: ", "the tag !mine is not supported"),
    "set": ("{epochs: 2, train_limit: 500}", "!!set {epochs, samples}", "10:19: profiles.quick: ", "the tag !!set"),
    "list with a tag": ("[0]", "!!omap [0]", "8:8: seeds: ", "the tag !!omap is not supported"),
    "sexagesimal": ("[0]", "[1:30]", "8:9: seeds[0]: ", "whole number from 0 to 2,147,483,647, got '1:30'"),
    "yes": ("[0]", "[yes]", "8:9: seeds[0]: ", "whole number from 0 to 2,147,483,647, got 'yes'"),
    "true": ("[0]", "[true]", "8:9: seeds[0]: ", "whole number from 0 to 2,147,483,647, got true"),
    "5,000 digits": ("[0]", f"[{'9' * 5000}]", "8:9: seeds[0]: ", "a number of 5,000 characters is too long"),
    "4,000 digits": ("[0]", f"[{'9' * 4000}]", "8:9: seeds[0]: ", "whole number from 0 to 2,147,483,647"),
    "many digits of lr": ("[2e-4]", f"[{'9' * 400}]", "6:18: trials[0].sweep.lr[0]: ", ""),
    "nan": ("[2e-4]", "[.nan]", "6:18: trials[0].sweep.lr[0]: ", "got nan"),
    "infinity": ("[2e-4]", "[.inf]", "6:18: trials[0].sweep.lr[0]: ", "got inf"),
    "escaped NUL": ("path: images", 'path: "a\\0"', "7:24: datasets.own.path: ", "character U+0000 is not allowed"),
    "surrogate": ("path: images", 'path: "\\ud800"', "7:24: datasets.own.path: ", "character U+D800 is not allowed"),
    "terminal escape": ("suite: s", 'description: "\\e[2J"\nsuite: s', "1:14: description: ", "U+001B is not allowed"),
    "NUL": ("suite: s", "suite: \0", "1:8: ", "character U+0000 is not allowed; remove it"),
    "no code point": ("suite: s", 'suite: "\\UFFFFFFFF"', "1:", "not YAML"),
    "yaml version": ("suite: s", f"%YAML 1.{'1' * 5000}\n---\nsuite: s", "1:", "not YAML"),
    "no such user": ("path: images", "path: ~nosuchuser/x", "7:24: datasets.own.path: ", "write the whole path"),
    "alias in itself": ("[0]", "&x [*x]", "8:8: seeds[0]: ", "an alias refers to the value that contains it"),
    "alias above": ("seeds: [0]", "seeds: &x [[[*x]]]", "8:8: seeds[0][0][0]: ", "refers to the value"),
    "two documents": ("profiles:", "---\nprofiles:", "10:1: ", "a single document"),
    "list as key": ("seeds: [0]", "? [a]\n: b", "8:3: ", "a key must be plain text"),
    "long text": ("suite: s", f"suite: {'s' * 10_001}", "1:8: suite: ", "a text of 10,001 characters is too long"),
    "huge batch": ("batch_size: 8", "batch_size: 1e23", "5:23: ", "from 1 to 1,000,000, got 1e+23"),
    "huge whole batch": ("batch_size: 8", f"batch_size: 1{'0' * 23}", "5:23: ", "from 1 to 1,000,000, got 1000000"),
    "huge repeats": ("repeats: 1", "repeats: 1e24", "5:43: ", "from 1 to 10,000, got 1e+24"),
    "no batch": ("batch_size: 8", "batch_size: 0", "5:23: ", "from 1 to 1,000,000, got 0"),
    "huge samples": ("samples: 100", "samples: 100000000", "9:34: evaluate.samples: ", "from 2 to 10,000,000"),
    "huge draws": ("draws: 1", "draws: 101", "9:", "from 1 to 100, got 101"),
    "huge epochs": ("epochs: [3]", "epochs: [1000001]", "6:34: trials[0].sweep.epochs[0]: ", "from 1 to 1,000,000"),
    "huge evaluation": ("epochs: [1]", "epochs: [1000001]", "9:21: evaluate.epochs[0]: ", "from 1 to 1,000,000"),
    "huge image": ("size: 28", "size: 4097", "7:", "from 1 to 4,096"),
    "huge limit": ("train_limit: 500", f"train_limit: {10**12}", "10:", "from 2 to 1,000,000,000"),
    "huge seed": ("[0]", f"[{2**31}]", "8:9: ", "from 0 to 2,147,483,647"),
    "huge version": ("version: 1", f"version: {2**31}", "2:10: ", "from 1 to 2,147,483,647"),
}


@pytest.mark.parametrize(("old", "new", "place", "message"), NOT_CORE.values(), ids=NOT_CORE)
def test_what_a_suite_cannot_hold_is_one_sentence_with_its_place(tmp_path, old, new, place, message):
    assert GOOD.count(old) == 1
    text = refusal(tmp_path, GOOD.replace(old, new))
    assert text.startswith(f"{tmp_path}/s.yaml:{place}")
    assert message in text
    assert "\n" not in text
    assert len(text) < 700


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [("[0]", "[!!int 7]", 7), ("[0]", "[+3]", 3), ("seeds: [0]", "seeds: &a [5]", 5)],
)
def test_numbers_are_those_of_yaml_1_2(tmp_path, old, new, value):
    assert plan_of(tmp_path, GOOD.replace(old, new)).trials[0].config.seed == value


@pytest.mark.parametrize("lr", ["2e-4", "2.0e-4", "0.0002", ".0002", "2E-4", "!!float 2e-4"])
def test_a_rate_may_be_written_in_any_way(tmp_path, lr):
    assert plan_of(tmp_path, GOOD.replace("2e-4", lr)).trials[0].config.lr_g == 2e-4


@pytest.mark.parametrize("name", sorted(RESERVED_NAMES))
def test_names_of_the_results_folder_are_no_suite_names(tmp_path, name):
    text = refusal(tmp_path, GOOD.replace("suite: s", f"suite: {name}"))
    assert "s.yaml:1:8: suite: " in text
    assert "choose another" in text
    plan_of(tmp_path, GOOD.replace("suite: s", f"suite: {name}s"))


def test_many_mistakes_are_bounded(tmp_path):
    many = refusal(tmp_path, GOOD.replace("[0]", str([f"{i:0100}" for i in range(3000)]))).splitlines()
    assert len(many) == 21
    assert many[-1] == "… and 2,980 more"
    assert max(map(len, many)) < 700
    unknown = refusal(tmp_path, GOOD + "".join(f'? "{"k" * 5000}\\n{i}"\n: 1\n' for i in range(30))).splitlines()
    assert len(unknown) == 21
    assert max(map(len, unknown)) < 700
    assert len(refusal(tmp_path, GOOD.replace("[0]", f"*{'a' * 100_000}"))) < 700
    assert len(refusal(tmp_path, GOOD.replace("recipe: m", f"recipe: {'m' * 190}"))) < 700


FLOODS = {
    "list": "a: [" + "1," * MAX_BYTES,
    "lists": "a: [" + "[]," * MAX_BYTES,
    "block": "- 1\n" * MAX_BYTES,
    "open lists": "[" * MAX_BYTES,
    "open mappings": "{a: 1, " * MAX_BYTES,
    "dashes": "- " * MAX_BYTES,
    "words": "a: " + "x " * MAX_BYTES,
    "lines": "a: " + "x\n " * MAX_BYTES,
    "escapes": 'a: "' + "\\x41" * MAX_BYTES,
    "blank": "\n" * MAX_BYTES,
    "comments": "#\n" * MAX_BYTES,
    "aliases": "a: &a x\nb: [" + "*a," * MAX_BYTES,
}


@pytest.mark.parametrize("text", FLOODS.values(), ids=FLOODS)
def test_a_flood_is_refused_before_it_is_composed(text):
    start = time.process_time()
    with pytest.raises(SuiteError) as caught:
        parse(Path("x.yaml"), text[:MAX_BYTES])
    assert time.process_time() - start < 3  # about 0.5 on an idle core
    assert len(str(caught.value)) < 700


def test_a_file_without_end_is_refused():
    with pytest.raises(SuiteError, match="is larger than 524,288 bytes"):
        make_plan(Path("/dev/zero"), PlanOptions())


def test_trials_are_counted_before_they_are_made(tmp_path):
    def swept(*lists, seeds=1):
        names = dict(zip(("batch_size", "latent_dim", "image_size"), lists, strict=False))
        sweep = ", ".join(f"{name}: {list(range(1, n + 1))}" for name, n in names.items())
        return (
            GOOD.replace("set: {batch_size: 8, dataset_repeats: 1}", "set: {}")
            .replace("{lr: [2e-4], epochs: [3]}\n", f"{{{sweep}}}\n")
            .replace("seeds: [0]", f"seeds: {list(range(seeds))}")
        )

    def said(text, **options):
        return refusal(tmp_path, text, **options).replace("\N{MULTIPLICATION SIGN}", "x")

    start = time.process_time()
    product = "6:12: trials[0].sweep: 4 x 500 x 4,000 = 8,000,000 trials; at most 100,000"
    assert product in said(swept(4, 500, 4000))
    assert "trials[0].sweep: 20 x 50 x 10,000 = 10,000,000 trials" in said(swept(20, 50, seeds=10_000))
    assert time.process_time() - start < 3  # about 0.3 on an idle core
    some = tuple(range(MAX_TRIALS + 1))
    assert "trials[0].sweep: 100,001 trials; at most" in said(GOOD, seeds=some)
    twice = GOOD.replace("datasets:", "  - recipe: mnist-mlp-z64\ndatasets:")
    assert ":3:1: trials: 100,002 trials; at most 100,000" in said(twice, seeds=some[:50_001])


def test_ten_thousand_trials_are_planned_soon(tmp_path):
    text = GOOD.replace("[3]", str(list(range(1, 101))))
    start = time.process_time()
    assert len(plan_of(tmp_path, text, seeds=tuple(range(100))).trials) == 10_000
    assert time.process_time() - start < 2  # about 0.4 on an idle core


def test_two_trials_with_one_id_are_refused(tmp_path):
    """Seeds 55545 and 69490 of this suite have the same first eight digits of SHA-256."""
    text = "suite: s\nversion: 1\ntrials: [{recipe: mnist-mlp-z100}]\nseeds: [55545, 69490, 55545]\n"
    message = refusal(tmp_path, text)
    assert '"mnist-mlp-z100,seed=55545" and "mnist-mlp-z100,seed=69490" have the same id 65ba7d64' in message
    assert len(plan_of(tmp_path, text, seeds=(69490, 69490)).trials) == 1


@pytest.mark.parametrize(
    ("suites", "profile", "ids", "directories"),
    [
        (
            FIRST,
            "full",
            "bfc933fd02262685f53cffa0bb5aa002b57145956f87401398b8091669c1010e",
            "b21ae1c82a7775ab66ccb6fa066c34e0362c26cbf0cd21b7e44b2d231d0fda64",
        ),
        (
            FIRST,
            "quick",
            "6c78f7673929e58328be5788e03364a735f60cc3218f8b3f522359da61b4808d",
            "732bb83a14ccbc8d477dab1b750c600038e53bfe20cb158ba21e5333ed00d47a",
        ),
        (
            LATER,
            "full",
            "3b55c831bc2a775f5e30b7084b32b0e9ba5ddce264b78f34f113389dcf320112",
            "a249eef56bcc2d8148308ddff0d038c4477ce35a9cc5977e2afc279a9546fd4a",
        ),
        (
            LATER,
            "quick",
            "2eb868ab23832aa3fca0881cbaf7153a15442944c802c82931dd3c8ee7460422",
            "5782a579e3fe1dea46642cb5c16ee3dd6b9395cd300691ee32d6815988292812",
        ),
    ],
)
def test_ids_of_shipped_trials_never_change(suites, profile, ids, directories):
    """A changed id orphans the records people have."""
    paths = [Path("benchmarks") / f"{name}.yaml" for name in suites]
    trials = [trial for path in paths for trial in make_plan(path, PlanOptions(profile=profile)).trials]
    found = [hashlib.sha256("".join(f"{text}\n" for text in texts).encode()).hexdigest()
             for texts in ((t.id for t in trials), (t.directory for t in trials))]  # fmt: skip
    assert found == [ids, directories]


@pytest.mark.parametrize(
    ("suite", "profile", "place", "directory"),
    [
        ("articles", "full", 0, "cats-dcgan,seed=0--079cd5e2"),
        ("cats", "full", -1, "cats-dcgan,lr=0.0003,betas=0.9-0.999,seed=4--1a2e63d8"),
        ("cifar10", "quick", 0, "cifar10-dcgan,seed=0--a1ef0e2f"),
        ("digits", "full", 0, "mnist-dcgan,lr=0.0002,dataset=digits,epochs=20,seed=0--5b9d8132"),
        ("digits", "quick", -1, "mnist-mlp-z100,dataset=digits,epochs=40,seed=1--b76c3c4f"),
        ("mnist", "full", -1, "mnist-mlp-z100,epochs=300,seed=4--6b4a48ac"),
    ],
)
def test_directories_of_shipped_trials(suite, profile, place, directory):
    assert make_plan(find_suite(suite), PlanOptions(profile=profile)).trials[place].directory == directory


def test_a_long_name_is_cut_in_the_directory_alone(tmp_path):
    text = GOOD.replace("set: {", f"set: {{architecture: {'a' * 200}, ")
    plan = plan_of(tmp_path, text, seeds=(0, 1))
    first, second = plan.trials
    assert "a" * 200 in first.name
    assert len(first.directory) == MAX_DIRECTORY
    assert first.directory.endswith(f"--{first.id}")
    assert first.directory != second.directory
    record = RecordDirectory.of(tmp_path / "results", first)
    record.path.parent.mkdir(parents=True)
    writer.write_trial(record, first)
    with trial_lock(record) as lock:
        assert lock.acquire() is None


@pytest.mark.parametrize("name", sorted(set(LIMITS) & {"epochs", "train_limit", "samples"}))
def test_options_beyond_the_limits_are_refused(name):
    with pytest.raises(UserError, match=f"{name} must be at most"):
        PlanOptions(**{name: LIMITS[name][1] + 1})
    with pytest.raises(UserError, match="seed must be at most"):
        PlanOptions(seeds=(2**31,))


def test_a_broken_file_does_not_hide_the_others(tmp_path, monkeypatch):
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    (folder / "broken.yaml").write_text("suite: [\n")
    (folder / "mine.yaml").write_text(GOOD)
    (folder / "folder.yaml").mkdir()
    (folder / "gone.yaml").symlink_to(tmp_path / "nowhere")
    monkeypatch.chdir(tmp_path)
    listed = dict(listing("suites"))
    assert listed["broken"].startswith("invalid: benchmarks/broken.yaml:2:1: not YAML")
    assert listed["folder"].startswith("invalid: benchmarks/folder.yaml cannot be read")
    assert listed["gone"].startswith("invalid: benchmarks/gone.yaml cannot be read")
    assert listed["mine"].startswith("1 trial (")
    assert {path.stem for path in find_suite("digits").parent.glob("*.yaml")} <= set(listed)
    describe("mnist-dcgan")
    describe("mine")
    with pytest.raises(SuiteError, match="not YAML"):
        describe("broken")


def test_a_name_too_long_for_a_file_is_an_unknown_suite():
    with pytest.raises(SuiteError, match="unknown suite"):
        find_suite("x" * 5000)


PIECES = (
    *("", "null", "~", "!!int ", "!!timestamp x", "!!python/name:os.system", "!x ", "[" * 60, "{a: " * 60, "9" * 5000),
    *("1e400", "1e23", "-1", ".nan", "1:30", "0x10", "&a ", "*a", "&a [*a]", "'", '"', '"\\0"', '"\\ud800"', "\t"),
    *('"\\UFFFFFFFF"', "? ", ": ", "- ", "\n", "---\n", "%YAML 9.9\n", "%TAG ! x\n", "<<: ", "=", "|\n", ">-\n", "#"),
    *("~nosuchuser/x", "report", "\x00", "\ufeff", "é", "\u2028", "\x85", "]", "}", ",", "true", "[]", "{}"),
)


WORD = re.compile(rb"[^\s\[\]{},:]+")


def mutated(text: str, rng: random.Random) -> bytes:
    """Return a suite with a few words replaced, pieces cut, repeated or inserted, or bits flipped."""
    raw = bytearray(text.encode())
    for _ in range(rng.choice((1, 1, 2, 4))):
        at, length, chance = rng.randrange(len(raw) + 1), rng.choice((0, 1, 3, 10, 40)), rng.random()
        word = rng.choice([*WORD.finditer(bytes(raw)), None])
        if chance < 0.5 and word:
            raw[word.start() : word.end()] = rng.choice([word.group() + b"0", *map(str.encode, PIECES)])
        elif chance < 0.7 and raw:
            raw[at % len(raw)] ^= 1 << rng.choice((*range(7), *range(7), 7))
        elif chance < 0.8:
            raw[at:at] = raw[rng.randrange(len(raw) + 1) :][:length]
        else:
            raw[at : at + length] = rng.choice(PIECES).encode()
    return bytes(raw)


@settings(deadline=None, max_examples=250)
@given(st.integers(0, 2**32), st.sampled_from([GOOD, *(path.read_text() for path in SHIPPED)]))
def test_a_mutated_suite_is_a_plan_or_a_clear_error(tmp_path_factory, number, text):
    path = tmp_path_factory.getbasetemp() / "mutated.yaml"
    path.write_bytes(mutated(text, random.Random(number)))
    try:
        make_plan(path, PlanOptions())
    except UserError as error:
        assert "mutated.yaml" in str(error)
        assert max(map(len, str(error).splitlines())) < 900
