"""On real MNIST every measure puts real images before a trained generator, and that before an untrained one."""

from __future__ import annotations

import pytest
import torch
from support.trials import config_of

from gan_bench.config.measures import MEASURES
from gan_bench.config.trial import EvaluationConfig, Trial
from gan_bench.execution.preflight.baselines import real_baselines
from gan_bench.execution.trial.context import RunContext
from gan_bench.execution.trial.events import ignore
from gan_bench.execution.trial.run import run_trial
from gan_bench.execution.workers.inline import run_alone
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.reader import read_trial
from gan_bench.records.record import Status


@pytest.mark.slow
def test_real_trained_noise(tmp_path, real_data):
    config = config_of(
        "mnist-dcgan",
        lr_d=3e-4,
        betas_g=(0.5, 0.999),
        betas_d=(0.5, 0.999),
        epochs=2,
        train_limit=20_000,
        evaluation=EvaluationConfig(epochs=(0, 2), samples=2000, extractors=("lenet-mnist-v1",)),
    )
    trial = Trial(setting="dcgan", config=config)
    where = RunContext(real_data, torch.device("cpu"), lambda: False)
    directory = RecordDirectory.of(tmp_path, trial)
    directory.path.parent.mkdir()
    record = run_alone(run_trial(trial, directory, where, ignore))
    assert record.status is Status.DONE
    noise, trained = (
        {score["metric"]: score["value"] for score in line["scores"]} for line in read_trial(directory.path).evaluations
    )
    (anchor,) = real_baselines((trial,), context=where)
    real = {score["metric"]: score["value"] for score in anchor["scores"]}
    for name, measure in MEASURES.items():
        if measure.extractors:  # of other networks
            continue
        if name in ("copies", "authentic"):  # untrained generators copy nothing: they claim no such order
            continue
        if name == "density":  # all images of an untrained generator are one, and that one lies in one ball of five
            assert max(trained[name], noise[name]) < real[name]
            continue
        sign = 1 if measure.lower_is_better else -1
        in_order = sign * real[name] < sign * trained[name] < sign * noise[name]
        at_its_bound = name in ("collapsed", "classes") and real[name] == trained[name] != noise[name]
        assert in_order or at_its_bound, (name, real[name], trained[name], noise[name])
    assert real["copies"] == pytest.approx(0.01, abs=0.01)
