"""Forged records, and which level of ``gan-bench audit`` finds them; honest ones, and how often they are called wrong.

    python benchmarks/audit/forgeries.py [--out results/published/audit] [--work DIR]

The forger has the audit's source: every digest is recomputed, and what can be made to fit is. Records are of small
trainings on the digits that scikit-learn ships, so that whole levels can be repeated hundreds of times. Each is audited
on what stands for other processors too (see ``drift.py``), since equal bits alone would find any change.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from drift import MACHINES

from gan_bench.config.trial import TrialConfig
from gan_bench.records import writer
from gan_bench.records.json_files import object_text
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.reader import read_trial
from gan_bench.records.record import TrialRecord, best_scores

SEEDS = {"mnist-mlp-z100": 20}
"""Honest seeds of each network."""
LUCKY = 40
"""Seeds of which the cherry-picked ones are the best."""
ELSEWHERE = ("as it is", "AVX2", "no vectors", "two threads", "reference engine")
LEVELS = ("consistent", "rescored", "begun", "repeated", "drawn again")
SUITE = """
suite: {name}
version: 1
description: small trainings
trials:
  - recipe: mnist-mlp-z100
    set: {{dataset: digits, epochs: {epochs}, log_every: 20, betas: [0.5, 0.999]{more}}}
  - recipe: mnist-dcgan
    set: {{dataset: digits, epochs: 3, log_every: 20, betas: [0.5, 0.999]}}
seeds: [{seeds}]
evaluate: {{epochs: [1, {epochs}], samples: 1000, draws: 3}}
"""


def train(folder: Path, seeds: list[int], epochs: int = 12, more: str = "", only: str = "") -> Path:
    """Train a suite honestly; return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "small.yaml"
    file.write_text(SUITE.format(name="small", epochs=epochs, more=more, seeds=", ".join(map(str, seeds))))
    command = ["run", str(file), "--results", str(folder / "results"), "--no-tracking"]
    subprocess.run([*gan_bench(), *command, *(["--only", only] if only else [])], check=True, capture_output=True)
    return folder / "results" / "small"


def gan_bench() -> list[str]:
    return [sys.executable, "-m", "gan_bench"]


