"""Records -> tidy frames: one row per trial, one per score, one per epoch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gan_bench.config.trial import TrialConfig, setting_key
from gan_bench.core.program_code import PROGRAM, is_of_source
from gan_bench.core.text import printable
from gan_bench.records.reader import StoredTrial
from gan_bench.records.record import split_name
from gan_bench.records.schema import NO_RECORD, STATISTICS
from gan_bench.records.summary import FEW_EPOCHS

STATISTIC_TITLES = {"loss_d": "loss D", "loss_g": "loss G", "d_real": "D(real)", "d_fake": "D(fake)"}
"""Titles of the training values, in the order in which they are drawn."""
MEANS = tuple(f"mean_{name}" for name in STATISTICS)
_SCORE_COLUMNS = ["trial", "epoch", "metric", "protocol", "value", "draw_std", "train_seconds", "added"]
BAD = ("diverged", "failed")
"""Statuses of trials that ended without a generator to score."""
FAULTY = ("damaged", "altered", "unreadable")
"""Statuses of trials whose records are invalid or unreadable."""
ENDED = ("done", *BAD)
"""Statuses of trials that no verdict waits for."""
WITHDRAWN = "no longer planned"
"""Status of trials that have not ended and that their suite no longer asks for."""
COSTS = ("train_seconds", "evaluate_seconds", "images_per_second", "peak_megabytes", "kilojoules")


def quick_text() -> pd.option_context:
    """Store text in frames as Python strings, in a ``with`` block or as a decorator.

    From pandas 3 on, and where pyarrow is there, which MLflow needs, they hold arrays of Arrow: in frames of some
    hundred rows, and in the names of columns, each lookup costs more than what it finds. A report of 15 trials takes
    0.6 times as long without them, one of 1,000 trials 0.8 times, and is the same to the byte.
    """
    return pd.option_context("mode.string_storage", "python")


@dataclass(frozen=True)
class Frames:
    """The frames that all tables are made from.

    Attributes:
        trials: One row per trial: suite, profile, name, suite_setting (what suites call its setting), group (config
            without seed), seed, status, reason, every config field, epochs_done, the four final means, train_seconds,
            evaluate_seconds, images_per_second, peak_megabytes, kilojoules, device, device_name, threads, path,
            whether d_real and d_fake are probabilities, and whether the suite asks for the trial no longer.
        history: One row per trial and finished epoch: trial, epoch, the last batch's four values, the same as means
            over the epoch with the prefix ``mean_``, and train_seconds.
        steps: One row per ``step`` line that was read: trial, epoch as a fraction, and the four values.
        scores: One row per trial, evaluation and metric: trial, epoch, metric, protocol, value, draw_std,
            train_seconds.
    """

    trials: pd.DataFrame
    scores: pd.DataFrame
    history: pd.DataFrame
    steps: pd.DataFrame


def few_epochs(config: Mapping[str, Any]) -> bool:
    """True if a trial has so few epochs that its curves are drawn from steps."""
    return int(config["epochs"]) <= FEW_EPOCHS


def build_frames(stored: Iterable[StoredTrial]) -> Frames:
    """Flatten records.

    Args:
        stored: Trials as read back, of any suites.

    Returns:
        Frames that have all columns even when there are no rows.
    """
    trials, scores, histories = [], [], Histories()
    for item in stored:
        trials.append(_trial_row(item))
        if item.fault:  # the content of a faulty record is not used
            continue
        scores += _score_rows(item)
        histories.add(item)
    history, steps = histories.frames()
    frame = pd.DataFrame(trials, columns=None if trials else _TRIAL_COLUMNS)
    numbers = dict.fromkeys((*STATISTICS, *COSTS), float)  # with NaN for what is missing, also when everything is
    rows = pd.DataFrame(scores, columns=_SCORE_COLUMNS).astype(
        dict.fromkeys(("value", "draw_std", "train_seconds"), float)
    )
    return Frames(trials=frame.astype(numbers), scores=rows, history=history, steps=steps)


_TRIAL_COLUMNS = [
    *(each.name for each in fields(TrialConfig)),
    *("trial", "name", "suite_setting", "config", "drawn", "group", "status", "reason", "epochs_done", *STATISTICS),
    *(*COSTS, "device", "device_name", "threads", "probabilities", "made_of", "held_out", "parts", "withdrawn", "path"),
]
"""Columns of ``_trial_row``, for an empty frame."""


class Histories:
    """Collects lines of histories in float arrays, as 600,000 rows of Python numbers would take gigabytes."""

    def __init__(self) -> None:
        self._epochs, self._steps = _Lines(), _Lines()

    def add(self, item: StoredTrial) -> None:
        """Add the history of a trial, which can then be freed."""
        rows = [
            [line["epoch"], *(line[of][name] for of in ("last", "mean") for name in STATISTICS), line["train_seconds"]]
            for line in item.epochs
        ]
        of_steps = [[epoch, *(line[name] for name in STATISTICS)] for epoch, line in item.steps_in_epochs()]
        for found, lines in ((self._epochs, rows), (self._steps, of_steps)):
            found.append((item.trial["id"], np.array(lines, dtype=np.float64)))  # NaN for what is missing

    def frames(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the frames ``history`` and ``steps`` of ``Frames``."""
        epochs = _frame_of(self._epochs, ("epoch", *STATISTICS, *MEANS, "train_seconds"))
        return epochs.astype({"epoch": int}), _frame_of(self._steps, ("epoch", *STATISTICS))


