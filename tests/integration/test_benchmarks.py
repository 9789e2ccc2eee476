"""The scripts in benchmarks/ run: nothing else calls them, so nothing else would notice."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import itertools
import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
from packaging.utils import canonicalize_name
from support.needs import files_in_git

from gan_bench.metrics import natural
from gan_bench.training.group import ways as group_ways


def script(*arguments):
    done = subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_the_report_s_cost_is_measured(tmp_path):
    out = script("benchmarks/speed/report.py", "--settings", 2, "--seeds", 2, "--epochs", 12, "--out", tmp_path)
    measured = json.loads(out.strip().splitlines()[-1])
    assert measured["trials"] == 4
    assert 0 < measured["page_mb"] < 2


@pytest.mark.slow
def test_the_simulation_writes_its_tables(tmp_path):
    script("benchmarks/statistics/simulate.py", "--studies", 2000, "--out", tmp_path)
    errors = pd.read_csv(tmp_path / "errors.csv").set_index(["two equal settings", "test on"])
    assert errors.loc[("log-normal, sigma 0.1", "log ratio"), "5 seeds, 1 tests"] == pytest.approx(0.05, abs=0.02)
    power = pd.read_csv(tmp_path / "power.csv")
    assert (power.loc[power["true factor"] == 2.0, "10 seeds, 1 tests"] > 0.5).all()
    best = pd.read_csv(tmp_path / "best.csv").set_index("equal settings")
    assert (best[["5 seeds", "10 seeds"]] < 0.12).all(axis=None)
    assert (tmp_path / "errors.md").read_text().startswith("| two equal settings")
    _check_looks(tmp_path, slack=0.012)
    assert (pd.read_csv(tmp_path / "looks-both-claims.csv")["times their number"] < 0.05).all()


def _check_looks(folder, slack):
    """What documentation and verdicts promise of looks."""
    errors = pd.read_csv(folder / "looks-errors.csv")
    collapsing = errors.iloc[:, 0].str.contains("collaps")
    equal = errors[errors["equal in"] == "equal"]
    for tests in (1, 3, 9, 13):
        assert (equal.loc[~collapsing, f"looks, {tests} tests"] <= 0.05 + slack).all()
        assert (equal[f"looks, {tests} tests"] <= 0.0525 + slack).all()
        assert (equal[f"report, {tests} tests"] <= 0.05 + slack).all()
        assert (equal.loc[collapsing, f"report, {tests} tests"] <= 0.04 + slack).all(), (
            "collapses that differ are counted"
        )
    power = pd.read_csv(folder / "looks-power.csv").set_index(["tests", "effect"])
    known = power.loc[(1, "1.5 sd")]
    assert known["looks: decided"] > 0.98
    assert known["looks: seeds"] == pytest.approx(7.15, abs=0.3)
    assert known["fixed 12: decided"] > known["looks: decided"] > known["fixed 5: decided"] + 0.2
    nothing = power.loc[(1, "0 sd")]
    assert (nothing["looks: seeds"], nothing["looks with the stop: seeds"]) == pytest.approx((11.8, 7.0), abs=0.3)
    assert power.loc[(13, "3 sd"), "looks: decided at 5"] == 0
    peeking = pd.read_csv(folder / "looks-peeking.csv").set_index("looks at 0.05")["decided"]
    assert peeking["5, 9, then 13"] == pytest.approx(0.11, abs=0.03)
    holds = pd.read_csv(folder / "looks-estimates.csv")["repeated interval at the stop holds"]
    assert (holds >= 0.95 - slack).all()


@pytest.mark.slow
def test_the_simulation_of_our_records(tmp_path):
    records = Path("results/published/amd-epyc-2-cores")
    if not any(records.glob("*/*/record.json")):
        pytest.skip("the source archive holds the published tables, not the records")
    only = ("--only", "measures", "until-decided")
    script("benchmarks/statistics/simulate.py", records, "--studies", 2000, "--out", tmp_path, *only)
    assert sorted(path.name for path in tmp_path.glob("*.csv")) == ["measures.csv", "until-decided.csv"]
    (row, _) = pd.read_csv(tmp_path / "until-decided.csv").to_dict("records")
    assert row["trials of the fixed study"] == 12 * 13
    assert 65 / 156 <= row["share of trials"] < 0.8
    assert row["with the true sign"] > 0.9
    measures = pd.read_csv(tmp_path / "measures.csv").set_index("measure")
    assert measures.loc["FID", "pairs"] == 11 * 10 / 2
    assert measures.loc["FID", "decided by five seeds"] > 0.8


def test_the_published_simulation_holds_what_is_promised():
    folder = Path("results/published/statistics")
    _check_looks(folder, slack=0.002)
    until = pd.read_csv(folder / "until-decided.csv")
    assert (until["share of trials"] <= 0.7).all()
    assert (until["with the true sign"] >= 0.99).all()
    _check_collapses(folder, slack=0.002)


def _check_collapses(folder, slack):
    """What documentation promises of more collapses in the newer of two folders."""
    errors, power = (pd.read_csv(folder / f"collapses-{name}.csv") for name in ("errors", "power"))
    seeds = ["3 seeds", "5 seeds", "12 seeds"]
    assert (errors[seeds] <= 0.05 + slack).all(axis=None)
    assert (power.loc[power["collapse in"] == "0% -> 100%", seeds] == 1).all(axis=None)


@pytest.mark.slow
def test_the_simulation_of_collapses_writes_its_tables(tmp_path):
    script("benchmarks/statistics/collapses.py", "--studies", 1000, "--out", tmp_path)
    _check_collapses(tmp_path, slack=0.01)
    assert (tmp_path / "collapses-power.md").read_text().startswith("|   settings")


def test_the_dispatcher_s_cost_is_measured(tmp_path, monkeypatch):
    """The script imported what had been renamed, so nobody could measure it any more."""
    monkeypatch.syspath_prepend("benchmarks/speed")
    scale = importlib.import_module("scale")
    monkeypatch.setattr(scale, "_command", lambda *_: None)  # the report: `report.py` above makes one
    measured = scale.simulate(tmp_path, 6, 2, mirrored=False)
    assert measured["trials"] == 6
    assert measured["hours on the GPUs"] > 0


@pytest.mark.parametrize("file", sorted(Path("benchmarks").rglob("*.py")), ids=str)
def test_what_a_script_imports_is_there(file):
    """A script that takes hours, or a GPU, would notice in its first second, on somebody's machine."""
    nodes = [node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)]
    for node in nodes:
        if node.module and node.module.partition(".")[0] == "gan_bench":
            module = importlib.import_module(node.module)
            names = [each.name for each in node.names]
            missing = [name for name in names if not hasattr(module, name) and not _is_module(f"{node.module}.{name}")]
            assert not missing, node.module


