"""Prove on a GPU what a CPU can only rehearse: `make gpu-proof`, within 25 minutes, unattended.

    python benchmarks/speed/gpu_proof.py [--data DIR] [--out results/gpu-proof] [--minutes 25] [--only PART]
    python benchmarks/speed/gpu_proof.py --rehearse         # the same on a CPU, tiny, with steps that nothing records
    python benchmarks/speed/gpu_proof.py --pack FOLDER      # what a machine without a network needs, to run it there

Each part is a process with a time limit of its own, so that a failure in one loses nothing of the others:

- steps: the tests of engines that need a CUDA device: captured and grouped steps against the reference in float64,
  their bits, and features against the CPU's.
- trials: the tests of whole commands there: a trial that is stopped, killed and resumed to the same bits, groups,
  worker processes.
- speed: article loop, reference, fast, captured, groups of 4, 16 and 64, with the limits of arithmetic and launches.
- ways: the tests of how groups take a step, our own kernels among them, against the reference in float64.
- tricks: what every way to take a step gains, in every precision, alone and in groups of 64.
- kernels: the same of our own kernels (`GAN_BENCH_KERNELS=1`), which have not run on a card yet.
- scores: how long all measures take.
- suite: `mnist`, profile full, five seeds, as far as the time allows, then its report and `verify`.

The folder that comes of it can be committed: logs, tables, records, and `summary.md`. When `verify` has seen the suite,
checkpoints go and so do the weights of all seeds but the first, which a later `verify` will miss.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PYTHON = sys.executable
MINUTES = 25
"""Of all parts together."""
GRACE = 60
"""Seconds that a part has after it was asked to stop."""
ENDS_ON_REQUEST = (0, 130, -signal.SIGINT)
"""Exit codes of what has nothing else to say when it is asked to stop."""
THERE = ("torch", "torchvision", "scipy", "pandas", "matplotlib")
"""What a machine has that is packed for, each with what it needs."""
NOT_NEEDED = ("mlflow", "pyarrow")
"""What gan_bench needs for what is no part of the proof."""
FOR_TESTS = ("pytest", "hypothesis")
CARRIED_ANYWAY = ("filelock", "typing-extensions", "nvidia-ml-py")
"""Small, and on such a machine often too old, or absent."""


RUN = """\
#!/bin/bash
# Needs PyTorch, torchvision, SciPy, pandas and matplotlib; the rest is in wheels/.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
site="$(mktemp -d)"
python3 -m pip install --quiet --no-index --no-deps --no-compile --upgrade --target "$site" "$here"/wheels/*.whl
export PYTHONPATH="$here/gan_bench:$site"
cd "$here/gan_bench"
data=()
if [ -f "$here/data.tar.gz" ]; then
  mkdir "$site/data"
  tar -xzf "$here/data.tar.gz" -C "$site/data"
  data=(--data "$site/data")
fi
exec python3 benchmarks/speed/gpu_proof.py "${data[@]}" "$@"
"""
"""What a packed folder is started with."""


@dataclass(frozen=True)
class Part:
    """A part of the proof.

    Attributes:
        name: Name of its log.
        minutes: Its time limit, as a share of the whole.
        command: What it runs.
        may_stop: Whether an end by the time limit is fine, where nothing failed before.
        tests: Whether it is tests, of which one at least must pass: where all are skipped, they end well.
        results: The results folder that it fills with records.
        then: What is run on its results afterwards, and must hold too.
    """

    name: str
    minutes: float
    command: list[str]
    may_stop: bool = False
    tests: bool = False
    results: Path | None = None
    then: list[list[str]] = field(default_factory=list)


def script(name: str) -> list[str]:
    """Return the command of a script beside this one."""
    return [PYTHON, f"benchmarks/speed/{name}"]


def parts(out: Path, data: Path | None, *, rehearse: bool) -> list[Part]:
    """Return the parts in their order, the cheapest proof first."""
    device = "cpu" if rehearse else "cuda"
    given = ["--data", str(data)] if data else []
    bench = [PYTHON, "-m", "gan_bench"]
    test = [PYTHON, "-m", "pytest", "-m", "cuda", "-q", "-W", "default", "-p", "no:randomly", "-p", "no:cacheprovider"]
    test += ["tests/integration/test_gpu.py", "-k"]
    suite = out / "suite"
    chosen = ["digits", "--only", "mlp", "--epochs", "2"] if rehearse else ["mnist", "--profile", "full"]
    small = ["--rehearse", "--seconds", "0.3", "--rounds", "1"] if rehearse else ["--seconds", "1.5", "--rounds", "3"]
    brief = ["--rehearse", "--seconds", "0.1", "--rounds", "1", "--network", "mnist-mlp-z100"] if rehearse else []
    measured = ["--device", device, "--out"]
    kernels = ["env", "GAN_BENCH_KERNELS=1"]
    run = [*bench, "run", *chosen, "--seeds", "0-4", "--device", device, "--results", str(suite), "--no-tracking"]
    return [
        Part("steps", 1.5, [*test, "engine or recorded or features"], tests=True),
        Part("trials", 5, [*test, "not engine and not recorded and not features and not ways"], tests=True),
        Part("speed", 3, [*script("training.py"), *small, *measured, str(out / "speed")], may_stop=True),
        Part("ways", 5, [*kernels, *test, "ways"], tests=True),  # which compiles 200 kernels, one after the other
        Part("tricks", 2.5, [*script("ways.py"), *brief, *measured, str(out / "speed")], may_stop=True),
        Part(
            "kernels",
            1,
            [*kernels, *script("ways.py"), *brief, "--way", "kernels", *measured, str(out / "kernels")],
            may_stop=True,
        ),
        *([Part("scores", 1, [*script("scores.py"), *given])] if data and not rehearse else []),
        Part(
            "suite",
            6,
            [*run, *given],
            may_stop=True,
            results=suite,
            then=[[*bench, "report", str(suite)], [*bench, "verify", str(suite)]],
        ),
    ]


@dataclass(frozen=True)
class Outcome:
    """What came of a part."""

    name: str
    verdict: str
    seconds: float
    said: str

    @property
    def failed(self) -> bool:
        """Say whether something did not hold."""
        return self.verdict not in ("holds", "stopped by its time limit, as far as it came")


def carry_out(part: Part, out: Path, scale: float, environment: dict[str, str]) -> Outcome:
    """Run a part, and stop it at its limit."""
    started, log = time.monotonic(), out / f"{part.name}.log"
    stopped = False
    with log.open("w") as file:
        process = subprocess.Popen(
            part.command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait(part.minutes * 60 * scale)
        except subprocess.TimeoutExpired:
            stopped = True
            code = _end(process)
        later = [
            subprocess.run(command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT, check=False)
            for command in part.then
        ]
    text = log.read_text(errors="replace")
    lines = [line for line in text.splitlines() if line.strip()]
    faults = [f"exit code {done.returncode} of {done.args[-2]}" for done in later if done.returncode]
    if stopped and not part.may_stop:
        faults.append("stopped by its time limit")
    elif code not in (ENDS_ON_REQUEST if stopped else (0,)):
        faults.append(f"exit code {code}")
    if part.results and (failed := failed_trials(part.results)):
        faults.append(f"trials failed: {len(failed)}, the first of them {failed[0]}")
    if part.tests and not re.search(r"\d passed", text):
        faults.append("no test passed")
    verdict = faults[0] if faults else "stopped by its time limit, as far as it came" if stopped else "holds"
    return Outcome(part.name, verdict, time.monotonic() - started, "\n".join(lines[-25:]))


def failed_trials(results: Path) -> list[str]:
    """List the trials of a results folder that ended badly."""
    ends = {
        path.parent.name: json.loads(path.read_text())["status"] for path in sorted(results.glob("*/*/record.json"))
    }
    return [name for name, status in ends.items() if status in ("failed", "diverged")]


