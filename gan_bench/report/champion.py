"""The best setting of every study, where it is decided, and the trial that stands for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gan_bench.records.reader import StoredTrial, existing, scan
from gan_bench.records.shared import read_baselines
from gan_bench.report.answer import no_better_than_untrained
from gan_bench.report.find_setting import require_sound
from gan_bench.report.frame import build_frames
from gan_bench.report.leaders import leaders
from gan_bench.report.study import Study, studies


@dataclass(frozen=True)
class Champion:
    """What is decided of a study.

    Attributes:
        title: The study.
        setting: Its best setting.
        path: Record of the trial with the median score, or None when nothing is decided.
        why: Why nothing is.
    """

    title: str
    setting: str
    path: Path | None
    why: str = ""


def champions(results: Path) -> Iterator[Champion]:
    """Yield every study's best setting: decided when all others are decidedly worse and it beats untrained ones.

    Raises:
        UserError: There is no such folder.
        RecordError: A record of a study is damaged, altered or unreadable, which may be why a setting is best.
    """
    found = [item for item in scan(existing(results), steps=False) if isinstance(item, StoredTrial)]
    for study in studies(build_frames(found), read_baselines(results)):
        require_sound(study)
        for protocol in study.protocols[:1]:
            yield _champion(study, protocol)


def _champion(study: Study, protocol: str) -> Champion:
    found = leaders(study, protocol)
    if found is None:
        return Champion(study.title, "", None, "no finished trial has a score")
    undecided = len(found.tied) + len(found.unknown)
    if undecided or not found.behind:
        others = f"{undecided} others may be as good" if undecided else "there is nothing to compare it with"
        return Champion(study.title, found.best, None, f"{found.best} is not decided: {others}")
    if found.best in no_better_than_untrained(study, protocol):
        return Champion(study.title, found.best, None, f"{found.best} is no better than untrained generators")
    done = next(done for row, done in study.settings() if row["setting"] == found.best)
    median = study.trials["trial"] == study.median_trial(done, protocol)
    return Champion(study.title, found.best, Path(study.trials["path"][median].iloc[0]))
