"""A copy of records for others to read: without the bulk, with a list of what stayed behind."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gan_bench.config.trial import TrialConfig
from gan_bench.core.atomic import ASIDE
from gan_bench.core.errors import UserError
from gan_bench.core.text import matches
from gan_bench.records import schema
from gan_bench.records.json_files import read_known, write_object
from gan_bench.records.layout import (
    AVERAGE_WEIGHTS,
    BASELINES,
    LEFT_OUT,
    PLAN,
    RECORD,
    SAMPLES,
    SUITE,
    TRIALS,
    WEIGHTS,
    RecordDirectory,
)
from gan_bench.records.reader import StoredTrial, existing, read_left_out, suite_folders
from gan_bench.records.record import SCHEMA_VERSION, Status
from gan_bench.records.shared import lend_measures
from gan_bench.records.verify import verified_suite
from gan_bench.records.writer import digests


@dataclass(frozen=True)
class Publication:
    """What was published of one suite.

    Attributes:
        folder: Where it lies.
        trials: Trials that are in it.
        unfinished: Trials that have begun, have not ended, and are not in it.
        generators: Trials whose generators are in it.
        size: Bytes.
    """

    folder: Path
    trials: int
    unfinished: int
    generators: int
    size: int


def publish(results: Path, out: Path, generators: Sequence[str] = ()) -> list[Publication]:
    """Copy the records of trials that have ended, without checkpoints and most weights and samples.

    Of generators those asked for go along; of samples those of the lowest seed of every setting, which reports show,
    and those of the trials whose generators go along. What stays behind is listed, so that ``verify`` can tell it from
    what was lost. Everything else is copied as it is: reports of both folders have the same tables, but for trials that
    have not ended.

    Args:
        results: A results folder, or one suite's folder in it.
        out: Folder the suites go into; an earlier publication of the same suite in it is replaced.
        generators: Globs or parts of the names of finished trials whose generators go along.

    Raises:
        UserError: No trial has finished, a record is invalid, a name matches no finished trial, or a suite's folder is
            there and was not published, or holds what the records do not.
        OSError: ``out`` cannot be written.
    """
    lend_measures(existing(results))
    suites = {suite: list(_ended(suite)) for suite in suite_folders(results)}
    done = [stored.trial["name"] for ended in suites.values() for stored in ended if _has_status(stored, Status.DONE)]
    if not done:
        raise UserError(f"{results} holds no finished trial to publish; run a suite first")
    for wanted in generators:
        if not any(matches(name, wanted) for name in done):
            raise UserError(f"no finished trial in {results} is called {wanted!r}; the report's trial table has names")
    for suite in suites:
        _check_replaceable(_target(suite, out), suite)
    return [_publish_suite(suite, ended, _target(suite, out), generators) for suite, ended in suites.items() if ended]


def _ended(suite: Path) -> Iterator[StoredTrial]:
    """Yield the trials of a suite that have ended.

    Raises:
        UserError: A record is invalid: what is broken is not to be published.
    """
    for verdict, stored in verified_suite(suite):
        if stored is not None and (stored.record is None or _has_status(stored, Status.INTERRUPTED)):
            continue
        if verdict.faults:
            raise UserError(f"{verdict.name} is invalid ({verdict.faults[0]}); mend it before it is published")
        if stored is not None:
            yield stored


def _has_status(stored: StoredTrial, status: Status) -> bool:
    return stored.record is not None and stored.record["status"] == status


def _target(suite: Path, out: Path) -> Path:
    return out / suite.resolve().name


def _check_replaceable(target: Path, suite: Path) -> None:
    """Refuse to replace anything but an earlier publication of the same records.

    Raises:
        UserError: It is something else, or a run has continued it.
    """
    if not target.exists():
        return
    if target.samefile(suite) or not (target / LEFT_OUT).is_file():
        raise UserError(f"{target} is there and is no earlier publication; name another folder with --out")
    for path in target.rglob("*"):
        name = path.relative_to(target)
        is_hidden = any(part.startswith(".") for part in name.parts)
        if path.is_file() and name.name != LEFT_OUT and not is_hidden and not (suite / name).exists():
            raise UserError(
                f"{path} is in the folder that is to be replaced and not in {suite}; name another with --out"
            )


def _publish_suite(suite: Path, ended: Sequence[StoredTrial], target: Path, generators: Sequence[str]) -> Publication:
    """Copy one suite aside, then put it where an earlier publication may be."""
    aside = target.with_name(f".{target.name}{ASIDE}")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    missed_before, shown, kept = read_left_out(suite), _lowest_seeds(ended), 0
    left_out: dict[str, dict[str, str]] = {}
    for stored in ended:
        is_asked = any(matches(stored.trial["name"], wanted) for wanted in generators)
        names = list(_copied(stored, weights=is_asked, samples=is_asked or stored.path.name in shown))
        _copy(stored.path, aside / stored.path.name, names)
        known = {**missed_before.get(stored.path.name, {}), **digests(RecordDirectory(stored.path))}
        if missed := {name: known[name] for name in sorted(set(known) - set(names))}:
            left_out[stored.path.name] = missed
        kept += WEIGHTS in names
    _copy(suite, aside, [name for name in (BASELINES, SUITE) if (suite / name).is_file()])
    _copy_plan(suite, aside)
    write_object(aside / LEFT_OUT, {"schema": SCHEMA_VERSION, "files": left_out})
    size = sum(path.stat().st_size for path in aside.rglob("*") if path.is_file())
    earlier = aside.with_suffix(".earlier" + ASIDE)
    if target.exists():
        shutil.rmtree(earlier, ignore_errors=True)
        target.rename(earlier)
    aside.rename(target)
    if earlier.exists():
        shutil.rmtree(earlier)
    begun = sum(path.is_dir() for path in suite.glob(TRIALS))
    return Publication(target, len(ended), begun - len(ended), kept, size)


def _lowest_seeds(trials: Iterable[StoredTrial]) -> set[str]:
    """Return the directories of the lowest seed of every setting that has samples."""
    lowest: dict[str, StoredTrial] = {}
    for stored in sorted(trials, key=lambda stored: int(stored.trial["config"]["seed"])):
        if next(RecordDirectory(stored.path).samples.glob("*.png"), None) is not None:
            config = TrialConfig.from_json(stored.trial["config"])
            lowest.setdefault(replace(config, seed=0).id, stored)
    return {stored.path.name for stored in lowest.values()}


def _copied(stored: StoredTrial, *, weights: bool, samples: bool) -> Iterator[str]:
    """Yield the names of a record's files that are published."""
    for name in digests(RecordDirectory(stored.path)):
        is_weights, is_sample = name in (WEIGHTS, AVERAGE_WEIGHTS), name.startswith(f"{SAMPLES}/")
        if (weights or not is_weights) and (samples or not is_sample):
            yield name
    yield RECORD


def _copy(source: Path, target: Path, names: Iterable[str]) -> None:
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)


def _copy_plan(suite: Path, target: Path) -> None:
    """Copy the plan, with a command that says what was run and not where."""
    if not (suite / PLAN).is_file():
        return
    plan = read_known(suite / PLAN, schema.PLAN, schema.Plan)
    if "command" in plan:
        plan["command"] = _without_places(plan["command"])
    write_object(target / PLAN, plan)


def _without_places(command: str) -> str:
    """Return a ``gan-bench run`` command without its results folder, and with its suite's file for its path."""
    words, kept = iter(shlex.split(command)), []
    for word in words:
        if word == "--results":
            next(words, None)
        else:
            kept.append(Path(word).name if word.endswith((".yaml", ".yml")) else word)
    return shlex.join(kept)