def _end(process: subprocess.Popen[bytes]) -> int:
    """Ask a process to stop, as Ctrl-C does, and end all of its group when it does not."""
    process.send_signal(signal.SIGINT)
    try:
        return process.wait(GRACE)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return process.wait()


def tidy(out: Path) -> None:
    """Leave out what need not be kept: checkpoints, locks, and all weights but those of the first seeds."""
    for pattern in ("suite/*/*/checkpoint.pt*", "suite/.locks", "suite/*/.locks"):
        for path in out.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in out.glob("suite/*/*/generator*.safetensors"):
        if ",seed=0--" not in path.parent.name:
            path.unlink()


def machine(out: Path, environment: dict[str, str]) -> None:
    """Write down what the machine is."""
    with (out / "machine.txt").open("w") as file:
        for command in (["nvidia-smi"], [PYTHON, "-m", "gan_bench", "doctor"], [PYTHON, "-m", "pip", "list"]):
            with contextlib.suppress(FileNotFoundError, subprocess.TimeoutExpired):
                subprocess.run(command, cwd=ROOT, env=environment, stdout=file, stderr=file, check=False, timeout=300)
                file.flush()


_TABLES = "speed/training.md", "speed/ways.md", "kernels/ways.md"


def summary(outcomes: list[Outcome], out: Path) -> str:
    """Say what holds, with the tables that were measured."""
    lines = ["# Proof on a GPU", "", "| part | verdict | seconds |", "|:--|:--|--:|"]
    lines += [f"| [{each.name}]({each.name}.log) | {each.verdict} | {each.seconds:.0f} |" for each in outcomes]
    for path in (*(out / each for each in _TABLES), out / "suite" / "report" / "answer.md"):
        if path.exists():
            lines += ["", path.read_text(encoding="utf-8").replace("\n# ", "\n## ").replace("# Answer", "## Answer", 1)]
    for each in outcomes:
        if each.failed:
            lines += ["", f"## {each.name}: {each.verdict}", "", "```text", each.said, "```"]
    records = [json.loads(path.read_text()) for path in sorted(out.glob("suite/*/*/record.json"))]
    if records:
        train, score = (sum(record[f"{what}_seconds"] for record in records) for what in ("train", "evaluate"))
        captured = sum(bool(record.get("captured")) for record in records)
        done = sum(record["status"] == "done" for record in records)
        share = score / max(train + score, 1e-9)
        trials = f"{done} of {len(records)} trials done, {captured} with recorded steps"
        lines += ["", f"Suite: {trials}; {train:.0f} s of training, {score:.0f} s of scoring ({share:.0%})."]
    return "\n".join(lines) + "\n"


