"""Questions of a study, their states, and the run that would settle most of them, with its time."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from gan_bench.config.design import FEWEST, LOOKS
from gan_bench.config.measures import MEASURES, primary_measure
from gan_bench.config.naming import means
from gan_bench.config.trial import LIMITS, setting_key
from gan_bench.core.text import as_argument, duration, matches, plural
from gan_bench.records.command import CAPS, Command
from gan_bench.report.findings.factors import EPOCHS, WITHIN, factors_of
from gan_bench.report.findings.standings import standings
from gan_bench.report.study.frame import ENDED, changed_between, is_left
from gan_bench.report.study.looks import fewest_seeds
from gan_bench.report.study.study import ScoredStudy, Study


def last_command(study: Study) -> Command:
    """Return the last command of a study's suite, for any part of it; empty if no plan has one."""
    return Command.parse(study.command or "")


def verify_command(study: Study) -> Command:
    """Return the command that verifies the records of a study's results folder."""
    results = as_argument(last_command(study).value("--results") or "results")
    return Command(("gan-bench", "verify", results), ())


def planned_command(study: Study) -> Command | None:
    """Return the command that trains a study's own trials.

    A suite's plan keeps the last command alone, of whichever part of it; what it chose and changed need not be what
    this study was made with. Its other words are kept: the suite's file, the results folder, where trials run.

    Returns:
        The command, without seeds; None where the plan does not keep one, or a program registered what they are of.
    """
    last, trials = last_command(study), study.of_command
    configs, names = list(trials["config"]), list(trials["name"])
    command = last.training(configs, study.suite, study.profile) if study.command and not study.of_program else None
    if command is None:
        return None
    only = last.value("--only")
    if only and all(means(name, config, only) for name, config in zip(names, configs, strict=True)):
        return command.having("--only", only)
    pattern = _pattern(names, study.others["name"]) if len(study.others) else None
    return command.having("--only", pattern) if pattern else command


def whole_command(study: Study) -> Command | None:
    """Return the command that trains all of these trials, or None, as for parts of a program.

    It names their seeds where some were chosen or are of later looks: the suite alone may have fewer.
    """
    command, design = planned_command(study), study.design
    seeds = sorted({int(seed) for seed in study.asked_for["seed"]})
    if command is None or not seeds:
        return command
    are_of_suite = set(seeds) <= set(design.first(design.looks[0])) and not last_command(study).value("--seeds")
    if (are_of_suite or command.value("--until")) and not design.extended:
        look, most = max(design.look_of(seed) or 0 for seed in seeds), command.value("--max-seeds")
        return command.having("--max-seeds", str(max(look, int(most)))) if most else command
    return command.of_seeds(",".join(map(str, seeds)))


def _pattern(names: list[str], others: Iterable[str]) -> str | None:
    """Return a glob that matches these names and none of the others, or None."""
    prefix = os.path.commonprefix(names)  # noqa: RUF071 - names, no paths
    prefix = prefix.partition(",")[0].rstrip("-")
    is_theirs = not prefix or any(matches(other, f"{prefix}*") for other in others)
    return None if is_theirs else f"{prefix}*"


WORDS = ("decided", "equivalent", "tie", "undecided", "not judged")
"""States of questions in display order."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question of a study: a comparison and its state.

    Attributes:
        text: What is asked.
        state: One of ``WORDS``.
        next: The look that may answer it, or None where no look will.
        settings: Group keys of the settings that it takes.
    """

    text: str
    state: str
    next: int | None
    settings: frozenset[str]


def questions(study: Study) -> Iterator[Question]:
    """Yield the questions of a study under all protocols that new seeds will have."""
    for scored in study.scored:
        if not scored.added:
            yield from questions_of(scored)


def questions_of(scored: ScoredStudy) -> Iterator[Question]:
    """Yield a question for every pair of a factor's levels by recipe, and for every rival of the best setting.

    Epochs and moving averages are compared within trials, and settings with other values held are details of a factor:
    they ask for no seeds of their own.
    """
    group = {label: key for key, label in scored.study.values.labels.items()}
    for factor in factors_of(scored):
        for pair in () if factor.held or factor.name in WITHIN else factor.primary:
            yield Question(
                text=f"{factor.name}, {pair.recipe}: {pair.first_level} or {pair.second_level}",
                state=pair.found,
                next=pair.following,
                settings=frozenset(group[label] for label in pair.settings),
            )
    found = standings(scored)
    for each in (*found.of("behind"), *found.of("tied", "ahead"), *found.of("unequal"), *found.of("unknown")):
        best, verdict = found.ranked[0].label, each.against.found if each.against else "not judged"
        yield Question(
            text=f"best setting: {best} or {each.label}",
            state="undecided" if verdict == "probable" else verdict,  # the best setting is never called probable
            next=each.next,
            settings=frozenset((group[best], group[each.label])),
        )


