"""What every check is made of: a function that raises with a sentence where the contract is broken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from gan_bench.config.recipes import RECIPES
from gan_bench.config.trial import EvaluationConfig, TrialConfig

CPU = torch.device("cpu")
LATENT = 16
Body = Callable[[], None]


class BrokenContractError(Exception):
    """A contract is broken; the message says how."""


def require(condition: object, fault: str) -> None:
    """Refuse what breaks a contract.

    Raises:
        BrokenContractError: The condition does not hold.
    """
    if not condition:
        raise BrokenContractError(fault)


def tiny_config(**changes: Any) -> TrialConfig:  # noqa: ANN401 - values of a config
    """Return a trial of four images a step, with some values changed."""
    values = RECIPES["mnist-mlp-z100"].values() | {"latent_dim": LATENT, "batch_size": 4, "dataset_repeats": 1}
    given = {"suite": "check", "suite_version": 1, "recipe": "check", "seed": 0, "profile": "quick"}
    evaluation = EvaluationConfig(epochs=(0,), samples=64)
    return TrialConfig(**{**values, **given, "evaluation": evaluation, **changes})