def has_device() -> bool:
    """Say whether PyTorch sees a CUDA device."""
    import torch

    return torch.cuda.is_available()


def copy_of_head(tree: Path) -> None:
    """Copy what is committed into a folder, but the published results: no part reads their 30 MB."""
    tree.mkdir(parents=True, exist_ok=True)
    needed = ["--", ".", ":(exclude)results/published"]
    archive = subprocess.run(["git", "archive", "HEAD", *needed], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    subprocess.run(["tar", "-x", "-C", str(tree)], input=archive.stdout, check=True)


def closure(names: Iterable[str], python: str) -> set[str]:
    """List packages with all that they need, as far as they are installed here."""
    environment = {"python_version": python, "python_full_version": f"{python}.0", "extra": ""}
    found: set[str] = set()
    todo = [Requirement(name) for name in names]
    while todo:
        each = todo.pop()
        name = canonicalize_name(each.name)
        if name not in found and (each.marker is None or each.marker.evaluate(environment)):
            found.add(name)
            with contextlib.suppress(PackageNotFoundError):
                todo += map(Requirement, requires(name) or ())
    return found


def carried(python: str) -> set[str]:
    """List the packages that are packed: what gan_bench and its tests need, and a machine with PyTorch may lack."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    own = [each for each in project["dependencies"] if canonicalize_name(Requirement(each).name) not in NOT_NEEDED]
    return closure([*own, *FOR_TESTS], python) - closure(THERE, python) | set(CARRIED_ANYWAY)


def pack(folder: Path, data: Path | None, python: str) -> None:
    """Put into a folder what a machine without a network needs: the repository, wheels, MNIST, and what runs it all."""
    copy_of_head(folder / "gan_bench")
    target = [f"--python-version={python}", "--implementation=cp", "--platform=manylinux2014_x86_64"]
    target += [f"--platform=manylinux_2_{n}_x86_64" for n in (28, 27, 24, 17)]
    known = {line.partition("==")[0].lower().replace("_", "-"): line for line in
             (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}  # fmt: skip
    wanted = [known.get(name, name) for name in sorted(carried(python))]
    download = [PYTHON, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", *target]
    subprocess.run([*download, "--dest", str(folder / "wheels"), *wanted], check=True)
    if data:
        with tarfile.open(folder / "data.tar.gz", "w:gz") as archive_of_data:
            archive_of_data.add(data / "MNIST" / "raw", "MNIST/raw")
    (folder / "run.sh").write_text(RUN)
    (folder / "run.sh").chmod(0o755)


def main() -> int:
    """Run the proof."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("GAN_BENCH_DATA"))
    parser.add_argument("--out", type=lambda text: Path(text).expanduser(), default=ROOT / "results" / "gpu-proof")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of all parts together")
    parser.add_argument("--only", action="append", help="a part; may be repeated")
    parser.add_argument("--rehearse", action="store_true")
    parser.add_argument("--pack", type=Path, metavar="FOLDER")
    parser.add_argument("--python", default="3.12", help="of the machine that is packed for")
    options = parser.parse_args()
    data = Path(options.data).resolve() if options.data else None
    if options.pack:
        pack(options.pack, data, options.python)
        return 0
    if not options.rehearse and not has_device():
        parser.exit(2, "PyTorch sees no CUDA device here, so that nothing can be proven; --rehearse does it on a CPU\n")
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    os.chdir(ROOT)
    if out.is_relative_to(ROOT):  # what is written of the commands names no machine
        out = out.relative_to(ROOT)
    environment = {
        **os.environ,
        "GAN_BENCH_SLOW": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}",
    }
    if options.rehearse:
        environment["GAN_BENCH_REHEARSE"] = "1"
    there = {part.name: part for part in parts(out, data, rehearse=options.rehearse)}
    if unknown := set(options.only or ()) - there.keys():
        parser.exit(2, f"there is no part {', '.join(sorted(unknown))} here; there are {', '.join(there)}\n")
    machine(out, environment)
    outcomes = []
    chosen = [part for name, part in there.items() if not options.only or name in options.only]
    scale = options.minutes / MINUTES
    for part in chosen:
        print(f"{part.name}: at most {part.minutes * scale:.1f} minutes", flush=True)
        outcomes.append(carry_out(part, out, scale, environment))
        print(f"{part.name}: {outcomes[-1].verdict} after {outcomes[-1].seconds:.0f} s", flush=True)
        tidy(out)
        (out / "summary.md").write_text(summary(outcomes, out), encoding="utf-8")  # after each: what is there is safe
    print((out / "summary.md").read_text(encoding="utf-8"))
    return 1 if any(each.failed for each in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
