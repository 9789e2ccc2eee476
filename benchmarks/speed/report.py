"""How long a report takes, how much memory and how large its page is, on records made up for the purpose.

Usage: python benchmarks/speed/report.py [--settings 40] [--seeds 50] [--epochs 300] [--out DIR]

Every trial has a history with ``--epochs`` epochs and three steps of each, eight evaluations and their sample grids
(of real digits). The report is made by the command that users type, in a process of its own. Needs about 300 KB of
disk for each trial of 300 epochs.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track
from sklearn.datasets import load_digits

from gan_bench.config.recipes import RECIPES
from gan_bench.config.trial import EvaluationConfig, Trial, TrialConfig
from gan_bench.execution.trial.environment import describe_environment
from gan_bench.records import writer
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.plan import write_plan
from gan_bench.records.record import Status, TrialRecord, best_scores

RECIPE = "mnist-mlp-z100"
STEPS = 468
"""Steps of an epoch: 60,000 images in batches of 128."""
SAMPLES = 10_000
EXTRACTOR = "lenet-mnist-v1"
METRICS = {"fid": 100.0, "is": 5.0, "kid": 0.5, "precision": 0.5, "recall": 0.5}

REPORT = """
import atexit, runpy, sys
from pathlib import Path
def say():
    print(next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line), file=sys.stderr)
atexit.register(say)
runpy.run_module("gan_bench.report", run_name="__main__")
"""
"""The report as users call it, which then says how much memory it held, in KiB. Linux only: ``ru_maxrss`` would count
what this process held when it forked."""


def trials(settings: int, seeds: int, epochs: int) -> list[Trial]:
    """Return trials that differ in learning rate, betas and seed."""
    looks = tuple(sorted({0, *(round(epochs * share) for share in (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1))}))
    evaluation = EvaluationConfig(epochs=looks, samples=SAMPLES, extractors=(EXTRACTOR,))
    plain = {"suite": "scale", "suite_version": 1, "recipe": RECIPE, "profile": "full", "evaluation": evaluation}
    config = TrialConfig(**{**RECIPES[RECIPE].values(), **plain, "seed": 0, "epochs": epochs, "log_every": STEPS // 3})
    rates = [round(1e-4 * (1 + index), 6) for index in range((settings + 1) // 2)]
    made = []
    for rate, betas in itertools.islice(itertools.product(rates, ((0.5, 0.999), (0.9, 0.999))), settings):
        changed = replace(config, lr_g=rate, lr_d=rate, betas_g=betas, betas_d=betas)
        name = f"{RECIPE},lr={rate:g},beta1={betas[0]:g}"
        made += [Trial(setting=name, config=replace(changed, seed=seed)) for seed in range(seeds)]
    return made


def write(results: Path, trial: Trial, environment: dict[str, object], grids: list[bytes]) -> None:
    """Leave the record of a trial that never ran."""
    directory, config = RecordDirectory.of(results, trial), trial.config
    rng = np.random.default_rng([config.seed, round(1e6 * config.lr_g), round(10 * config.betas_g[0])])
    writer.begin(directory, trial, environment)
    history, mean = [], {}
    for epoch in range(1, config.epochs + 1):
        mean = dict(zip(("loss_d", "loss_g", "d_real", "d_fake"), rng.uniform(0.3, 1.5, 4).tolist(), strict=True))
        for third in (1, 2, 3):
            step = (epoch - 1) * STEPS + third * config.log_every
            history.append({"kind": "step", "epoch": epoch, "step": step, **mean})
        done = {"epoch": epoch, "step": epoch * STEPS, "images": epoch * 60_000, "train_seconds": epoch * 4.0}
        history.append({"kind": "epoch", **done, "mean": mean, "last": mean})
    writer.append(directory.history, history)
    scores, lines = [], []
    for index, epoch in enumerate(config.evaluation.epochs):
        values = {metric: size * float(rng.lognormal(1 / (1 + epoch), 0.1)) for metric, size in METRICS.items()}
        names = {metric: f"{metric}[{EXTRACTOR},train,{SAMPLES}]" for metric in METRICS}
        scores.append((epoch, {names[metric]: value for metric, value in values.items()}))
        protocol = {"extractor": EXTRACTOR, "split": "train", "real": 60_000, "generated": SAMPLES}
        rest = {"std": None, "kept": None, "draw_std": None, "note": None}
        found = [{"name": names[m], "metric": m, "value": v, **protocol, **rest} for m, v in values.items()]
        done = {"epoch": epoch, "step": epoch * STEPS, "images": epoch * 60_000, "train_seconds": epoch * 4.0}
        lines.append({**done, "seconds": 2.0, "scores": found})
        directory.sample(epoch).write_bytes(grids[(config.seed + index) % len(grids)])
    writer.append(directory.evaluations, lines)
    writer.finish(
        directory,
        TrialRecord(
            status=Status.DONE,
            reason=None,
            epochs=config.epochs,
            steps=config.epochs * STEPS,
            images=config.epochs * 60_000,
            final={**mean, **scores[-1][1]},
            best=best_scores(scores),
            train_seconds=config.epochs * 4.0,
            evaluate_seconds=2.0 * len(scores),
        ),
    )


def digit_grids(count: int) -> list[bytes]:
    """Lay real digits into grids of 8 by 8, as large as those of 28x28 images, as PNG."""
    digits = np.kron(load_digits().images * 15, np.ones((3, 3))).astype(np.uint8)
    framed = np.pad(digits, ((0, 0), (3, 3), (3, 3)))[: 64 * count].reshape(count, 8, 8, 30, 30)
    wide = framed.transpose(0, 1, 3, 2, 4).reshape(count, 240, 240)
    return [_png(np.repeat(grid[:, :, None], 3, axis=2)) for grid in wide]


def _png(grid: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(grid).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--out", type=Path, help="keep records and report here, and use those that are here")
    options = parser.parse_args()
    planned = trials(options.settings, options.seeds, options.epochs)
    with tempfile.TemporaryDirectory() as scratch:
        results = options.out or Path(scratch)
        environment, grids = describe_environment(torch.device("cpu"), "fast"), digit_grids(20)
        write_plan(results, "scale", 1, planned)
        for trial in track(planned, "writing records"):
            if not RecordDirectory.of(results, trial).record.exists():  # kept by an earlier call
                write(results, trial, environment, grids)
        started = time.perf_counter()
        command = [sys.executable, "-c", REPORT, str(results)]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True)
        seconds = time.perf_counter() - started
        peak = int(done.stderr.split()[-2])
        page = (results / "report" / "report.html").stat().st_size
    measured = {"trials": len(planned), "epochs": options.epochs, "seconds": round(seconds, 1)}
    print(json.dumps({**measured, "peak_mb": round(peak * 1024 / 1e6), "page_mb": round(page / 1e6, 1)}))


if __name__ == "__main__":
    main()
