"""The last levels of an audit: a trial, and further seeds of its setting, trained completely."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch

from gan_bench.audit import standards
from gan_bench.audit.again import (
    GRID_LEVELS,
    MOST_STEPS,
    OTHER_IMAGES,
    Judgement,
    all_of,
    config_of,
    first_logged,
    grid_gap,
    has_diverged,
    has_probabilities,
    has_weights,
    own_drift,
    require_images,
    scores_judged,
    steps_judged,
    worst,
)
from gan_bench.audit.standards import apart, drift
from gan_bench.config.measures import primary_measure
from gan_bench.config.trial import Trial, TrialConfig
from gan_bench.core.preparing import report_progress
from gan_bench.execution.trial.context import RunContext
from gan_bench.execution.trial.events import Event, Progress
from gan_bench.execution.trial.run import run_trial
from gan_bench.execution.workers.inline import run_alone
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.reader import StoredTrial, read_trial
from gan_bench.records.sample_grid import read_sample_grid
from gan_bench.records.schema import NO_RECORD, TIMING, HistoryLine, Statistics
from gan_bench.sampling import read_weights

ALIKE = 100
"""Steps of equal bits after which machines are taken to round alike: those that do not were all apart by then."""

Published = Mapping[int, Sequence[float]]
"""Primary scores of the published seeds of a setting, by epoch."""


def train_whole(stored: StoredTrial, seed: int, context: RunContext, folder: Path) -> StoredTrial:
    """Train a trial of a setting from its seed to its end, in a folder of its own.

    Args:
        stored: A trial of the setting.
        seed: The seed.
        context: Where.
        folder: Where the record goes.

    Raises:
        UserError: The images are others.
        KeyboardInterrupt: As it comes.
    """
    config = config_of(stored)
    require_images(stored, config, context)
    evaluation = replace(config.evaluation, keep="nothing")
    trial = Trial(setting=stored.trial["setting"], config=replace(config, seed=seed, evaluation=evaluation))
    directory = RecordDirectory.of(folder, trial)
    directory.path.mkdir(parents=True, exist_ok=True)
    run_alone(run_trial(trial, directory, context, _tell))
    return read_trial(directory.path)


def _tell(event: Event) -> None:
    """Report the progress of a training as that of a preparation."""
    if isinstance(event, Progress):
        report_progress(f"training {event.trial.name} from its seed", event.fraction)


def repeated(stored: StoredTrial, again: StoredTrial, published: Published, context: RunContext) -> Judgement:
    """Compare a record with the whole training of the same trial here.

    Machines that round alike stay alike: after an epoch and ``ALIKE`` steps of equal bits every shape of a step has
    been computed, and a difference that begins later is none of machines. One that begins earlier must begin small,
    as rounding does. Late training amplifies it, and the end is held against the spread of the setting's seeds.

    Args:
        stored: The record.
        again: The training of the same trial.
        published: Primary scores of all seeds of the setting that were published, by epoch.
        context: Where it was trained again.
    """
    before, now = (each.record or NO_RECORD for each in (stored, again))
    recorded = stored.as_recorded()
    parted = _parting(recorded.history, again.history, probabilities=has_probabilities(config_of(stored)))
    if parted is None:
        return all_of([("holds", "every step and epoch is the same to the bit"), *_ends_judged(recorded, again)])
    resumed = bool(stored.environment.get("changes"))
    diverged = has_diverged(stored) and has_diverged(again)
    compared = not resumed and not (diverged and parted.grown)
    if compared and (why := _why_no_rounding(parted, recorded.history, context, config_of(stored))):
        return "contradicted", why
    if before["status"] != now["status"]:
        return "doubtful", f"it ended {before['status']} in the record and {now['status']} here"
    noise = standards.noise_between(stored.environment, str(again.environment["device"]).partition(":")[0])
    start = list[Judgement]()
    if (line := first_logged(stored)) is not None and (there := first_logged(again)) is not None:
        start.append(steps_judged(line, there, noise, context, config_of(stored), diverged=diverged))
    ends = list(_ends_expected(recorded, again, published))
    verdict, text = worst([*start, *ends])
    if verdict == "holds" and (resumed or any(each == "not audited" for each, _ in ends)):
        verdict = "not audited"  # its beginning alone says little of its end
    why = "; it says that it was resumed on another machine, whose bits cannot be repeated" if resumed else ""
    return verdict, f"not the same to the bit{why}; {text}"


@dataclass(frozen=True)
class _Parting:
    """The first step at which two histories of a trial differ.

    Attributes:
        alike: Steps up to which they are the same to the bit.
        step: The first logged step at which they are not.
        gap: How far apart they lie there; infinite where one has no such line.
        grown: Whether the values of both have grown without bound there, or those of one whose other has ended.
    """

    alike: int
    step: int
    gap: float
    grown: bool


def _parting(before: Sequence[HistoryLine], now: Sequence[HistoryLine], *, probabilities: bool) -> _Parting | None:
    """Return where two histories begin to differ, or None if they do not; see ``apart``."""
    alike = 0
    for a, b in zip_longest(before, now):
        other = b if a is None else a
        if a is None or b is None or a["kind"] != b["kind"] or a["step"] != b["step"]:
            grown = other is not None and _grown(other) and (a is None or b is None)
            return _Parting(alike, other["step"] if other else 0, math.inf, grown)
        if _without_timing(a) != _without_timing(b):
            pairs = zip(_statistics(a), _statistics(b), strict=True)
            gap = max(apart(first, second, probabilities=probabilities) for first, second in pairs)
            return _Parting(alike, a["step"], gap, _grown(a) and _grown(b))
        alike = a["step"]
    return None


def _statistics(line: HistoryLine) -> tuple[Statistics, ...]:
    return (line["mean"], line["last"]) if line["kind"] == "epoch" else (line,)


def _grown(line: HistoryLine) -> bool:
    return any(map(standards.has_grown, _statistics(line)))


def _why_no_rounding(parted: _Parting, history: Sequence[HistoryLine], context: RunContext, config: TrialConfig) -> str:
    """Return why the difference of two histories cannot come from rounding, or an empty text."""
    text = f"the same to the bit for {parted.alike} steps, and other from step {parted.step} on"
    epoch = next((line["step"] for line in history if line["kind"] == "epoch"), parted.alike)
    if parted.alike >= max(ALIKE, epoch + 1):
        return f"{text}: machines that round alike stay alike"
    steps = max(parted.step - parted.alike, 1)
    if config.precision == "bf16":
        return ""  # how far its steps lie apart between machines was not measured
    if parted.alike and steps <= MOST_STEPS:
        allowed = drift(steps, "same", own_drift(steps, context, config))
        if allowed is not None and parted.gap > allowed:
            return f"{text}, there {parted.gap:.2g} apart: rounding comes to {allowed:.2g} in so few steps"
    return ""


def _ends_judged(recorded: StoredTrial, again: StoredTrial) -> list[Judgement]:
    """Compare scores and weights of bit-identical trainings."""
    there, said = {line["epoch"]: line for line in again.evaluations}, list[Judgement]()
    for line in recorded.evaluations:
        if recorded.may_have_other_images(line["epoch"]):
            said.append(("not audited", f"epoch {line['epoch']}: {OTHER_IMAGES}"))
            continue
        scores = there[line["epoch"]]["scores"] if line["epoch"] in there else []
        said.append(scores_judged(line, scores, "same", f"epoch {line['epoch']}", exact=True))
        grids = [RecordDirectory(each.path).sample(line["epoch"]) for each in (recorded, again)]
        if all(grid.is_file() for grid in grids) and grid_gap(*map(read_sample_grid, grids)) > GRID_LEVELS:
            said.append(("contradicted", f"the sample grid of epoch {line['epoch']} is of another training"))
    if has_weights(recorded) and has_weights(again):
        one, other = (read_weights(RecordDirectory(each.path).weights) for each in (recorded, again))
        same = one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
        said.append(("holds", "") if same else ("contradicted", "its weights are of another training"))
    if all(verdict == "holds" for verdict, _ in said):
        absent = dict.fromkeys(text.partition("; ")[2] for _, text in said)
        too = "its scores and weights too" if has_weights(recorded) else "its scores too"
        return [("holds", "; ".join([too, *filter(None, absent)]))]
    return said


def _ends_expected(recorded: StoredTrial, again: StoredTrial, published: Published) -> Iterator[Judgement]:
    """Compare the primary scores of a training that rounds differently with the spread of the setting's seeds."""
    before, now = primary_scores(recorded), primary_scores(again)
    looks = [epoch for epoch in before if epoch in now and epoch and not recorded.may_have_other_images(epoch)]
    if not looks or looks[-1] != config_of(recorded).epochs:
        yield "not audited", "it has no final score here or there"
        return
    level = standards.REPEATED_LEVEL / len(looks)
    for epoch in looks:
        expected = standards.repetition(before[epoch], published.get(epoch, ()), level)
        if expected is None:
            yield "not audited", f"fewer than {standards.FEW} seeds of it were published, so its end is not judged"
            return
        text = f"epoch {epoch}: {now[epoch]:.4g} here and {before[epoch]:.4g} in the record"
        ends = f"rounding may lead from {expected.low:.4g} to {expected.high:.4g}"
        if not expected.holds(now[epoch]):
            yield "contradicted", f"{text}; {ends}"
        elif epoch == looks[-1]:
            yield "holds", f"{text}; {ends}"