def audit(suite: Path, machine: str, *asked: str) -> list[dict[str, Any]]:
    """Audit a copy of records in a process of its own; return the findings."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(suite, Path(folder) / "small"))
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **MACHINES[machine]}
        if MACHINES[machine].get("ENGINE") == "reference":
            say_engine(copy, "reference")
        command = [*gan_bench(), "audit", str(copy), *asked]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode in (0, 1), done.stderr
        found: list[dict[str, Any]] = json.loads((copy / "audit.json").read_text())["audits"][-1]["findings"]
        return found


def say_engine(suite: Path, engine: str) -> None:
    """Let records say that another engine trained them, so that the auditor takes it: the bits are those of ours."""
    for path in records(suite):
        environment = json.loads(RecordDirectory(path).environment.read_text())
        seal(path, {"environment.json": {**environment, "engine": engine}})


# ----------------------------------------------------------------------------------------------- forging


def records(suite: Path, recipe: str = "") -> list[Path]:
    return sorted(path for path in suite.glob(f"{recipe}*--????????") if path.is_dir())


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def put_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


def seal(path: Path, objects: dict[str, dict[str, Any]] | None = None) -> None:
    """Make every digest and every number of the end fit what lies in a record, as a forger does."""
    for name, content in (objects or {}).items():
        (path / name).write_text(object_text({k: v for k, v in content.items() if k != "sha256"}))
    directory = RecordDirectory(path)
    record = TrialRecord.from_json(json.loads(directory.record.read_text()))
    history, evaluations = lines_of(directory.history), lines_of(directory.evaluations)
    epochs = [line for line in history if line["kind"] == "epoch"]
    scores = [(line["epoch"], {s["name"]: s["value"] for s in line["scores"]}) for line in evaluations]
    found = writer.digests(directory)
    weights = found.get("generator.safetensors", record.weights_sha256)
    end = replace(
        record, final={**epochs[-1]["mean"], **scores[-1][1]}, best=best_scores(scores), weights_sha256=weights
    )
    writer.finish(directory, end)


def without_weights(suite: Path) -> None:
    """Leave the weights out, as publications do, and list them as left out."""
    missed: dict[str, dict[str, str]] = {}
    for path in records(suite):
        weights = path / "generator.safetensors"
        missed[path.name] = {weights.name: writer.digests(RecordDirectory(path))[weights.name]}
        weights.unlink()
    (suite / "left-out.json").write_text(object_text({"schema": 1, "files": missed}))


def scale_scores(path: Path, factor: float, *, last_only: bool) -> None:
    """Make scores better by a factor."""
    file = RecordDirectory(path).evaluations
    lines = lines_of(file)
    for line in lines[-1:] if last_only else lines[1:]:
        for score in line["scores"]:
            if score["metric"] in ("fid", "fid_inf", "kid") and score["value"] is not None:
                score["value"] *= factor
    put_lines(file, lines)


def take_over(path: Path, other: Path) -> None:
    """Put another training's history and weights under a trial's name; its beginning stays what the seed gives."""
    evaluations, theirs = lines_of(path / "evaluations.jsonl"), lines_of(other / "evaluations.jsonl")
    put_lines(path / "evaluations.jsonl", [evaluations[0], *theirs[1:]])
    for name in ("history.jsonl", "generator.safetensors"):
        shutil.copyfile(other / name, path / name)
    for sample in (other / "samples").iterdir():
        if sample.name != "epoch-0000.png":
            shutil.copyfile(sample, path / "samples" / sample.name)
    relabel(path)
    seal(path)  # the generator is read back
    score_again(path)


def score_again(path: Path) -> None:
    """Give the last evaluation and its sample grid what the weights give under the trial's own seed."""
    import torch

    from gan_bench.config.image_folder import data_root
    from gan_bench.execution.trial.context import RunContext
    from gan_bench.metrics.evaluator import sample_grid
    from gan_bench.sampling import load_generator

    loaded, lines = load_generator(path), lines_of(path / "evaluations.jsonl")
    context = RunContext(data_root(None), torch.device("cpu"), lambda: False)
    scores = context.evaluator(loaded.config).evaluate(loaded.network, loaded.config, loaded.config.evaluation.draws)
    lines[-1]["scores"] = [score.to_json() for score in scores]
    put_lines(path / "evaluations.jsonl", lines)
    writer.save_sample(RecordDirectory(path), loaded.config.epochs, sample_grid(loaded.network, loaded.config))


def relabel(path: Path) -> None:
    """Give weights the id of the trial whose record they lie in."""
    from safetensors.torch import load_file, save_file

    weights = path / "generator.safetensors"
    save_file(load_file(weights), weights, metadata={"trial": path.name[-8:]})


Forgery = Callable[[Path, Path], None]
"""Changes the record at its first argument; the second is a folder to train in."""


def edited_score(path: Path, work: Path) -> None:
    """The final FID, KID and their like are 15 % lower; the weights are left out."""
    scale_scores(path, 0.85, last_only=True)
    seal(path)


def edited_score_beside_weights(path: Path, work: Path) -> None:
    """The same with the weights published."""
    scale_scores(path, 0.85, last_only=True)
    seal(path)


def swapped_weights(path: Path, work: Path) -> None:
    """The weights of a longer training beside the scores of the shorter one."""
    other = records(train(work, [seed_of(path)], epochs=18, only=recipe_of(path)))[0]
    shutil.copyfile(other / "generator.safetensors", path / "generator.safetensors")
    relabel(path)
    seal(path)


