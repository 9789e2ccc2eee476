"""Before a suite runs: which seeds were declared, and what those that are asked for make of the verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from gan_bench.config.design import LOOKS, Design
from gan_bench.config.suite import Plan
from gan_bench.config.trial import setting_key
from gan_bench.core.errors import UserError
from gan_bench.core.text import plural
from gan_bench.records.layout import PLAN
from gan_bench.records.plan import declaration_lost, design_so_far


def design_of_looks(plan: Plan, results: Path, max_seeds: int | None) -> Design:
    """Return the design that a run until all is decided follows: that of the records, else the suite's own.

    Args:
        plan: The plan.
        results: The results folder.
        max_seeds: How many seeds a setting may get, or None for all of the design.

    Raises:
        UserError: The suite has no looks, seeds were added that were not declared, or the first look has more seeds
            than are allowed.
    """
    profile, where = str(plan.trials[0].config.profile), results / plan.suite
    datasets = dict.fromkeys(trial.config.dataset for trial in plan.trials)
    begun = [design_so_far(results, plan.suite, plan.version, profile, dataset) for dataset in datasets]
    designs = {plan.design.following(each, ()) for each in begun}
    if len(designs) > 1:
        raise UserError(f"the datasets of {where} were begun with different seeds; run them one by one with --only")
    (design,), known = designs, next((each for each in begun if each), None)
    if design.extended:
        raise UserError(
            f"{where} has seeds that are not known to have been declared first, so nothing is decided there; choose "
            "another folder with --results"
        )
    if design.is_fixed:
        fresh = [max(design.seeds) + 1 + i for i in range(LOOKS[-1])]
        begun_with = f" and `seeds: {fresh}`, which were not looked at"
        elsewhere = ", and choose another folder with --results" if known else ""
        raise UserError(
            f"{plan.suite} has a fixed list of {plural(len(design.seeds), 'seed')}, which is judged once and may not "
            f"grow; write `looks: {list(LOOKS)}`{begun_with if known else ' in place of `seeds`'} in the suite"
            f"{elsewhere}"
        )
    if max_seeds is not None and max_seeds < design.looks[0]:
        raise UserError(f"--max-seeds must be at least {design.looks[0]}, the first look of {plan.suite}")
    return design


def up_to_looks(plan: Plan, design: Design, targets: Mapping[str, int]) -> Plan:
    """Leave of a plan the seeds of the looks that settings are to reach, in the order that was declared.

    Args:
        plan: A plan with every seed up to the last of these looks.
        design: What was declared.
        targets: The look that settings are to reach, by ``setting_key``; others reach the first.
    """
    order = {seed: place for place, seed in enumerate(design.seeds)}
    kept = [
        trial
        for trial in plan.trials
        if order[trial.config.seed] < targets.get(setting_key(trial.config.to_json()), design.looks[0])
    ]
    return replace(plan, trials=tuple(kept), design=design)


def declaration_remark(results: Path, plan: Plan) -> Iterator[str]:
    """Yield that nothing will be decided: it is not known which seeds were declared, or others are added."""
    seeds = dict[tuple[str, str], set[int]]()
    for trial in plan.trials:
        seeds.setdefault((str(trial.config.profile), trial.config.dataset), set()).add(trial.config.seed)
    if seeds.keys() & declaration_lost(results, plan.suite, plan.version):
        yield (
            f"which seeds {results / plan.suite} was begun with is not known, as its {PLAN} was lost or replaced: "
            "nothing is decided there; choose another folder with --results, or raise the version of the suite"
        )
        return
    for (profile, dataset), asked in seeds.items():
        known = design_so_far(results, plan.suite, plan.version, profile, dataset)
        design = plan.design.following(known, sorted(asked))
        if design.extended and not (known and known.extended):
            added = ", ".join(map(str, sorted(asked - set(design.seeds))))
            yield (
                f"not declared before the first seed: {added}; what was declared are the seeds "
                f"{', '.join(map(str, design.seeds))}. With these trials nothing is decided in {results / plan.suite} "
                "any more"
            )