def drawn(values: Sequence[float], published: Sequence[float], lost: str = "") -> Judgement:
    """Compare further seeds of a setting, trained here, with the published ones.

    Args:
        values: Final primary scores of the further seeds that have one.
        published: Those of the published ones.
        lost: How further seeds ended that have none, where all published ones have.
    """
    if lost:
        return "doubtful", f"further seeds have no final score ({lost}), and every published one has"
    if not values:
        return "not audited", "no further seed has a final score, and not every published one has"
    expected = standards.further(published, len(values))
    if expected is None:
        return "not audited", f"fewer than {standards.FEW} seeds of the setting were published"
    mean = float(np.exp(np.log(values).mean()))
    of = f"{len(values)} further seed{'s' if len(values) > 1 else ''}"
    ends = f"{expected.low:.4g} to {expected.high:.4g}, by the {len(published)} published ones"
    inside = expected.holds(mean)
    return "holds" if inside else "doubtful", f"{of}: {mean:.4g}, {'expected' if inside else 'outside'} {ends}"


def primary_scores(stored: StoredTrial) -> dict[int, float]:
    """Return the positive primary scores of a finished trial under its first extractor, by epoch."""
    found: dict[int, float] = {}
    for line in stored.evaluations if (stored.record or NO_RECORD).get("status") == "done" else ():
        values = [s["value"] for s in line["scores"] if s["metric"] == primary_measure() and not s.get("weights")]
        if values and values[0] is not None and values[0] > 0:
            found[line["epoch"]] = values[0]
    return found


def final_scores(trials: Iterable[StoredTrial]) -> list[float]:
    """Return the last primary scores of trials under their first extractor; trials without one are left out."""
    found = (primary_scores(stored).get(stored.trial["config"]["epochs"]) for stored in trials)
    return [score for score in found if score is not None]


def _without_timing(line: HistoryLine) -> str:
    """Return a line as text without the values that differ between two runs of a trial."""
    return json.dumps({name: value for name, value in line.items() if name not in TIMING}, sort_keys=True)
