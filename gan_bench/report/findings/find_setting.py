"""Finds the setting that a user names, or the best one of a study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from gan_bench.config.naming import means
from gan_bench.core.errors import RecordError, UserError
from gan_bench.core.text import as_typed, some_of
from gan_bench.report.findings.standings import Standing, standings
from gan_bench.report.study.frame import FAULTY
from gan_bench.report.study.studies import read_studies
from gan_bench.report.study.study import ScoredStudy, Study

BEST = "best"
"""The word for the best setting."""
NAMED = 5
"""Settings that an error names."""


def find_setting(found: list[Study], wanted: str) -> Standing:
    """Return the one scored setting that is meant; full trials take precedence over quick ones.

    Args:
        found: Where it may be.
        wanted: A name in tables or in suites, part of one, a glob, values such as ``lr=1e-3``, or ``best``.

    Raises:
        UserError: None is meant, or several are.
    """
    known = [each for study in found for each in finished_settings(study)]
    if not known:
        raise UserError("no trial here is finished and scored; run a suite first, for example `gan-bench run digits`")
    matching: list[Standing] = []
    for matches in (_is_named, _contains, _has_values):
        matching = [each for each in known if matches(each, wanted)]
        matching = [each for each in matching if not each.setting.study.outdated] or matching
        matching = [each for each in matching if each.setting.study.profile == "full"] or matching
        if matching:
            break
    if len(matching) == 1:
        return matching[0]
    settings = [each.setting for each in matching or known]
    shown = Counter(each.name for each in settings)
    names = [f"{each.name if shown[each.name] == 1 else each.label} ({each.study.title})" for each in settings]
    what = (
        f'"{as_typed(wanted)}" names several settings'
        if matching
        else f'no finished setting is called "{as_typed(wanted)}"'
    )
    there = some_of(names, NAMED, "; ", "; and {} more")
    raise UserError(f"{what}; there are {there}; name one, or the folder of one suite")


def require_sound(study: Study, label: str | None = None) -> None:
    """Refuse settings with records that are not what was saved.

    Args:
        study: The study.
        label: The setting; None takes all of the study.

    Raises:
        RecordError: A record is damaged, altered or unreadable.
    """
    members = study.trials if label is None else study.trials[study.trials["label"] == label]
    faulty = members[members["status"].isin(FAULTY)]
    if len(faulty):
        more = f", and {len(faulty) - 1} more" if len(faulty) > 1 else ""
        raise RecordError(f"{faulty['name'].iloc[0]} is {faulty['status'].iloc[0]}: {faulty['reason'].iloc[0]}{more}")


def finished_settings(study: Study) -> Iterator[Standing]:
    """Yield the settings of a study that have a finished trial with a score.

    Each stands there under the scores that rank it: Inception's where it has some, else the first of those that it has.
    """
    for rows in zip(*(standings(scored).rows for scored in study.scored), strict=True):
        known = [each for each in rows if each.rank is not None]
        if known:
            yield next((each for each in known if each.scored.protocol.extractor == "inception"), known[0])


def _is_named(each: Standing, wanted: str) -> bool:
    return each.rank == 1 if wanted == BEST else wanted in (each.setting.name, each.label)


def _contains(each: Standing, wanted: str) -> bool:
    return any(wanted in name or fnmatchcase(name, wanted) for name in (each.setting.name, each.label))


def _has_values(each: Standing, wanted: str) -> bool:
    return means(each.setting.name, each.setting.trials["config"].iloc[0], wanted)


@dataclass(frozen=True)
class Champion:
    """The best setting of a study, and whether it is decided.

    Attributes:
        title: The study.
        setting: Its best setting.
        path: Record of the trial with the median score, or None when nothing is decided.
        why: Why nothing is.
        apart: What tells its study from the others of its suite: dataset, size and profile, where these differ.
        suite: Name of the suite.
    """

    title: str
    setting: str
    path: Path | None
    why: str = ""
    apart: tuple[str, ...] = ()
    suite: str = ""


def champions(results: Path) -> Iterator[Champion]:
    """Yield every study's best setting: decided when all others are decidedly worse and it beats untrained ones.

    Raises:
        UserError: There is no such folder.
        RecordError: A record of a study is damaged, altered or unreadable, which may be why a setting is best.
    """
    made = [study for study in read_studies(results, history=True)[1] if not study.outdated]
    for study in made:
        require_sound(study)
        beside = [each for each in made if each.suite == study.suite]
        for scored in study.scored[:1]:
            yield replace(_champion(scored), apart=tuple(_apart(study, beside)), suite=study.suite)


def _apart(study: Study, beside: list[Study]) -> Iterator[str]:
    """Yield what distinguishes a study from others of its suite; the full profile is not named."""
    if any(each.dataset != study.dataset for each in beside):
        yield study.dataset
    if any(each.dataset == study.dataset and each.image_size != study.image_size for each in beside):
        yield f"{study.image_size}x{study.image_size}"
    if any(each.profile != study.profile for each in beside) and study.profile != "full":
        yield study.profile


def _champion(scored: ScoredStudy) -> Champion:
    found, title = standings(scored), scored.study.title
    best = found.best
    if best is None:
        return Champion(title, "", None, "no finished trial has a score")
    if not found.is_decided:
        why = found.in_words or "there is nothing to compare it with"
        return Champion(title, best.label, None, f"{best.label} is not decided: {why}")
    if best.is_collapsed:
        return Champion(title, best.label, None, f"all generators of {best.label} collapsed")
    if best.is_untrained:
        return Champion(title, best.label, None, f"{best.label} is no better than untrained generators")
    median = best.setting.trials["trial"] == best.median_trial
    return Champion(title, best.label, Path(best.setting.trials["path"][median].iloc[0]))