def longer_training(path: Path, work: Path) -> None:
    """A training of 18 epochs whose last scores, samples and weights are published as those of 12."""
    other = records(train(work, [seed_of(path)], epochs=18, only=recipe_of(path)))[0]
    lines, theirs = lines_of(path / "evaluations.jsonl"), lines_of(other / "evaluations.jsonl")
    lines[-1]["scores"] = theirs[-1]["scores"]
    put_lines(path / "evaluations.jsonl", lines)
    shutil.copyfile(other / "samples" / "epoch-0018.png", path / "samples" / "epoch-0012.png")
    shutil.copyfile(other / "generator.safetensors", path / "generator.safetensors")
    relabel(path)
    seal(path)


def fewer_steps(path: Path, work: Path) -> None:
    """Six epochs claimed as twelve: the second half of the history is the first, bent; scores are of the sixth."""
    other = records(train(work, [seed_of(path)], epochs=6, only=recipe_of(path)))[0]
    history = lines_of(path / "history.jsonl")
    half = [line for line in history if line["epoch"] <= 6]
    by_kind = {kind: [line for line in half if line["kind"] == kind] for kind in ("step", "epoch")}
    for line in (line for line in history if line["epoch"] > 6):
        like = by_kind[line["kind"]][-1 - (line["step"] // 20) % 3]
        for name in ("loss_d", "loss_g", "d_real", "d_fake"):
            for target, source in ((line, like),) if line["kind"] == "step" else ((line["mean"], like["mean"]),):
                target[name] = source[name] * 1.01
    put_lines(path / "history.jsonl", history)
    lines, theirs = lines_of(path / "evaluations.jsonl"), lines_of(other / "evaluations.jsonl")
    lines[-1]["scores"] = theirs[-1]["scores"]
    put_lines(path / "evaluations.jsonl", lines)
    shutil.copyfile(other / "samples" / "epoch-0006.png", path / "samples" / "epoch-0012.png")
    shutil.copyfile(other / "generator.safetensors", path / "generator.safetensors")
    relabel(path)
    seal(path)


def other_values(path: Path, work: Path) -> None:
    """Trained with another learning rate than the record says, from the same seed."""
    take_over(path, records(train(work, [seed_of(path)], more=", lr: 4.0e-4", only=recipe_of(path)))[0])
    seal(path)


def other_seed(path: Path, work: Path) -> None:
    """The curves, scores and weights of another seed."""
    take_over(path, records(train(work, [seed_of(path) + 1000], only=recipe_of(path)))[0])
    seal(path)


def best_of_ten(path: Path, work: Path) -> None:
    """The best of ten trainings with other seeds, under one seed."""
    suite = train(work, list(range(2000, 2010)), only=recipe_of(path))
    take_over(path, min(records(suite), key=final_fid))
    seal(path)


def edited_history(path: Path, work: Path) -> None:
    """D's outputs from the third epoch on are moved towards 0.5, digests recomputed."""
    history = lines_of(path / "history.jsonl")
    for line in (line for line in history if line["epoch"] > 2):
        for part in (line,) if line["kind"] == "step" else (line["mean"], line["last"]):
            for name in ("d_real", "d_fake"):
                part[name] = 0.5 + (part[name] - 0.5) * 0.8
    put_lines(path / "history.jsonl", history)
    seal(path)


def naive(path: Path, work: Path) -> None:
    """A score is edited and no digest."""
    scale_scores(path, 0.85, last_only=True)


FORGERIES: dict[str, Forgery] = {
    "edited score, digests as they were": naive,
    "edited score, no weights": edited_score,
    "edited score beside its weights": edited_score_beside_weights,
    "swapped weights": swapped_weights,
    "six epochs claimed as twelve": fewer_steps,
    "end of a longer training": longer_training,
    "another learning rate": other_values,
    "another seed's curve": other_seed,
    "best of ten under one seed": best_of_ten,
    "edited history": edited_history,
}


def seed_of(path: Path) -> int:
    return int(json.loads((path / "trial.json").read_text())["config"]["seed"])


def recipe_of(path: Path) -> str:
    return str(TrialConfig.from_json(json.loads((path / "trial.json").read_text())["config"]).recipe)


def final_fid(path: Path) -> float:
    scores = read_trial(path).evaluations[-1]["scores"]
    return next(float(score["value"] or 1e9) for score in scores if score["metric"] == "fid")


# --------------------------------------------------------------------------------------------- measuring


def honest(suites: list[Path]) -> Iterator[dict[str, object]]:
    """Audit honest records on every machine, and further seeds under several nonces."""
    for suite in suites:
        for machine in ELSEWHERE:
            print(f"  honest, {machine}", file=sys.stderr, flush=True)
            for found in audit(suite, machine, "--levels", "consistent,rescored,begun,repeated", "--nonce", "honest"):
                yield row("honest", machine, found)
    for nonce in range(10):
        for found in audit(suites[0], "as it is", "--levels", "drawn again", "--nonce", f"honest {nonce}"):
            yield row("honest", "as it is", found)


def forged(suite: Path, work: Path) -> Iterator[dict[str, object]]:
    """Forge two seeds of the fully connected network one by one, and audit each here and on another processor."""
    for name, forge in FORGERIES.items():
        for index, original in enumerate(records(suite, "mnist-mlp-z100")[:2]):
            print(f"  {name}, {index + 1} of 2", file=sys.stderr, flush=True)
            copy = Path(shutil.copytree(suite, work / f"{name}-{index}" / "small"))
            forge(copy / original.name, work / f"{name}-{index}" / "training")
            if name.endswith("no weights"):
                without_weights(copy)
            for machine in ("as it is", "AVX2"):
                trial = json.loads((original / "trial.json").read_text())["name"]
                asked = ("--levels", "consistent,rescored,begun,repeated", "--only", trial, "--nonce", "forged")
                for found in audit(copy, machine, *asked):
                    if found["name"] in (trial, original.name):
                        yield row(name, machine, found)


def lucky(work: Path) -> Iterator[dict[str, object]]:
    """Publish the five best of forty seeds, honestly trained; draw one, and five, further seeds under ten nonces."""
    suite = train(work / "lucky", list(range(3000, 3000 + LUCKY)), only="mnist-mlp-z100")
    for path in sorted(records(suite), key=final_fid)[5:]:
        shutil.rmtree(path)
    for further in (1, 5):
        for nonce in range(10):
            asked = ("--levels", "drawn again", "--further", str(further), "--nonce", f"lucky {nonce}")
            for found in audit(suite, "as it is", *asked):
                yield row(f"five best of {LUCKY} seeds, {further} drawn", "as it is", found)
    for found in audit(suite, "as it is", "--levels", "consistent,rescored,begun,repeated", "--nonce", "lucky"):
        yield row(f"five best of {LUCKY} seeds, 1 drawn", "as it is", found)


def row(what: str, machine: str, found: dict[str, Any]) -> dict[str, object]:
    keys = ("level", "verdict", "seconds", "name", "text")
    return {"record": what, "machine": machine, **{key: found[key] for key in keys}}


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Count by record, machine and level how many were found out of how many, and the median seconds of a check."""
    rows = rows.assign(found=rows["verdict"].isin(["contradicted", "doubtful"]))
    judged = rows[rows["verdict"] != "not audited"]
    grouped = judged.groupby(["record", "machine", "level"], sort=False)
    counts = grouped.agg(found=("found", "sum"), audits=("found", "size"), seconds=("seconds", "median"))
    return counts.reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/published/audit"))
    parser.add_argument("--work", type=Path, help="folder for the records; a temporary one by default")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = asked.work or Path(temporary)
        suites = [train(work / recipe, list(range(seeds)), only=recipe) for recipe, seeds in SEEDS.items()]
        asked.out.mkdir(parents=True, exist_ok=True)
        made: list[dict[str, object]] = []
        for rows in (forged(suites[0], work / "forged"), lucky(work), honest(suites)):
            made += rows
            frame = pd.DataFrame(made)
            frame.to_csv(work / "audits.csv", index=False)
            table(frame).to_csv(asked.out / "forgeries.csv", index=False)
        print(table(frame).to_string(index=False))


if __name__ == "__main__":
    main()
