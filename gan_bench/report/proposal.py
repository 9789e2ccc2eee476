"""What to run next: the command that would settle most, and how long it takes."""

from __future__ import annotations

import shlex

import pandas as pd

from gan_bench.core.text import duration, plural
from gan_bench.report.study import Study

SEEDS = 5
"""Seeds that are proposed where there is one."""
MOST_MORE = 10
"""Additional seeds above which a longer training or another question is the better use of time."""


def proposal(study: Study, factors: list[pd.DataFrame], *, scored: bool) -> str | None:
    """Propose the run that would settle most, with its expected time.

    Args:
        study: The study.
        factors: The comparisons of each factor.
        scored: Whether any trial has a score.

    Returns:
        One sentence, or None where the records do not say with what they were made or nothing more is worth it.
    """
    trials = study.trials
    left = int(trials["status"].isin(["planned", "unfinished", "interrupted", "damaged", "altered", "skipped"]).sum())
    command = study.command and _with(study.command, "--profile", study.profile)
    if left and command:
        rest = _without(_without(command, "--only"), "--seeds") if _narrows(command) else study.command
        return f"Next: `{rest}` continues; {plural(left, 'trial')} left."
    if not scored or not command:
        return None
    full = _with(command, "--profile", "full")
    whole = f"Next: the suite's whole protocol, `{full}`." if study.profile == "quick" else None
    if trials["group"].nunique() == 1:  # more seeds would compare it with nothing
        return whole
    have = sorted({int(seed) for seed in trials["seed"]})
    needed = [
        int(row["needed"])
        for rows in factors
        for _, row in rows.iterrows()
        if row["found"] in ("undecided", "probable") and not pd.isna(row["needed"])
    ]
    total = SEEDS if len(have) < SEEDS else min([n for n in needed if n > len(have)], default=None)
    if total is None or total - len(have) > MOST_MORE:
        return whole
    more = [seed for seed in range(total + len(have)) if seed not in have][: total - len(have)]
    each = trials[["train_seconds", "evaluate_seconds"]].dropna().sum(axis=1).groupby(trials["group"]).median()
    seconds = each.mean() * trials["group"].nunique() * len(more)  # settings without a time count as their mean
    seeds = ",".join(map(str, [*have, *more]))
    why = "one seed cannot say" if len(have) == 1 else "would decide more"
    wanted = f"`{_with(command, '--seeds', seeds)}`"
    return f"Next: {plural(len(more), 'more seed')} ({why}): {wanted}, about {duration(seconds)}{_of_one_core(trials)}."


def _with(command: str, option: str, value: str) -> str:
    """Return a command with an option set."""
    words = shlex.split(command)
    if option in words:
        words[words.index(option) + 1] = value
        return shlex.join(words)
    return shlex.join([*words, option, value])


def _without(command: str, option: str) -> str:
    """Return a command without an option."""
    words = shlex.split(command)
    if option in words:
        at = words.index(option)
        del words[at : at + 2]
    return shlex.join(words)


def _narrows(command: str) -> bool:
    """Say whether a command chooses some of a suite's trials."""
    return not {"--only", "--seeds"}.isdisjoint(shlex.split(command))


def _of_one_core(trials: pd.DataFrame) -> str:
    """Name the core where trials had one thread each: how many cores there will be, records do not know."""
    on_cpu = (trials["device"] == "cpu").all()
    return " of one core" if on_cpu and (trials["threads"] == 1).all() else ""
