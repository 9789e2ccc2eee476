"""Which run would settle most of what a study asks, with its time."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path

from gan_bench.config.design import FEWEST, LOOKS
from gan_bench.config.trial import LIMITS, setting_key
from gan_bench.core.text import duration, plural
from gan_bench.records.command import CAPS, SHORTER, Command
from gan_bench.report.findings.command import last_command, named_seeds, planned_command, seeds_argument
from gan_bench.report.findings.questions import questions_of
from gan_bench.report.findings.sides import CHANGED
from gan_bench.report.findings.standings import Standings, standings
from gan_bench.report.study.frame import ENDED, changed_between
from gan_bench.report.study.looks import fewest_seeds
from gan_bench.report.study.study import ScoredStudy, Study

_ENDINGS = re.compile(r"-(?:[0-9]+-epochs|seeds-[0-9]+-[0-9]+)$")
"""What proposals put behind the names of results folders."""


def proposal(scored: ScoredStudy) -> str | None:
    """Propose what would settle most of a study, as ``_proposal`` does, by no command where none knows its parts."""
    said, own = _proposal(scored), scored.study.of_program
    if own is None or said is None:
        return said
    return (
        f"Next: no command knows {own}, which the program that trained these trials registered itself; put it into a "
        "file that the suite names under plugins:, or go on in that program."
    )


def _proposal(scored: ScoredStudy) -> str | None:
    """Propose the run that would settle most of a study under one protocol, with its expected time.

    Returns:
        One sentence, or None where the records do not say with what they were made or nothing more is worth it.
    """
    study, found, trials = scored.study, standings(scored), scored.study.asked_for
    command = planned_command(study)
    if unfinished := command and _unfinished(study, command):
        return unfinished
    if found.best is None or not command or trials.empty or _has_ended_whole(study):
        return None
    if _is_untrained(found):
        return _longer(study, command)
    if study.profile == "quick":  # more seeds of a training that was cut down say little of the suite's own
        whole = _whole_protocol(command)
        what = "the suite's whole protocol" if whole.value("--only") is None else "the whole protocol of these trials"
        return f"Next: {what}{_lifted(command, whole)}, `{whole}`."
    if trials["group"].nunique() == 1:  # more seeds would compare it with nothing
        return None
    return _next_look(scored, command) or _beyond_tests(study, found, command)


def _unfinished(study: Study, command: Command) -> str | None:
    """Propose what continues a study, or trains what is from before a change of images or code; else nothing."""
    trials = study.asked_for
    left = trials["status"].isin(["planned", "unfinished", "interrupted", "damaged", "altered", "skipped"])
    changed = changed_between(trials["made_of"], trials["made_of"])
    if changed and not _has_ended_whole(study):  # a run keeps what is of today, and sets the other records aside
        lacking = trials["group"].nunique() * trials["seed"].nunique() - len(trials)
        count = int(left.sum()) + lacking
        more = f", and {plural(count, 'more trial')}" if count else ""
        command = command.of_seeds(seeds_argument(study))
        return f"Next: `{command}` trains again what is from before {changed} changed{more}."
    if not left.any():
        unread = int((trials["status"] == "unreadable").sum())
        are = "is" if unread == 1 else "are"
        remedy = f"make {plural(unread, 'record')} readable that {are} not (`gan-bench verify` names what)"
        return f"Next: {remedy}: verdicts wait for {'it' if unread == 1 else 'them'}." if unread else None
    seeds, waiting = last_command(study).value("--seeds"), {int(seed) for seed in trials["seed"][left]}
    is_until = command.value("--until") is not None and not study.design.extended
    if seeds and waiting <= named_seeds(seeds):  # else it was for another part
        command = command.of_seeds(seeds)
    elif not is_until and not waiting <= set(study.design.first(study.design.looks[0])):
        command = command.of_seeds(seeds_argument(study))  # the suite alone has fewer
    return f"Next: `{command}` continues; {plural(int(left.sum()), 'trial')} left."


def _beyond_tests(study: Study, found: Standings, command: Command) -> str | None:
    """Propose what helps where no test judges the best setting, as others failed or collapsed at another rate."""
    if not _is_beyond_tests(found):
        return None
    failed = int((study.asked_for["status"] == "failed").sum())
    if failed:  # of memory, time or a kill, which the next attempt may not meet
        again = plural(failed, "failed trial")
        return f"Next: `{command} --retry-failed` tries {again} again: no test judges settings that {found.unlike}."
    longer = _with_more_epochs(study, command)
    return f"{longer}: more seeds would not help, as no test compares settings that {found.unlike}."


def _is_beyond_tests(found: Standings) -> bool:
    unequal = found.of("unequal")
    is_judged = not unequal or len(unequal) < len(found.rivals)
    return not is_judged and not any(each.why.endswith(CHANGED) for each in unequal)


def seeds_help(scored: ScoredStudy) -> bool:
    """False where no number of seeds settles anything, so that none is proposed: see ``_proposal``."""
    found = standings(scored)
    return not (_is_untrained(found) or _is_beyond_tests(found))


def _is_untrained(found: Standings) -> bool:
    """True if no setting is better than untrained generators: more seeds of such a training settle nothing."""
    return found.best is not None and all(each.is_untrained for each in found.rows if each.median.n)


def _new_seeds(study: Study, command: Command) -> str:
    """Propose seeds that nobody has seen yet, as nothing is decided any more with those that are there.

    The same ones would have the same scores in any folder, and whoever has seen these declares nothing.
    """
    seen = {int(seed) for seed in study.trials["seed"]}
    later = chain(range(max(seen) + 1, LIMITS["seed"][1] + 1), range(max(seen)))
    seeds = list(islice((seed for seed in later if seed not in seen), max(len(seen), LOOKS[0])))
    aside = _results_beside(command, f"seeds-{seeds[0]}-{seeds[-1]}")
    wanted = command.of_seeds(",".join(map(str, seeds))).having("--results", aside)
    what = f"{len(seeds)} new seeds, all declared before the first, in another folder or a new version of the suite"
    return _with_time(study, set(study.asked_for["group"]), seeds, what, wanted)


def _results_beside(command: Command, ending: str) -> str:
    """Return a results folder beside that of a command, named after it."""
    folder = Path(command.value("--results") or "results")
    if folder.name in ("", ".."):  # the current folder, or the one above: beside it and not in it
        folder = folder / ".." / folder.resolve().name
    return str(folder.with_name(f"{_ENDINGS.sub('', folder.name)}-{ending}"))


def _has_ended_whole(study: Study) -> bool:
    """True if the suite's own trials of all settings of a quick study have ended: their answer says what is next."""
    if study.profile != "quick":
        return False
    key = partial(setting_key, without=("profile", "evaluation", "epochs", "train_limit"))
    keys, status = study.whole["config"].map(key), study.whole["status"]
    ended, left = set(keys[status.isin(ENDED)]), set(keys[~status.isin(ENDED)])
    return set(study.trials["config"].map(key)) <= ended - left


