"""What a plan meets where it will run: checked and found out there, known elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gan_bench.config.trial import Trial, TrialConfig
from gan_bench.execution.checks import check_plan
from gan_bench.execution.context import RunContext


@dataclass(frozen=True)
class Survey:
    """What was found out.

    Attributes:
        identities: What trials are made of there, as ``RunContext.identity`` says it, by the ids of their configs.
        parts: Every part that they use, as plural of its registry and name.
        remarks: What somebody should know who runs the plan.
    """

    identities: Mapping[str, Mapping[str, Any]]
    parts: tuple[tuple[str, str], ...] = ()
    remarks: list[str] = field(default_factory=list)

    def identity(self, config: TrialConfig) -> Mapping[str, Any]:
        """Return what a trial is made of."""
        return self.identities[config.id]


def survey(trials: tuple[Trial, ...], context: RunContext) -> Survey:
    """Check a plan, and find out what its trials are made of.

    Raises:
        UserError: Something the plan names does not exist or does not fit.
    """
    remarks = check_plan(trials, context)
    return Survey(
        {trial.config.id: context.identity(trial.config) for trial in trials},
        tuple(dict.fromkeys(part for trial in trials for part in context.parts(trial.config))),
        remarks,
    )