def _is_module(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.slow
def test_the_mirror_s_cost_is_measured():
    out = script("benchmarks/speed/mirror.py", "--trials", 3, "--epochs", 3)
    measured = json.loads(out.strip().splitlines()[-1])
    assert measured["trials"] == 3
    assert measured["again"] > 0


WITHOUT = """
import sys
from importlib.machinery import PathFinder

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {absent} else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
"""
"""A ``sitecustomize.py`` without which packages are as if they were not installed."""


class TestProofOnAGpu:
    """``make gpu-proof``, rehearsed."""

    @pytest.fixture
    def proof(self, monkeypatch):
        monkeypatch.syspath_prepend("benchmarks/speed")
        return importlib.import_module("gpu_proof")

    @pytest.fixture
    def packed(self, proof, monkeypatch, tmp_path):
        """Let commands import what a packed folder and the machine that it is for have, and nothing else."""
        python = "{}.{}".format(*sys.version_info)
        there = proof.carried(python) | proof.closure(proof.THERE, python) | {"gan-bench"}
        owners = importlib.metadata.packages_distributions()
        absent = {name for name, owned in owners.items() if there.isdisjoint(map(canonicalize_name, owned))}
        assert {"mlflow", "pyarrow", "xdist", natural.PACKAGE} <= absent
        assert {"pytest", "sklearn", "yaml"}.isdisjoint(absent)
        folder = tmp_path / "packed"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(WITHOUT.format(absent=absent))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")])))
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    @pytest.mark.ci
    @pytest.mark.usefixtures("packed")
    def test_the_pack_holds_what_its_tests_and_scripts_import(self, monkeypatch):
        """Tests and suites were packed without pytest and PyYAML."""
        monkeypatch.setenv("GAN_BENCH_REHEARSE", "1")
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["benchmarks/speed", os.environ["PYTHONPATH"]]))
        imported = "training, ways, scores, gan_bench.cli.app, gan_bench.report.build, gan_bench.records.verify"
        code = f"import sys, pytest, {imported}; sys.exit(pytest.main(sys.argv[1:]))"
        out = script("-c", code, "tests/integration/test_gpu.py", "-q", "-p", "no:cacheprovider", "-k", "features")
        assert "the weights of efficientnet-lite0 are in the extra natural" in out
        assert " passed, 1 skipped" in out

    @pytest.mark.slow
    @pytest.mark.usefixtures("packed")
    def test_the_suite_is_run_and_summed_up(self, tmp_path):
        script("benchmarks/speed/gpu_proof.py", "--rehearse", "--only", "suite", "--out", tmp_path)
        text = (tmp_path / "summary.md").read_text()
        assert "| [suite](suite.log) | holds |" in text
        assert "Suite: 5 of 5 trials done" in text
        assert not list(tmp_path.rglob("checkpoint.pt*"))
        assert {path.parent.name.split("seed=")[1][0] for path in tmp_path.rglob("generator.safetensors")} == {"0"}

    @pytest.mark.slow
    def test_every_way_is_measured_beside_an_article_loop(self, proof, tmp_path):
        script("benchmarks/speed/gpu_proof.py", "--rehearse", "--only", "tricks", "--out", tmp_path)
        text = (tmp_path / "summary.md").read_text()
        assert "| [tricks](tricks.log) | holds |" in text
        rows = [[cell.strip() for cell in line.split("|")] for line in text.splitlines() if line.startswith("| MLP")]
        ways = {(trials, precision, way) for _, _, trials, precision, way, *_ in rows}
        assert ways == {(n, p, w) for n, w in (("1", "alone"), ("4", "stacked")) for p in ("default", "tf32", "bf16")}
        assert all(int(row[5].replace(",", "")) > 0 and row[7].endswith("%") for row in rows)

    @pytest.mark.filterwarnings("default::RuntimeWarning")  # as where the script runs
    @pytest.mark.parametrize("fault", ["PTXAS error: it does not compile", "CUDA error: it is not permitted"])
    def test_another_way_s_speed_is_no_way_s(self, proof, monkeypatch, fault):
        """A way that fails is replaced by the best of the others, whose speed stood beside its name."""
        bench, group = importlib.import_module("ways"), importlib.import_module("gan_bench.training.group.group")
        make_step = group.make_step

        def broken(way, members):
            if way == group_ways.WRITTEN and "PTXAS" in fault:
                raise RuntimeError(fault)
            return make_step(way, members)

        def capture(body):
            if body.__self__.way == group_ways.WRITTEN and "CUDA" in fault:
                raise RuntimeError(fault)
            return partial(body)

        monkeypatch.setattr(group, "make_step", broken)
        monkeypatch.setattr(bench, "CAPTURES", {"cpu": capture})
        monkeypatch.setattr(bench, "GROUPS", {"cpu": (2,)})
        monkeypatch.setattr(bench, "get_args", lambda _: ("default",))
        found = [group_ways.STACKED, group_ways.WRITTEN]
        monkeypatch.setattr(bench, "ways", lambda members, _: found if len(members) > 1 else [group_ways.ALONE])
        rows = bench.measure("mnist-mlp-z100", torch.device("cpu"), 0.01, 1, group_ways.WRITTEN)
        alone, stacked, written = rows
        assert min(alone["images_per_second"], stacked["images_per_second"]) > 0
        assert "images_per_second" not in written
        assert fault in written["why_not"]

    def test_a_card_is_asked_for_no_more_than_it_has(self, proof, monkeypatch):
        """A copy of 8 GB ended all measurements on a card of 8 GB, and a T4 gave float32 the name of TensorFloat-32."""
        speed, bench, card = importlib.import_module("training"), importlib.import_module("ways"), torch.device("cuda")
        for gib, most in ((8, 4 * 2**30), (141, 8_000_000_000)):
            monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=gib * 2**30: (free, free))
            assert 2 * 4 * speed.numbers_copied(card) == most
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "T4")
        for capability, precisions in (((7, 5), ["default"]), ((8, 0), ["default", "tf32", "bf16"])):
            monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, found=capability: found)
            assert bench.precisions_on(card) == precisions
        assert bench.precisions_on(torch.device("cpu")) == ["default", "tf32", "bf16"]

    def test_a_group_that_cannot_be_made_is_left_out(self, proof, monkeypatch):
        speed = importlib.import_module("training")

        def too_large():
            raise torch.OutOfMemoryError("CUDA out of memory")

        loops = {"article": lambda: itertools.repeat(1), "fast": lambda: itertools.repeat(1), "group of 64": too_large}
        monkeypatch.setattr(speed, "CASES", {"MLP": "mnist-mlp-z100"})
        monkeypatch.setattr(speed, "loops_of", lambda *_, **__: loops)
        monkeypatch.setattr(speed, "peaks", lambda _: {"matmul_gflops": 1.0})
        monkeypatch.setattr(speed, "flops_per_image", lambda _: 1.0)
        monkeypatch.setattr(speed, "pool_rate", lambda *_: 1.0)
        found = next(speed.measure(torch.device("cpu"), 0.001, 1, 1, gpu=False))
        assert found["cases"]["MLP"]["images_per_second"].keys() == {"article", "fast", "processes"}

    def test_parts_fit_into_the_time(self, proof, tmp_path):
        parts = {part.name: part for part in proof.parts(tmp_path, tmp_path, rehearse=False)}
        assert sum(part.minutes for part in parts.values()) <= proof.MINUTES
        assert parts["trials"].minutes * 60 > 1.5 * 193, "seconds that it took on an H200"
        for name in ("ways", "kernels"):
            assert "GAN_BENCH_KERNELS=1" in parts[name].command, "without it there are no kernels to prove"

    def test_the_pack_leaves_the_published_results_out(self, proof, tmp_path):
        files_in_git()
        proof.copy_of_head(tmp_path / "tree")
        assert {"gan_bench", "tests", "benchmarks"} <= {path.name for path in (tmp_path / "tree").iterdir()}
        assert not (tmp_path / "tree" / "results" / "published").exists()

    def test_what_follows_a_part_must_hold_too(self, proof, tmp_path):
        after = [[sys.executable, "-c", "raise SystemExit(4)", "verify", "suite"]]
        part = proof.Part("part", 1, [sys.executable, "-c", ""], then=after)
        outcome = proof.carry_out(part, tmp_path, 1, dict(os.environ))
        assert (outcome.verdict, outcome.failed) == ("exit code 4 of verify", True)

    @pytest.mark.parametrize(("said", "verdict"), [("27 passed, 5 skipped", "holds"), ("5 skipped", "no test passed")])
    def test_tests_that_are_all_skipped_prove_nothing(self, proof, tmp_path, said, verdict):
        part = proof.Part("part", 1, [sys.executable, "-c", f"print('{said} in 1.0s')"], tests=True)
        assert proof.carry_out(part, tmp_path, 1, dict(os.environ)).verdict == verdict

    @pytest.mark.parametrize(
        ("code", "status", "verdict"),
        [
            (-signal.SIGINT, "done", "stopped by its time limit, as far as it came"),
            (130, "interrupted", "stopped by its time limit, as far as it came"),
            (1, "done", "exit code 1"),
            (-signal.SIGKILL, "done", "exit code -9"),
            (130, "failed", "trials failed: 1, the first of them trial"),
        ],
    )
    def test_a_part_that_is_stopped_has_not_failed_before(self, proof, tmp_path, monkeypatch, code, status, verdict):
        record = tmp_path / "suite" / "mnist" / "trial" / "record.json"
        record.parent.mkdir(parents=True)
        record.write_text(json.dumps({"status": status}))

        def end(process):
            process.kill()
            process.wait()
            return code

        monkeypatch.setattr(proof, "_end", end)
        command = [sys.executable, "-c", "import time; time.sleep(100)"]
        part = proof.Part("part", 1, command, may_stop=True, results=tmp_path / "suite")
        outcome = proof.carry_out(part, tmp_path, 0, dict(os.environ))
        assert outcome.verdict == verdict
        assert outcome.failed == (not verdict.endswith("as far as it came"))

    @pytest.mark.parametrize(
        ("device", "options", "said"),
        [
            (False, (), "PyTorch sees no CUDA device here"),
            (True, ("--only", "step"), "there is no part step here; there are steps, trials, "),
        ],
    )
    def test_what_cannot_be_proven_is_said_at_once(self, proof, tmp_path, monkeypatch, capsys, device, options, said):
        """Without a device every part ran, was skipped, and held."""
        monkeypatch.setattr(proof, "has_device", lambda: device)
        monkeypatch.setattr(proof, "machine", lambda *_: None)
        monkeypatch.setattr(proof, "carry_out", lambda part, *_: proof.Outcome(part.name, "holds", 1, ""))
        monkeypatch.setattr(sys, "argv", ["gpu_proof.py", "--out", str(tmp_path / "out"), *options])
        monkeypatch.chdir(Path.cwd())  # it changes to the checkout's folder
        with pytest.raises(SystemExit) as ended:
            proof.main()
        assert ended.value.code == 2
        assert capsys.readouterr().err.startswith(said)

    @pytest.mark.parametrize(
        ("code", "verdict"),
        [
            ("import time; time.sleep(100)", "stopped by its time limit"),
            ("raise SystemExit(3)", "exit code 3"),
            ("print('fine')", "holds"),
        ],
    )
    def test_a_part_has_a_limit_and_says_what_failed(self, proof, tmp_path, code, verdict):
        part = proof.Part("part", 1, [sys.executable, "-c", code])
        outcome = proof.carry_out(part, tmp_path, 0.05, dict(os.environ))
        assert outcome.verdict == verdict
        assert outcome.failed == (verdict != "holds")
        assert f"| [part](part.log) | {verdict} |" in proof.summary([outcome], tmp_path)