_Lines = list[tuple[str, NDArray[np.float64]]]
"""By trial, the numbers of its lines."""


def _frame_of(found: _Lines, names: Sequence[str]) -> pd.DataFrame:
    """Return lines as a frame, with all columns even without lines."""
    numbers = [np.empty((0, len(names))), *(lines for _, lines in found if len(lines))]
    made = pd.DataFrame(np.concatenate(numbers), columns=list(names))
    made.insert(0, "trial", np.array([trial for trial, lines in found for _ in lines], dtype=object))
    return made


def _trial_row(item: StoredTrial) -> dict[str, object]:
    config, record = item.trial["config"], NO_RECORD if item.fault else item.record or NO_RECORD
    final = record.get("final") or {}
    seconds = record.get("train_seconds")
    images = record.get("images", 0)
    return {
        **{key: printable(value) if isinstance(value, str) else value for key, value in config.items()},
        "trial": item.trial["id"],
        "name": printable(item.trial["name"]),
        "suite_setting": printable(item.trial["setting"]),
        "config": config,
        "drawn": tuple(item.trial.get("drawn", ())),
        "group": setting_key(config),
        "status": status_shown(item),
        "reason": printable(str(item.fault or record.get("reason") or "")),
        "epochs_done": record.get("epochs", 0),
        **{name: final.get(name) for name in STATISTICS},
        "train_seconds": seconds,
        "evaluate_seconds": record.get("evaluate_seconds"),
        "images_per_second": images / seconds if seconds else None,
        "peak_megabytes": _in_units(record.get("peak_memory_bytes"), 1e6),
        "kilojoules": _in_units(record.get("energy_joules"), 1e3),
        "device": item.environment.get("device", ""),
        "device_name": printable(str(item.environment.get("device_name") or "")),
        "threads": item.environment.get("threads"),
        "probabilities": item.environment.get("d_output", "logit") == "logit",
        "made_of": made_of(item),
        "held_out": item.held_out_sha256,
        "parts": tuple(
            (printable(name), str(item.environment.get("started", "")), part["name"] == PROGRAM)
            for name, part in item.environment.get("parts", {}).items()
        ),
        "withdrawn": item.withdrawn,
        "path": item.path,
    }


IMAGES = "the images of "
IN_PROGRAM = " in the program"
MadeOf = tuple[tuple[str, str], ...]
"""Digests of images and code of a trial that may change under the same name."""


def made_of(item: StoredTrial) -> MadeOf:
    """Return a trial's digests of images and code; parts of packages have versions.

    Bytecode tells nothing, as it is another under another Python.
    """
    images = item.environment.get("data_sha256")
    own = {
        f"the code{IN_PROGRAM if part['name'] == PROGRAM else ''} of {printable(name)}": part["sha256"]
        for name, part in item.environment.get("parts", {}).items()
        if (part.get("path") or (part["name"] == PROGRAM and is_of_source(part)))
        and not name.startswith(("measures/", "datasets/"))  # datasets are compared by their images
    }
    found = {**({IMAGES + printable(item.trial["config"]["dataset"]): images} if images else {}), **own}
    return tuple(sorted((name, str(digest)) for name, digest in found.items()))


def changed_between(first: Iterable[MadeOf], second: Iterable[MadeOf]) -> str:
    """Return what differs in content under the same name between two groups of trials, or an empty text."""
    known = dict[str, set[str]]()
    for made in set(first):
        for name, digest in made:
            known.setdefault(name, set()).add(digest)
    others = {name for made in set(second) for name, digest in made if known.get(name, {digest}) != {digest}}
    return " and ".join(sorted(others))


def images_changed(before: Iterable[MadeOf], after: Iterable[MadeOf]) -> str:
    """Return that scores against different images cannot be compared; empty if the images are the same.

    Code may have changed: what that does is what results are compared for.
    """
    images = [[tuple(each for each in made if each[0].startswith(IMAGES)) for made in side] for side in (before, after)]
    changed = "" if set(images[0]) == set(images[1]) else changed_between(*images)
    return f"{changed} differ" if changed else ""


def is_left(trials: pd.DataFrame) -> pd.Series[bool]:
    """Return a mask of unfinished trials, including faulty records that a run would replace."""
    return ~trials["status"].isin(ENDED) & ~(trials["status"].isin(FAULTY) & trials["withdrawn"])


def status_shown(item: StoredTrial) -> str:
    """Return how a trial ended, or how it stands.

    It is damaged, altered, unreadable, unfinished, planned, or, where it has not ended, no longer planned.
    """
    if item.fault:
        return item.fault.status
    status = str(item.record["status"]) if item.record else "unfinished" if item.environment else "planned"
    return WITHDRAWN if item.withdrawn and status not in ENDED else status


def _score_rows(item: StoredTrial) -> list[dict[str, object]]:
    return [
        {
            "trial": item.trial["id"],
            "epoch": line["epoch"],
            "metric": score["metric"],
            "protocol": split_name(score["name"])[1],
            "value": score["value"],
            "draw_std": score.get("draw_std"),
            "train_seconds": line.get("train_seconds"),
            "added": score["name"] in item.added.get(line["epoch"], ()),
        }
        for line, score in item.scores()
    ]


def _in_units(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit
