"""A measure of one's own: one registration, and it is scored and shown everywhere."""

from __future__ import annotations

import base64
import io
import json
import zlib

import pytest
import torch
from support.scoring import score, seen
from support.studies import as_read, report_of
from support.trials import config_of, digits_trial

from gan_bench.config.measures import MEASURES, Measure
from gan_bench.config.trial import EvaluationConfig, Trial
from gan_bench.execution.trial.events import Scored
from gan_bench.metrics.measures.base import Estimate, FeatureMetric
from gan_bench.records.reader import StoredTrial
from gan_bench.report.study.table import number
from gan_bench.terminal.console import PlainConsole
from gan_bench.terminal.display import ProgressDisplay
from gan_bench.tracking.views import note, views


class Brightness(FeatureMetric):
    """Mean of all features."""

    gives = ("brightness",)

    def __init__(self, setup):
        super().__init__(setup)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, features, logits):
        self.total += features.double().mean(1).sum()

    def compute(self):
        return {"brightness": Estimate(float(self.total) / self.setup.samples)}


@pytest.fixture
def _brightness():
    MEASURES.register(
        "brightness",
        Measure(
            title="brightness",
            lower_is_better=False,
            description="mean of all features",
            metric=f"{__name__}:Brightness",
            roles=frozenset({"quality", "compared", "summary"}),
        ),
    )


@pytest.mark.usefixtures("_brightness")
def test_one_registration_is_all_that_a_new_measure_needs():
    found = score(200)["brightness"]
    assert found.value == pytest.approx(seen(200)[0].double().mean().item())
    scores = [s.to_json() for s in score(200).values()]

    config = config_of("mnist-mlp-z100", evaluation=EvaluationConfig(epochs=(0,), samples=200))
    trial = Trial(setting="a", config=config)
    last = {"loss_d": 1.0, "loss_g": 1.0, "d_real": 0.5, "d_fake": 0.5}
    stored = StoredTrial(
        path=None,
        trial={"id": trial.id, "name": "a", "setting": "a", "config": as_read(config)},
        environment={"device": "cpu"},
        history=[{"kind": "epoch", "epoch": 1, "step": 1, "train_seconds": 1.0, "last": last, "mean": last}],
        evaluations=[{"epoch": 1, "scores": scores}],
        record={"status": "done", "epochs": 1, "final": last, "train_seconds": 1.0, "evaluate_seconds": 1.0,
                "images": 1},
    )  # fmt: skip
    (settings,) = [t for t in report_of([stored]).all if "-settings-" in t.name]
    assert "brightness ↑" in [column.title for column in settings.columns]
    assert settings.rows["brightness"].iloc[0] == pytest.approx(found.value)

    lines = PlainConsole(file=io.StringIO(), width=500)
    with ProgressDisplay(lines, 1) as display:
        display(Scored(digits_trial(), 1, {s["name"]: s["value"] for s in scores}))
    assert f"brightness {number(found.value)}" in lines.file.getvalue()

    state = json.loads(views(["recorded"], 0, {}, (), {"brightness.recorded"})[0].value)["state"].partition(";")[2]
    columns = json.loads(zlib.decompress(base64.b64decode(state)))["selectedColumns"]
    assert "metrics.`brightness.mean`" in columns
    assert "| `brightness` | brightness | higher | mean of all features |" in note("test")
