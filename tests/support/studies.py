"""Studies of trials that never ran: their records in memory and on disk, with the scores that a test gives them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from gan_bench.config.trial import UNWRITTEN_DEFAULTS, EvaluationConfig
from gan_bench.records import writer
from gan_bench.records.json_files import write_object
from gan_bench.records.layout import PLAN, RecordDirectory
from gan_bench.records.plan import Suites, write_plan
from gan_bench.records.reader import StoredTrial
from gan_bench.records.record import Status, TrialRecord, best_scores
from gan_bench.report.build import build_report
from gan_bench.report.findings.reproduction import article_tables
from gan_bench.report.page.page import Chapter
from gan_bench.report.study.frame import build_frames, quick_text
from gan_bench.report.study.studies import studies
from support.records import edit
from support.trials import digits_trial

H200, EPYC = "NVIDIA H200", "AMD EPYC"


def as_read(config):
    """A config as the reader gives it: with all fields."""
    return {**UNWRITTEN_DEFAULTS, **config.to_json()}


def stored(trial, fid=None, status="done", reason=None, early=None, samples=100):
    config = trial.config
    score = {"metric": "fid", "name": f"fid[lenet-mnist-v1,train,{samples}]"}
    evaluations = [
        {"epoch": epoch, "scores": [{**score, "value": value}]}
        for epoch, value in ((0, 300.0), (1, early), (config.epochs, fid))
        if value is not None
    ]
    final = {"loss_d": 1.0, "loss_g": 0.7, "d_real": 0.6, "d_fake": 0.4}
    record = {"status": status, "reason": reason, "epochs": config.epochs, "images": 600, "final": final}
    return StoredTrial(
        path=Path("x"),
        trial={"id": trial.id, "name": trial.name, "setting": trial.setting, "config": as_read(config)},
        environment={"device": "cpu"},
        history=[],
        evaluations=evaluations,
        record={**record, "train_seconds": 2.0, "evaluate_seconds": 1.0},
    )


@quick_text()
def studies_of(items, **said):
    """The studies of records in memory; of their suites' plans is known what is said here beside their versions."""
    frames = build_frames(items)
    versions = frames.trials.groupby("suite")["suite_version"].max().to_dict()
    return studies(frames, Suites(**{"versions": versions, **said}))


@quick_text()
def report_of(items, **said):
    """The tables and answers of records in memory, study by study, and all tables."""
    found = studies_of(items, **said)
    chapters = [Chapter(study, found) for study in found]
    return SimpleNamespace(
        studies=[(each.study, Later(partial(getattr, each, "tables")), each.answers) for each in chapters],
        all=Later(lambda: [*(made for each in chapters for made in each.tables), *article_tables(build_frames(items))]),
    )


class Later(Sequence):
    """A list that is made when it is first looked at."""

    def __init__(self, make):
        self._make = make

    @cached_property
    @quick_text()
    def _made(self):
        return self._make()

    def __len__(self):
        return len(self._made)

    def __getitem__(self, index):
        return self._made[index]


def with_lr(trial, lr):
    return replace(
        trial,
        setting=f"{trial.setting},lr={lr:g}",
        config=replace(trial.config, lr_g=lr, lr_d=lr),
    )


