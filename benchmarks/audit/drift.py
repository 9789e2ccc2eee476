"""How far honest machines drift apart over the first steps of the same trial: the constants of ``gan_bench.audit``.

    python benchmarks/audit/drift.py [--data DIR] [--seeds 0-2] [--recipes NAMES] [--out DIR]

The same trials take their first steps again on what stands for other processors: PyTorch's kernels and oneDNN's held
to older instruction sets, other numbers of threads, the other engine. Every step's four statistics are set beside those
of this machine as it is. CPU against GPU is read from published records, whose trials began with the same weights and
the same order of images and drew other noise. The last rows are no drift: other seeds, whose curves must not pass.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gan_bench.config.image_folder import data_root
from gan_bench.records.command import parse_seeds

RECIPES = {"mnist-mlp-z100": 400, "mnist-mlp-z64": 400, "mnist-dcgan": 200, "cifar10-dcgan": 100}
"""Steps that each recipe takes."""
SEVERAL = {"OMP_NUM_THREADS": "2"}
MACHINES: dict[str, Mapping[str, str]] = {
    "as it is": {},
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "AVX2 in PyTorch alone": {"ATEN_CPU_CAPABILITY": "avx2"},
    "no vectors": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    },
    "two threads": SEVERAL,
    "two threads, AVX2": {**SEVERAL, "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "reference engine": {"ENGINE": "reference"},
}
AT = (1, 2, 5, 10, 20, 50, 100, 200, 400)
STATISTICS = ("loss_d", "loss_g", "d_real", "d_fake")
Curves = dict[tuple[str, int], NDArray[np.float64]]
"""By recipe and seed (steps, 4)."""


def curves(data: Path, seeds: list[int], recipes: list[str]) -> Iterator[str]:
    """Train in this process and yield a line of JSON per trial."""
    import torch

    from gan_bench.config.cuts import PlanOptions
    from gan_bench.config.suite import make_plan
    from gan_bench.execution.trial.context import RunContext
    from gan_bench.execution.trial.environment import fix_bits
    from gan_bench.execution.workers.inline import run_alone, steps_until

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    fix_bits(torch.device("cpu"))
    context = RunContext(data_root(data), torch.device("cpu"), lambda: False, os.environ.get("ENGINE", "auto"))
    for recipe in recipes:
        suite = {"suite": "drift", "version": 1, "description": "drift", "trials": [{"recipe": recipe}], "seeds": seeds}
        for trial in make_plan(suite, PlanOptions()).trials:
            engine = context.engine(trial.config)
            run_alone(steps_until(engine, min(RECIPES[recipe], engine.steps)))
            rows = engine.state.step_stats[: engine.state.batch].tolist()
            yield json.dumps({"recipe": recipe, "seed": trial.config.seed, "steps": rows})


def on(machine: Mapping[str, str], data: Path, seeds: str, recipes: str) -> Curves:
    """Train in a process of its own."""
    command = [sys.executable, __file__, "--data", str(data), "--seeds", seeds, "--recipes", recipes, "--worker"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **machine}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {(line["recipe"], line["seed"]): np.array(line["steps"]) for line in lines}


def apart(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (steps,) the largest difference of the four statistics up to every step, losses relative to 1 + value."""
    scale = 1 + np.where([name.startswith("loss") for name in STATISTICS], np.abs(first), 0.0)
    found: NDArray[np.float64] = np.maximum.accumulate((np.abs(first - second) / scale).max(axis=1))
    return found


def rows_of(
    what: str, recipe: str, pairs: list[NDArray[np.float64]], least: bool = False
) -> Iterator[dict[str, object]]:
    """Yield a row per step of interest: the largest of all pairs, or of other seeds the least."""
    for step in (step for step in AT if all(step <= len(each) for each in pairs)):
        values = [each[step - 1] for each in pairs]
        found = min(values) if least else max(values)
        yield {"what differs": what, "recipe": recipe, "step": step, "pairs": len(values), "apart": found}