def counted(asked: Iterable[Question]) -> str:
    """Count questions by state: ``3 decided, 2 undecided``."""
    found = Counter(each.state for each in asked)
    return ", ".join(f"{found[word]} {word}" for word in WORDS if found[word])


def proposal(scored: ScoredStudy, beside: Iterable[Study] = ()) -> str | None:
    """Propose the run that would settle most of a study under one protocol, with its expected time.

    Args:
        scored: The study under the protocol.
        beside: All studies of its results folder.

    Returns:
        One sentence, or None where no command is known that trains these trials or nothing more is worth it.
    """
    study, command = scored.study, planned_command(scored.study)
    if command is not None:
        return _unfinished(study) or _further(scored, command, beside)
    if study.of_program is None or (standings(scored).is_decided and not is_left(study.asked_for).any()):
        return None
    return (
        f"Next: no command knows {study.of_program}, which the program that trained these trials registered itself; "
        "put it into a file that the suite names under plugins:, or go on in that program."
    )


def _unfinished(study: Study) -> str | None:
    """Propose the command that continues a study, or retrains trials after a change of images or code; else None."""
    trials = study.asked_for
    changed = changed_between(trials["made_of"], trials["made_of"])
    # a run keeps records of the present images and code, and moves the others aside
    if changed and not _has_ended_whole(study):
        failed, command = len(_failed_seeds(study)), whole_command(study)
        again = f"`{command} --retry-failed` tries {plural(failed, 'failed trial')} and" if failed else f"`{command}`"
        return f"Next: {again} trains again what is from before {changed} changed."
    unread = int((trials["status"] == "unreadable").sum())
    if left := int(is_left(trials).sum()) - unread:
        return f"Next: `{whole_command(study)}` continues; {plural(left, 'trial')} left."
    remedy = f"make {plural(unread, 'record')} readable (`{verify_command(study)}` names what)"
    return f"Next: {remedy}: verdicts wait for that." if unread else None


def _further(scored: ScoredStudy, command: Command, beside: Iterable[Study]) -> str | None:
    """Propose a run beyond the ended trials."""
    study, trials = scored.study, scored.study.asked_for
    if trials.empty or _has_ended_whole(study):
        return None
    failed, again = _failed_seeds(study), None
    if failed:  # name the seeds, as neither the suite nor a run until all is decided may include them
        retry = command.of_seeds(",".join(map(str, sorted(set(failed)))))
        again = f"Next: `{retry} --retry-failed` tries {plural(len(failed), 'failed trial')} again"
        known = trials[trials["seed"].isin(failed)]
        new = trials["group"].nunique() * len(set(failed)) - len(known.drop_duplicates(["group", "seed"]))
        again += f", and trains {plural(new, 'other trial')} of these seeds." if new else "."
    if 2 * len(failed) >= len(trials) or standings(scored).best is None:
        return again
    if study.profile == "quick":  # more seeds of a training that was cut down say little of the suite's own
        return f"Next: the whole protocol, `{command.without(*CAPS).having('--profile', 'full')}`."
    if not seeds_help(scored):
        return _longer(scored, command, beside, "no setting is better than untrained generators yet")
    more = _more_seeds(scored, command)
    if again and more:  # lost seeds withhold verdicts, and only the retry trains them
        return f"{again.removesuffix('.')}; then {more.removeprefix('Next: ')}"
    return more or again or _beyond_tests(scored, command, beside)


def _failed_seeds(study: Study) -> list[int]:
    """Return the seeds of failed trials: memory, time or a kill need not recur."""
    return list(study.asked_for["seed"][study.asked_for["status"] == "failed"])


def _beyond_tests(scored: ScoredStudy, command: Command, beside: Iterable[Study]) -> str | None:
    """Propose a run if no rival of the best setting can be tested, as some generators have not learnt yet."""
    rivals, asked = standings(scored).rivals, set(scored.study.asked_for["label"])
    if not rivals or not all(" collapsed in " in each.why and each.label in asked for each in rivals):
        return None
    return _longer(scored, command, beside, "no test compares settings that collapsed at a different rate")


def seeds_help(scored: ScoredStudy) -> bool:
    """False if no setting beats untrained generators, so that more seeds settle nothing."""
    return not all(each.is_untrained for each in standings(scored).rows if each.median.n)


def _longer(scored: ScoredStudy, command: Command, beside: Iterable[Study], why: str) -> str:
    """Propose twice the epochs if all trials have as many, or name the study that has them; full studies have no cap.

    Where training on has made scores worse, something else is proposed.
    """
    study = scored.study
    if _was_better_earlier(scored):
        earlier = f"{MEASURES[primary_measure()].title} was better one evaluation earlier"
        return f"Next: another learning rate or loss, not a longer training: {why}, and {earlier}."
    epochs = sorted({int(config["epochs"]) for config in study.asked_for["config"]})
    wanted = min(2 * epochs[-1], LIMITS["epochs"][1])
    if ended := next((each for each in beside if each is not study and _has_ended_longer(study, wanted, each)), None):
        return f"Next: read {ended.title}: it has longer trainings of these settings."
    if len(epochs) > 1:
        return f"Next: longer training, by more epochs in the suite, now {epochs[0]} to {epochs[-1]}: {why}."
    kept = (each for each in command.options if each[0] != "--epochs" and not each[-1].startswith("epochs="))
    longer = replace(command, options=(*kept, ("--set", f"epochs={wanted}")))
    return f"Next: longer training, `{longer}`: {why}."


def _was_better_earlier(scored: ScoredStudy) -> bool:
    """True if all recipes had a better score, decided or probable, one evaluation before the end of training."""
    pairs = (pair for factor in factors_of(scored) if factor.name == EPOCHS for pair in factor.primary)
    last = {pair.recipe: pair for pair in pairs}.values()
    return len(last) > 0 and all(pair.is_sure and pair.winner == pair.first_level for pair in last)


def _has_ended_longer(study: Study, epochs: int, other: Study) -> bool:
    """True if all settings of a study ended in another study, in all seeds, with at least so many epochs."""
    key = partial(setting_key, without=("suite", "suite_version", "profile", "evaluation", "epochs"))
    longer = other.trials[other.trials["epochs"] >= epochs]
    ended = longer[~longer["group"].isin(longer["group"][~longer["status"].isin(ENDED)]) & (longer["status"] == "done")]
    return set(study.asked_for["config"].map(key)) <= set(ended["config"].map(key))


def _has_ended_whole(study: Study) -> bool:
    """True if the full trials of all settings of a quick study have ended, whose answer has its own proposal."""
    if study.profile != "quick":
        return False
    key = partial(setting_key, without=("profile", "evaluation", "epochs", "train_limit"))
    keys, status = study.whole["config"].map(key), study.whole["status"]
    ended, left = set(keys[status.isin(ENDED)]), set(keys[~status.isin(ENDED)])
    return set(study.trials["config"].map(key)) <= ended - left


def _more_seeds(scored: ScoredStudy, command: Command) -> str | None:
    """Propose the next look if a question is open, or the seeds of a fixed list: five if none can decide."""
    study, design = scored.study, scored.study.design
    if study.asked_for["group"].nunique() == 1:  # there is nothing to compare with
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
    looks = dict[str, int]()  # by setting, the look of its first question
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
    """Write a proposal with the time of the missing seeds."""
    trials = study.trials
    each = trials[["train_seconds", "evaluate_seconds"]].dropna().sum(axis=1).groupby(trials["group"]).median()
    seconds = 0.0
    for setting in settings:  # settings without a time count as the mean of the others
        have = set(trials["seed"][trials["group"] == setting])
        seconds += sum(seed not in have for seed in seeds) * float(each.get(setting, each.mean()))
    # with more threads, or on a GPU, the number of cores is unknown
    on_one_core = ((trials["device"] == "cpu") & (trials["threads"] == 1)).all()
    return f"Next: {what}, `{command}`, about {duration(seconds)}{' of one core' if on_one_core else ''}."