def write(
    results,
    trial,
    fid,
    *,
    setting=None,
    status=Status.DONE,
    draw_std=0.5,
    metric="fid",
    gain=50.0,
    generated=64,
    extractor="lenet-mnist-v1",
    **more,
):
    """Write the record of a trial that never ran."""
    directory = RecordDirectory.of(results, trial)
    shown = replace(trial, setting=setting or trial.setting)
    plan = directory.path.parent / PLAN
    if not plan.exists():  # of before designs were declared
        plan.parent.mkdir(parents=True, exist_ok=True)
        write_object(plan, {"schema": 1, "suite": trial.config.suite, "version": 1, "trials": []})
    writer.begin(directory, shown, {"schema": 1, "started": "2026-01-01T00:00:00+00:00", "device": "cpu"})
    values = {"loss_d": 1.0, "loss_g": 0.7, "d_real": 0.6, "d_fake": 0.4}
    epochs = trial.config.epochs
    writer.append(
        directory.history,
        [
            {
                "kind": "epoch",
                "epoch": e,
                "step": e,
                "images": 600 * e // epochs,
                "train_seconds": float(e),
                "mean": values,
                "last": values,
            }
            for e in range(1, epochs + 1)
        ],
    )
    score = {
        "name": f"{metric}[{extractor},train,{generated}]", "metric": metric, "extractor": extractor,
        "split": "train", "real": 64, "generated": generated, "std": None, "draw_std": draw_std,
    }  # fmt: skip
    others = [
        {**score, "name": f"{name}[{extractor},train,{generated}]", "metric": name, "value": value}
        for name, value in more.items()
    ]
    lines = [
        {"epoch": e, "train_seconds": float(e), "scores": [{**score, "value": fid + gain * (epochs - e)}, *others]}
        for e in range(epochs + 1)
    ]
    writer.append(directory.evaluations, lines)
    for epoch in range(epochs + 1):
        writer.save_sample(directory, epoch, np.full((242, 242, 3), 30 * epoch % 256, np.uint8))
    writer.finish(
        directory,
        TrialRecord(status=status, reason=None if status is Status.DONE else "loss_d is not finite at step 3",
                    epochs=epochs, steps=epochs, images=600, final=values, train_seconds=2.0, evaluate_seconds=1.0)
    )  # fmt: skip


def publish(results, machine, start=40.0, settings=3, seeds=5, status=Status.DONE, generated=64, **scores):
    """Write a folder of settings whose scores lie 20 % apart, as a machine would have trained them."""
    trials = []
    for i in range(settings):
        for seed in range(seeds):
            looks = EvaluationConfig(epochs=(0, 1, 2), samples=generated, extractors=("lenet-mnist-v1",))
            trial = with_lr(digits_trial(seed, evaluation=looks), 1e-4 * (i + 1))
            trials.append(trial)
            value = start * 1.2**i * (1 + 0.01 * ((seed * 7) % 5 - 2))
            ends = status if (i, seed) == (0, 0) else Status.DONE
            write(results, trial, value, status=ends, gain=1.0, collapsed=0.0, generated=generated, **scores)
            end_as_a_run_does(RecordDirectory.of(results, trial), machine, ends)
    write_plan(results, "test", 1, trials, "gan-bench run test")
    return results


def end_as_a_run_does(directory, machine, status):
    """Give a record a machine, a generator, and an end that fits its lines."""
    edit(directory.environment, device_name=machine, libraries={"torch": "2.15"})
    lines = [json.loads(line) for line in directory.evaluations.read_text().splitlines()]
    scores = [(line["epoch"], {score["name"]: score["value"] for score in line["scores"]}) for line in lines]
    last = json.loads(directory.history.read_text().splitlines()[-1])
    done = status is Status.DONE
    if done:
        directory.weights.write_bytes(b"weights")
    record = TrialRecord(
        status=status,
        reason=None if done else "loss_d is not finite at step 3",
        epochs=len(lines) - 1,
        steps=last["step"],
        images=last["images"],
        final={**last["mean"], **scores[-1][1]},
        best=best_scores(scores),
        train_seconds=2.0,
        weights_sha256=hashlib.sha256(b"weights").hexdigest() if done else None,
    )
    writer.finish(directory, record)


def table(tables, part):
    (found,) = [t for t in tables if part in t.name]
    return found


HOSTILE = {
    "script": "<script>alert(1)</script><img src=x onerror=alert(2)>",
    "end": "</script></bdi></table><svg onload=alert(3)>",
    "latex": r"100%_$x^2 & #1 ~ \input{/etc/passwd} {a}",
    "formula": '=cmd|"/c calc"!A1',
    "rtl": "\u202eevil \u05d0\u05d1\u05d2",
    "long": "x" * 200,
    "markdown": "| [a](javascript:alert(4)) `b` |",
}
"""Names that are code somewhere."""


def hostile_results(folder):
    """Write records whose settings have hostile names, and their report."""
    for i, name in enumerate(HOSTILE.values()):
        for seed in range(2):
            lr = 1e-4 * (i + 1)
            trial = with_lr(digits_trial(seed), lr)
            write(folder, replace(trial, setting=f"safe{i}"), 50.0 + i + seed, setting=name)
    bad = with_lr(digits_trial(7), 5e-3)
    write(folder, replace(bad, setting="bad"), 90.0, status=Status.DIVERGED)
    build_report(folder)
    return folder