def between_devices(published: Path) -> Iterator[dict[str, object]]:
    """Yield how far trials of one setting and seed lie apart that a CPU and a GPU trained, at first logged steps."""
    curves: dict[tuple[object, ...], dict[str, dict[int, dict[str, float]]]] = {}
    for file in sorted(published.glob("*/*/*--????????/trial.json")):
        config = json.loads(file.read_text())["config"]
        kind = json.loads((file.parent / "environment.json").read_text())["device"].partition(":")[0]
        values = tuple(str(config[name]) for name in ("recipe", "lr_g", "lr_d", "betas_g", "betas_d", "seed"))
        lines = (json.loads(line) for line in (file.parent / "history.jsonl").read_text().splitlines())
        logged = {line["step"]: line for line in lines if line["kind"] == "step" and line["step"] <= max(AT)}
        curves.setdefault(values, {})[kind] = logged
    gaps: dict[tuple[str, int], list[float]] = {}
    for (recipe, *_), kinds in curves.items():
        for step in kinds["cpu"].keys() & kinds["cuda"].keys() if kinds.keys() == {"cpu", "cuda"} else ():
            a, b = (np.array([[kinds[kind][step][name] for name in STATISTICS]]) for kind in ("cpu", "cuda"))
            gaps.setdefault((str(recipe), step), []).append(float(max(apart(a, b)[0], apart(b, a)[0])))
    for (recipe, step), found in sorted(gaps.items()):
        if step in AT:
            yield {
                "what differs": "CPU against GPU",
                "recipe": recipe,
                "step": step,
                "pairs": len(found),
                "apart": max(found),
            }


def table(rows: pd.DataFrame) -> str:
    """Return the rows as Markdown, a column per step."""
    wide = rows.pivot_table(index=["recipe", "what differs"], columns="step", values="apart", aggfunc="max")
    text = wide.map(lambda value: "" if pd.isna(value) else f"{value:.1e}").reset_index()
    return str(text.to_markdown(index=False, disable_numparse=True))


NOTE = (
    "Largest difference of the four logged statistics up to a step (losses relative to 1 + their size), over the seeds "
    "that were trained on both. Same weights, same order of images; against a GPU other noise, at that step alone, and "
    "losses relative to 1 + the smaller of both. "
    "The last row of a recipe is no drift: it is the least of two seeds."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the datasets")
    parser.add_argument("--seeds", default="0-2")
    parser.add_argument("--recipes", default=",".join(RECIPES), help="names with commas")
    parser.add_argument("--machines", default=";".join(MACHINES), help="names with semicolons, the first as it is")
    parser.add_argument("--out", type=Path, default=Path("results/published/audit"))
    parser.add_argument("--published", type=Path, default=Path("results/published"), help="records of CPUs and GPUs")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    data = data_root(asked.data).path
    if asked.worker:
        for line in curves(data, list(parse_seeds(asked.seeds) or ()), asked.recipes.split(",")):
            print(line, flush=True)
        return
    found = {
        name: on(machine, data, asked.seeds, asked.recipes)
        for name, machine in MACHINES.items()
        if name in asked.machines.split(";")
    }
    here, rows = found["as it is"], list[dict[str, object]]()
    for name, there in found.items():
        for recipe in asked.recipes.split(",") if name != "as it is" else ():
            rows += rows_of(name, recipe, [apart(here[key], there[key]) for key in here if key[0] == recipe])
    for recipe in asked.recipes.split(","):
        mine = [steps for (each, _), steps in here.items() if each == recipe]
        pairs = [np.abs(apart(a, b)) for a, b in combinations(mine, 2)]
        rows += rows_of("another seed (least)", recipe, pairs, least=True) if pairs else ()
    asked.out.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(rows)
    frame = pd.concat([frame, pd.DataFrame(between_devices(asked.published))], ignore_index=True)
    file = asked.out / "drift.csv"
    if file.exists():  # of other recipes
        earlier = pd.read_csv(file)
        earlier = earlier[earlier["what differs"] != "CPU against GPU"]
        frame = pd.concat([earlier[~earlier["recipe"].isin(asked.recipes.split(","))], frame], ignore_index=True)
    frame.to_csv(file, index=False, float_format="%.3g")
    (asked.out / "drift.md").write_text(f"{table(frame)}\n\n{NOTE}\n")
    print(table(frame))


if __name__ == "__main__":
    main()
