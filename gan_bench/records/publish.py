"""Publications: a small copy of records, with a list of what is omitted."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gan_bench.config.naming import chosen_trials
from gan_bench.config.trial import TrialConfig
from gan_bench.core.atomic import ASIDE, remove_leftovers, write_atomically
from gan_bench.core.errors import UserError
from gan_bench.core.text import names_instead, plural
from gan_bench.records import schema
from gan_bench.records.command import Command
from gan_bench.records.folders import (
    existing,
    folders_by_suite,
    read_left_out,
    read_publication,
    trial_folders,
)
from gan_bench.records.json_files import SEAL, is_regular, object_text, read_file, read_known
from gan_bench.records.layout import (
    ADDED,
    AVERAGE_WEIGHTS,
    BASELINES,
    KEPT,
    LEFT_OUT,
    PLAN,
    RECORD,
    SAMPLES,
    SUITE,
    WEIGHTS,
    RecordDirectory,
)
from gan_bench.records.outputs import check_output
from gan_bench.records.places import named_places, portable_end
from gan_bench.records.plan import declare_foreign_measures
from gan_bench.records.reader import StoredTrial
from gan_bench.records.record import Status
from gan_bench.records.verify import verified_suite
from gan_bench.records.writer import digests


@dataclass(frozen=True)
class Publication:
    """The publication of one suite.

    Attributes:
        folder: Where it lies.
        trials: Trials that are in it.
        unfinished: Trials that have begun, have not ended, and are not in it.
        generators: Trials whose generators are in it.
        size: Bytes.
        telling: What its files name in the home, the current folder or the one that the results folder lies in, with
            these files: a suite says where a user's images and plug-ins lie, and the end of a trial why it failed.
    """

    folder: Path
    trials: int
    unfinished: int
    generators: int
    size: int
    telling: Mapping[str, list[Path]]


def publish(results: Path, out: Path, generators: Sequence[str] = ()) -> list[Publication]:
    """Copy the records of ended trials, without checkpoints and most weights and samples.

    Of generators those asked for go along; of samples those of the lowest seed of every setting, which reports show,
    and those of the trials whose generators go along. What stays behind is listed, so that ``verify`` can tell it from
    what was lost. Everything else is copied as it is, but for the folders that the files of plug-ins were in: reports
    of both folders have the same tables, but for trials that have not ended. A suite goes into a folder of its name.

    Args:
        results: A results folder, or one suite's folder in it.
        out: Folder the suites go into; of an earlier publication of the same suite in it, what that wrote is replaced
            and everything else stays.
        generators: Globs or parts of the names of finished trials whose generators go along.

    Raises:
        UserError: No trial has finished, a record is invalid, a name matches no finished trial, or a suite's folder is
            there and was not published, what was published there has changed since or has trials that would be gone,
            its records lie there under another name, or ``out`` cannot be written, is no folder or holds trials.
    """
    check_output(out, (), "publication")
    declare_foreign_measures(existing(results))
    suites = folders_by_suite(results)
    ended = {folder: list(_ended_trials(folder)) for folder in (each.read for each in suites.values())}
    trials = [stored for found in ended.values() for stored in found]
    names = [(each.trial["name"], each.trial["config"]) for each in trials]
    done = [(each.trial["name"], each.trial["config"]) for each in trials if _status(each) == Status.DONE]
    if not done:
        others = [folder for each in suites.values() for folder in each.others]
        remedy = f"name {others[0]} alone, which counts in no table of {results}" if others else "run a suite first"
        raise UserError(f"{results} holds no trial to publish that was trained to its end; {remedy}")
    for wanted in generators:
        if not chosen_trials(done, wanted):
            hint = names_instead(name for name, _ in done)
            raise UserError(f"no finished trial in {results} is called {wanted!r}; {hint}")
    kept = frozenset[str]().union(*(chosen_trials(names, wanted) for wanted in generators))
    plans = [
        _plan(suite, each.read, ended[each.read], out / suite, kept)
        for suite, each in suites.items()
        if ended[each.read]
    ]
    there = folders_by_suite(out) if out.is_dir() else {}
    for plan in plans:
        if plan.suite in there and (other := there[plan.suite].read) != plan.target:
            raise UserError(
                f"{other} holds records of the suite {plan.suite}, too, and would count in no table beside "
                f"{plan.target}; move it away, or name another folder with --out"
            )
        _check_replaceable(plan)
    try:
        return [_carry_out(plan) for plan in plans]
    except OSError as error:
        why = f"{error.strerror or error}; the same command completes what is there"
        raise UserError(f"the publication cannot be written to {out} ({why})") from None


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """The files to be written for one suite.

    Attributes:
        suite: Its name.
        records: Where its records are.
        target: Where they go.
        files: What each file will hold, by name; files of the records as they lie there.
        left_out: Digests of the files that stay behind, by record directory and name.
    """

    suite: str
    records: Path
    target: Path
    files: Mapping[str, Path | bytes]
    left_out: Mapping[str, Mapping[str, str]]


def _ended_trials(suite: Path) -> Iterator[StoredTrial]:
    """Yield the trials of a suite that have ended.

    Raises:
        UserError: A record is invalid: what is broken is not to be published.
    """
    for check in verified_suite(suite):
        stored = check.stored
        if stored is not None and _status(stored) in (None, Status.INTERRUPTED):
            continue
        if check.faults:
            raise UserError(f"{check.name} is invalid ({check.faults[0]}); mend it before it is published")
        if stored is not None:
            yield stored


def _status(stored: StoredTrial) -> str | None:
    return stored.record["status"] if stored.record else None


def _plan(suite: str, folder: Path, ended: Sequence[StoredTrial], target: Path, generators: Collection[str]) -> _Plan:
    missed_before, shown = read_left_out(folder), _lowest_seeds(ended)
    files: dict[str, Path | bytes] = {}
    left_out: dict[str, dict[str, str]] = {}
    for stored in ended:
        is_asked = stored.trial["name"] in generators
        names = list(_copied(stored, weights=is_asked, samples=is_asked or stored.path.name in shown))
        files |= {f"{stored.path.name}/{name}": stored.path / name for name in names}
        files |= {f"{stored.path.name}/{name}": content for name, content in portable_end(stored.path).items()}
        known = {**missed_before.get(stored.path.name, {}), **digests(RecordDirectory(stored.path))}
        if missed := {name: known[name] for name in sorted(set(known) - set(names))}:
            left_out[stored.path.name] = missed
    for name in (BASELINES, SUITE):
        if is_regular(folder / name):
            files[name] = folder / name
    files[PLAN] = _plan_text(folder)
    return _Plan(suite=suite, records=folder, target=target, files=files, left_out=left_out)


def _content(source: Path | bytes) -> bytes:
    return source if isinstance(source, bytes) else read_file(source)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _check_replaceable(plan: _Plan) -> None:
    """Refuse to replace files that an earlier publication did not write or that changed since.

    Raises:
        UserError: There is something else in the way: other records, or what a run has trained again.
    """
    target, elsewhere = plan.target, "name another folder with --out"
    is_folder = target.is_dir() and not target.is_symlink()
    is_new = not os.path.lexists(target) or (is_folder and all(each.name.endswith(ASIDE) for each in target.iterdir()))
    if is_new:  # or a publication was killed before it wrote its list
        return
    if target.is_symlink() or target.samefile(plan.records) or not (target / LEFT_OUT).is_file():
        raise UserError(f"{target} is there and is no earlier publication; {elsewhere}")
    earlier = _published(target)
    gone = sorted(name for name in _records(earlier) - _records(plan.files) if (target / name).is_dir())
    if gone:
        raise UserError(
            f"{target} has {plural(len(gone), 'trial')} that {plan.records} has not, or not ended, such as {gone[0]}; "
            f"remove from {target} what shall go, or {elsewhere}"
        )
    inside = {
        path.relative_to(target).as_posix()
        for folder in trial_folders(target)
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }
    for name in sorted({*plan.files, *earlier, *inside}):
        place = target / name
        if any(folder.is_symlink() for folder in (place, *place.parents) if folder.is_relative_to(target)):
            raise UserError(f"{place} is a link or lies behind one; {elsewhere}")
        if not place.exists() or (found := _digest(read_file(place))) == earlier.get(name):
            continue
        if name not in plan.files or found != _digest(_content(plan.files[name])):
            raise UserError(f"{place} is not what was published, a run may have written it; {elsewhere}")


def _records(files: Iterable[str]) -> set[str]:
    """Return the record directories of some files."""
    return {name.partition("/")[0] for name in files if "/" in name}


def _published(target: Path) -> Mapping[str, str]:
    """Return the digests of the files that an earlier publication copied."""
    found = read_publication(target)
    return found.get("published", {}) if found else {}


def _carry_out(plan: _Plan) -> Publication:
    """Write a publication file by file; a later run completes a killed one.

    The list of what the folder holds is what tells it from a user's own. In a new folder it comes first, and in an
    earlier publication last: until then the earlier list tells what may be replaced.
    """
    earlier = _published(plan.target)
    gone = sorted(set(earlier) - set(plan.files))
    published = {name: _digest(_content(source)) for name, source in plan.files.items()}
    text, size = object_text({"schema": schema.VERSION, "files": plan.left_out, "published": published}), 0
    plan.target.mkdir(parents=True, exist_ok=True)
    if not (plan.target / LEFT_OUT).exists():
        write_atomically(plan.target / LEFT_OUT, text)
    for folder in {(plan.target / name).parent for name in plan.files}:
        remove_leftovers(folder, idle=0)  # left by a killed publication, they would be committed
    for name, source in plan.files.items():
        content, place = _content(source), plan.target / name
        size += len(content)
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists() or read_file(place) != content:
            write_atomically(place, content)
    for name in gone:
        (plan.target / name).unlink(missing_ok=True)
    for folder in sorted({(plan.target / name).parent for name in gone}, reverse=True):
        for each in (folder, folder.parent):
            if each != plan.target and each.is_relative_to(plan.target):
                with contextlib.suppress(OSError):  # a user put something into it
                    each.rmdir()
    write_atomically(plan.target / LEFT_OUT, text)
    trials = len(_records(plan.files))
    return Publication(
        folder=plan.target,
        trials=trials,
        unfinished=len(trial_folders(plan.records)) - trials,
        generators=sum(Path(name).name == WEIGHTS for name in plan.files),
        size=size + len(text.encode()),
        telling=named_places(
            ((plan.target / name, _content(source)) for name, source in plan.files.items()),
            {Path.home(), Path.cwd(), plan.records.resolve().parent.parent},
        ),
    )


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
        is_weights = name in (WEIGHTS, AVERAGE_WEIGHTS) or name.startswith(f"{KEPT}/")
        is_sample = name.startswith(f"{SAMPLES}/")
        if (weights or not is_weights) and (samples or not is_sample):
            yield name
    yield RECORD
    if is_regular(stored.path / ADDED):
        yield ADDED


def _plan_text(suite: Path) -> bytes:
    """Return the plan with its command, without paths of this machine."""
    plan = read_known(suite / PLAN, schema.PLAN)
    if "command" in plan:
        plan["command"] = str(Command.parse(plan["command"]).without_places())
    return object_text({key: value for key, value in plan.items() if key != SEAL}).encode()
