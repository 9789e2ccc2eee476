"""What MLflow holds, asked in a process of its own: importing mlflow is slow and warns."""

from __future__ import annotations

import json

from support.commands import python_code

_CODE = """
import sys, json
from mlflow import MlflowClient
client = MlflowClient(sys.argv[1])
experiment = client.get_experiment_by_name(sys.argv[2])
print(json.dumps([
    {"trial": run.data.tags["gan_bench.trial"], "status": run.info.status,
     "params": run.data.params, "metrics": sorted(run.data.metrics),
     "steps": [m.step for m in client.get_metric_history(run.info.run_id, "train/loss_d")]}
    for run in client.search_runs([experiment.experiment_id], "tags.`gan_bench.trial` LIKE '%'")
]))
"""


_TAGS = """
import sys, json
from mlflow import MlflowClient
client = MlflowClient(sys.argv[1])
print(json.dumps([
    dict(run.data.tags) for experiment in client.search_experiments()
    for run in client.search_runs([experiment.experiment_id], max_results=5000)
]))
"""


def tagged_runs(uri):
    """Return the tags of every run."""
    return _ask(_TAGS, uri)


def mlflow_runs(results, experiment):
    """Return trial, status, parameters, names of metrics and logged epochs of every run."""
    return _ask(_CODE, f"sqlite:///{results / 'mlflow.db'}", experiment)


def _ask(code, *arguments):
    done = python_code(code, *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