def _whole_protocol(command: Command) -> Command:
    return command.without(*CAPS).having("--profile", "full")


def _lifted(command: Command, proposed: Command) -> str:
    """Name the caps of a command that a proposed one does not have."""
    caps = [(name, command.value(name)) for name in CAPS if proposed.value(name) is None]
    named = [f"{name} {value}" for name, value in caps if value is not None]
    return f" (without {', '.join(named)})" if named else ""


def _longer(study: Study, command: Command) -> str:
    """Propose a longer training, as no setting is better than untrained generators."""
    longer = command.without(*SHORTER)
    longer = _whole_protocol(command) if longer == command and _is_cut_by_profile(study) else longer
    if longer != command:
        return f"Next: longer training, trained anew{_lifted(command, longer)}, `{longer}`."
    return f"{_with_more_epochs(study, command)}: more seeds would not help."


def _with_more_epochs(study: Study, command: Command) -> str:
    """Begin a proposal of twice the epochs; of settings of several lengths, which no one number fits, by the suite."""
    epochs = sorted({int(config["epochs"]) for config in study.asked_for["config"]})
    if len(epochs) > 1 or 2 * epochs[0] > LIMITS["epochs"][1]:
        lengths = f"{epochs[0]} to {epochs[-1]}" if len(epochs) > 1 else str(epochs[0])
        return f"Next: longer training, by more epochs in the suite, now {lengths}"
    shorter = command.without(*SHORTER)
    kept = tuple(each for each in shorter.options if not _sets_epochs(each))
    longer = replace(shorter, options=(*kept, ("--set", f"epochs={2 * epochs[0]}")))
    if len(kept) == len(shorter.options):
        return f"Next: longer training, trained anew, `{longer}`"
    # beside these trials they would be one study of two lengths, of which no one command is
    aside = _results_beside(command, f"{2 * epochs[0]}-epochs")
    return f"Next: longer training, anew in a folder of its own, `{longer.having('--results', aside)}`"


def _sets_epochs(option: Sequence[str]) -> bool:
    return option[0] == "--set" and len(option) > 1 and option[1].partition("=")[0].strip() == "epochs"


def _is_cut_by_profile(study: Study) -> bool:
    """True if the quick profile shortened training: ``--samples`` alone marks trials as quick, too."""
    if study.profile != "quick":
        return False
    last, trials = last_command(study), study.asked_for
    if not last.value("--samples") or trials["train_limit"].notna().any():
        return True
    chosen = last.value("--profile") or "quick"
    return chosen == "quick" and not trials["name"].str.contains(",epochs=").all()  # which a cut is not named by


def _next_look(scored: ScoredStudy, command: Command) -> str | None:
    """Propose the next look where a question is open, five seeds where none can be, new ones after undeclared ones."""
    study, design = scored.study, scored.study.design
    if design.extended:
        return _new_seeds(study, command)
    if design.is_fixed:
        rivals = study.asked_for["group"].nunique() - 1
        least = fewest_seeds(2 * rivals if rivals > 1 else 1)
        everything = {str(group): set(members["seed"]) for group, members in study.asked_for.groupby("group")}
        lacking = [own for own in everything.values() if not own.issuperset(design.of(own).seeds)]
        if len(design.seeds) >= FEWEST and lacking:
            can = ", which can decide" * (len(design.seeds) >= least)
            what = f"all {len(design.seeds)} seeds of the suite's list{can}"
            return _with_time(study, everything, design.seeds, what, command)
        if len(design.seeds) >= FEWEST:
            return None
        seeds = [*design.seeds, *(seed for seed in range(LOOKS[0]) if seed not in design.seeds)][: LOOKS[0]]
        what = f"{LOOKS[0]} seeds{', which can decide' * (LOOKS[0] >= least)}"
        return _with_time(study, everything, seeds, what, command.of_seeds(",".join(map(str, seeds))))
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
