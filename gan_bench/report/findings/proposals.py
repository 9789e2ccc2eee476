"""Which run would settle most of what a study asks, with its time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial

from gan_bench.config.design import FEWEST, LOOKS
from gan_bench.config.trial import LIMITS, setting_key
from gan_bench.core.text import duration, plural
from gan_bench.records.command import CAPS, SHORTER, Command
from gan_bench.report.findings.command import planned_command, whole_command
from gan_bench.report.findings.questions import questions_of
from gan_bench.report.findings.standings import standings
from gan_bench.report.study.frame import ENDED, changed_between, is_left
from gan_bench.report.study.looks import fewest_seeds
from gan_bench.report.study.study import ScoredStudy, Study


def proposal(scored: ScoredStudy) -> str | None:
    """Propose the run that would settle most of a study under one protocol, with its expected time.

    Returns:
        One sentence, or None where no command is known that trains these trials or nothing more is worth it.
    """
    study, command = scored.study, planned_command(scored.study)
    if command is not None:
        return _unfinished(study) or _further(scored, command)
    if study.of_program is None or (standings(scored).is_decided and not is_left(study.asked_for).any()):
        return None
    return (
        f"Next: no command knows {study.of_program}, which the program that trained these trials registered itself; "
        "put it into a file that the suite names under plugins:, or go on in that program."
    )


def _unfinished(study: Study) -> str | None:
    """Propose what continues a study, or trains what is from before a change of images or code; else nothing."""
    trials = study.asked_for
    changed = changed_between(trials["made_of"], trials["made_of"])
    if changed and not _has_ended_whole(study):  # a run keeps what is of today, and sets the other records aside
        return f"Next: `{whole_command(study)}` trains again what is from before {changed} changed."
    unread = int((trials["status"] == "unreadable").sum())
    if left := int(is_left(trials).sum()) - unread:
        return f"Next: `{whole_command(study)}` continues; {plural(left, 'trial')} left."
    remedy = f"make {plural(unread, 'record')} readable (`gan-bench verify` names what)"
    return f"Next: {remedy}: verdicts wait for that." if unread else None


def _further(scored: ScoredStudy, command: Command) -> str | None:
    """Propose what says more than trials that have ended."""
    study, trials = scored.study, scored.study.asked_for
    if standings(scored).best is None or trials.empty or _has_ended_whole(study):
        return None
    if study.profile == "quick":  # more seeds of a training that was cut down say little of the suite's own
        return f"Next: the whole protocol, `{command.without(*CAPS).having('--profile', 'full')}`."
    if not seeds_help(scored):
        return f"Next: longer training, {_longer(study, command)}: more seeds would not help."
    if more := _more_seeds(scored, command):
        return more
    if failed := int((trials["status"] == "failed").sum()):  # by memory, time or a kill, which may not come again
        return f"Next: `{command} --retry-failed` tries {plural(failed, 'failed trial')} again."
    return _beyond_tests(scored, command)


def _beyond_tests(scored: ScoredStudy, command: Command) -> str | None:
    """Propose what helps where no test judges any rival of the best setting, as they are unlike it in other things."""
    found = standings(scored)
    if not found.rivals or len(found.of("unequal")) < len(found.rivals):
        return None
    return f"Next: longer training, {_longer(scored.study, command)}: no test compares settings that {found.unlike}."


def seeds_help(scored: ScoredStudy) -> bool:
    """False where no setting is better than untrained generators: more seeds of such a training settle nothing."""
    return not all(each.is_untrained for each in standings(scored).rows if each.median.n)


def _longer(study: Study, command: Command) -> str:
    """Say how a training becomes longer: without its caps, else with twice the epochs where all have as many."""
    epochs = sorted({int(config["epochs"]) for config in study.asked_for["config"]})
    longer = command.without(*SHORTER)
    if longer == command and len(epochs) > 1:
        return f"by more epochs in the suite, now {epochs[0]} to {epochs[-1]}"
    if longer == command:
        kept = (option for option in command.options if not str(option[-1]).startswith("epochs="))
        longer = replace(command, options=(*kept, ("--set", f"epochs={min(2 * epochs[0], LIMITS['epochs'][1])}")))
    return f"`{longer}`"


def _has_ended_whole(study: Study) -> bool:
    """True if the suite's own trials of all settings of a quick study have ended: their answer says what is next."""
    if study.profile != "quick":
        return False
    key = partial(setting_key, without=("profile", "evaluation", "epochs", "train_limit"))
    keys, status = study.whole["config"].map(key), study.whole["status"]
    ended, left = set(keys[status.isin(ENDED)]), set(keys[~status.isin(ENDED)])
    return set(study.trials["config"].map(key)) <= ended - left


def _more_seeds(scored: ScoredStudy, command: Command) -> str | None:
    """Propose the next look where a question is open, or the seeds of a fixed list: five where none can decide."""
    study, design = scored.study, scored.study.design
    if study.asked_for["group"].nunique() == 1:  # more seeds would compare it with nothing
        return None
    if design.extended:
        return "Next: new seeds, all declared before the first, in another folder or a new version of the suite."
    if design.is_fixed:
        others = (seed for seed in range(LOOKS[0]) if seed not in design.seeds)
        seeds = design.seeds if len(design.seeds) >= FEWEST else [*design.seeds, *others][: LOOKS[0]]
        groups = {str(group): set(members["seed"]) for group, members in study.asked_for.groupby("group")}
        if all(own.issuperset(design.of(own).seeds) for own in groups.values()) and len(design.seeds) >= FEWEST:
            return None
        rivals = len(groups) - 1
        can = ", which can decide" * (len(seeds) >= fewest_seeds(2 * rivals if rivals > 1 else 1))
        wanted = command.of_seeds(",".join(map(str, seeds)))
        return _with_time(study, groups, seeds, f"{len(seeds)} seeds{can}", wanted)
    looks = dict[str, int]()  # by setting that of the first of its questions
    for question in questions_of(scored):
        for setting in question.settings if question.next else ():
            looks[setting] = min(question.next or 0, looks.get(setting, question.next or 0))
    if not looks:
        return None
    look = min(looks.values())
    wanted = command.having("--until", "decided").having("--max-seeds", str(look))
    asked = [setting for setting, following in looks.items() if following == look]
    return _with_time(study, asked, design.first(look), f"the look at {look} seeds", wanted)


def _with_time(study: Study, settings: Collection[str], seeds: Sequence[int], what: str, command: Command) -> str:
    """Write a proposal with the time that the seeds take which settings do not have."""
    trials = study.trials
    each = trials[["train_seconds", "evaluate_seconds"]].dropna().sum(axis=1).groupby(trials["group"]).median()
    seconds = 0.0
    for setting in settings:  # settings without a time count as the mean of the others
        have = set(trials["seed"][trials["group"] == setting])
        seconds += sum(seed not in have for seed in seeds) * float(each.get(setting, each.mean()))
    on_one_core = (trials["device"] == "cpu").all() and (trials["threads"] == 1).all()  # of how many, who knows
    return f"Next: {what}, `{command}`, about {duration(seconds)}{' of one core' if on_one_core else ''}."
