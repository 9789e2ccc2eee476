"""A small suite that trains in seconds: two settings of two seeds on the digits that come with scikit-learn."""

from __future__ import annotations

import gan_bench as gb

SMALL = """
suite: small
version: 1
trials:
  - recipe: mnist-mlp-z100
    set: {dataset: digits, epochs: 2}
    sweep: {lr: [2e-4, 3e-4]}
seeds: [0, 1]
evaluate: {epochs: [1, 2], samples: 64}
"""


def train_small(folder, suite=SMALL):
    """Train a suite, the small one where none is given, into ``folder/results``, full profile, without MLflow.

    Returns:
        The results folder; the suite's file lies beside it.
    """
    (folder / "small.yaml").write_text(suite)
    gb.run(folder / "small.yaml", results=folder / "results", executor="inline", profile="full")
    return folder / "results"
