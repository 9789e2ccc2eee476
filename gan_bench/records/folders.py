"""Results folders: their suites, the trials of each, and the files that are a suite's own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

from gan_bench.config.naming import means
from gan_bench.config.trial import RESERVED_NAMES, directory_name, setting_key
from gan_bench.core.atomic import ASIDE
from gan_bench.core.errors import CopiedError, DamagedError, MisplacedError, RecordError, UnreadableError, UserError
from gan_bench.core.text import as_argument, at_home, plural, printable
from gan_bench.records import schema
from gan_bench.records.command import Command
from gan_bench.records.json_files import REMEDY, is_link, read_known, read_optional, unreadable, without_remedy
from gan_bench.records.layout import BASELINES, LEFT_OUT, PLAN, SUITE, TRIAL, TRIALS, check_name, is_safe_name
from gan_bench.records.reader import Steps, StoredTrial, read_trial, with_config

E = TypeVar("E", bound=RecordError)
FETCH_AGAIN = "fetch the publication again"
"""Remedy for damaged files of a publication, which no run of the suite rewrites."""
Planned = Mapping[str, schema.PlannedTrial]
"""Planned trials by the names of their directories."""


def existing(results: Path) -> Path:
    """Return an existing results folder, or raise.

    Raises:
        UserError: It is not, it is a record in one, or it holds results folders, such as those of several people.
    """
    if not suite_folders(existing_folder(results)) and (inside := results_folders_in(results)):
        count, name = plural(len(inside), "results folder"), "name one, such as" if len(inside) > 1 else "name it,"
        raise UserError(f"{results} holds {count}: {name} {inside[0]}")
    return results


def existing_folder(results: Path) -> Path:
    """Return an existing results folder or a folder of such, or raise.

    Raises:
        UserError: It is not, or it is a record.
    """
    if not results.is_dir():
        raise UserError(f"{results} is no folder; name the results folder of an earlier run")
    place = results.absolute()
    if fnmatchcase(place.name, TRIALS) and (results / TRIAL).is_file():
        raise UserError(f"{results} is the record of one trial; name its suite's folder, {place.parent}")
    return results


def results_folders_in(folder: Path) -> list[Path]:
    """Return the results folders in a folder that is not one itself."""
    found = list[Path]()
    for each in sorted(folder.iterdir()):
        with contextlib.suppress(OSError, UnreadableError):  # skip inaccessible folders
            if not each.name.startswith(".") and holds_records(each):
                found.append(each)
    return found


def holds_records(folder: Path) -> bool:
    """True if a folder is, or holds, a suite's folder as far as this process may look.

    Raises:
        UnreadableError: It may not look into the folder itself.
    """
    return any(_is_suite(path, unseen=False) for path in suite_folders(folder))


def suite_folders(results: Path) -> list[Path]:
    """Return the suites under a results folder, or the folder itself when it is one suite's.

    Of a folder and links that lead to it there is one: that of the suite's name, else the folder.
    """
    try:
        if (results / PLAN).exists():
            return [results]
        folders = [path for path in sorted(results.iterdir()) if path.name not in RESERVED_NAMES]
    except OSError as error:
        raise unreadable(results, error) from None
    found = [path for path in folders if not path.name.startswith(".") and _is_suite(path, unseen=True)]
    return _distinct(found) if any(map(Path.is_symlink, found)) else found


def _distinct(folders: Iterable[Path]) -> list[Path]:
    """Return folders without duplicates of the same folder."""
    kept: dict[Path, Path] = {}
    for each in sorted(folders, key=lambda each: (each.name != suite_of(each), each.is_symlink())):  # stable
        kept.setdefault(each.resolve(), each)
    return sorted(kept.values())


def _is_suite(folder: Path, *, unseen: bool) -> bool:
    """True if a folder holds a plan, baselines or a record; ``unseen`` where this process may not see what it holds."""
    try:
        if not folder.is_dir():
            return False
        return (folder / PLAN).exists() or (folder / BASELINES).exists() or bool(trial_folders(folder))
    except (OSError, UnreadableError):
        return unseen


def plan_of(suite: Path) -> schema.PlanFile:
    """Return the plan of a suite's folder, empty when there is none that can be read."""
    return read_optional(suite / PLAN, schema.PLAN, RecordError) or schema.NO_PLAN


def suite_of(folder: Path) -> str:
    """Return the name of a folder's suite: from its plan, else the folder's own name."""
    named = plan_of(folder).get("suite", "")  # plans of the first versions name none
    return named if is_safe_name(named) else folder.resolve().name


def is_publication(suite: Path) -> bool:
    """True if a suite's folder is a publication."""
    return (suite / LEFT_OUT).is_file()


def is_published(suite: Path, directory: str = "") -> bool:
    """True if a record, or a suite's shared files, are in the list of a publication; a run may have added records."""
    names = None
    with contextlib.suppress(RecordError):
        found = read_publication(suite)
        names = found.get("published") if found else None
    is_listed = not directory or names is None or any(each.startswith(f"{directory}/") for each in names)
    return is_publication(suite) and is_listed


def command_of(folder: Path, plan: schema.PlanFile, suite: str) -> str:
    """Return the command that continues the suite of a folder; empty if it would start in another folder.

    Of a suite that a program made it names the file that the folder keeps, wherever that lies now.
    """
    command = Command.parse(printable(plan.get("command", "")))
    home = folder if folder.name == suite else folder.resolve()  # follow a link with another name
    if not command.words or home.name != suite:
        return ""
    kept = as_argument(Path(at_home(command.value("--results") or "results")) / suite / SUITE)
    own = as_argument(home / SUITE)
    command = replace(command, words=tuple(own if as_argument(word) == kept else word for word in command.words))
    return str(command.without_places() if is_publication(folder) else command.at(home.parent))


@dataclass(frozen=True)
class SuiteFolders:
    """The folders of one suite under a results folder.

    Attributes:
        read: What the suite is: the folder of its name, else the first by name; of links that lead to it, one.
        others: Copies of it, and what was put aside before it was begun anew: they count in no table.
    """

    read: Path
    others: list[Path]

    @classmethod
    def of(cls, suite: str, folders: Iterable[Path]) -> SuiteFolders:
        """Sort the distinct folders of one suite: which is read, and which are others."""
        read, *others = sorted(folders, key=lambda each: (each.name != suite, each.resolve().name != suite))  # stable
        return cls(read, others)


def folders_by_suite(results: Path) -> dict[str, SuiteFolders]:
    """Return the folders of each suite under a results folder, in the order of the paths that they are read from."""
    found: dict[str, list[Path]] = {}
    for folder in suite_folders(results):
        found.setdefault(suite_of(folder), []).append(folder)
    suites = ((suite, SuiteFolders.of(suite, folders)) for suite, folders in found.items())
    return dict(sorted(suites, key=lambda each: each[1].read))


def trial_folders(suite: Path) -> list[Path]:
    """Return the record directories of a suite's folder, sorted by name.

    Raises:
        UnreadableError: The system does not let this process look into the folder.
    """
    try:
        with os.scandir(suite) as entries:
            names = [each.name for each in entries if fnmatchcase(each.name, TRIALS) and not each.is_file()]
    except OSError as error:
        raise unreadable(suite, error) from None
    return [suite / name for name in sorted(names) if not name.startswith(".")]


def count_records(results: Path) -> int:
    """Count the record directories under a results folder, without reading them or plans."""
    count = 0
    for suite in suite_folders(results):
        with contextlib.suppress(UnreadableError):  # reading it says so
            count += len(trial_folders(suite))
    return count


def scan(results: Path, *, steps: Steps = True, history: bool = True) -> Iterator[StoredTrial | RecordError]:
    """Read every trial under a results folder, planned ones that never started included.

    Args:
        results: A results folder, or one suite's folder in it.
        steps: Whether the ``step`` lines of histories are read; without them a long history takes a fraction of the
            time.
        history: Whether histories are read at all.

    Yields:
        Suite by suite, trials in the order of their paths, and an error for every directory that is damaged or cannot
        be read, for a suite's folder, or for its baselines; then planned trials without a record, and one whose
        directory is faulty has its ``fault``; then an error for every other folder of the suite, which is not read: a
        copy may be older or edited, and what was put aside has another plan. Within a folder, records in directories
        that are not called as theirs follow those that are, and count where those are not there.
    """
    suites = folders_by_suite(results)
    for folders in suites.values():
        if fault := baselines_fault(folders.read):
            yield fault
        seen, planned = dict[str, Path](), list[StoredTrial]()
        for item in _at_home_first(scan_suite(folders.read, steps=steps, history=history)):
            if isinstance(item, RecordError):
                yield item
                continue
            trial_id, path, home = item.trial["id"], item.path, home_of(item)
            own = suites.get(str(item.trial["config"].get("suite")), folders).read
            if not item.record and not item.environment:
                planned += [item] if own == folders.read else []
            elif own != folders.read:
                yield MisplacedError(path, own)
            elif (first := seen.get(trial_id) or (home if home.is_dir() else path)) != path:
                yield CopiedError(path, first)
            else:
                seen[trial_id] = path
                yield item
        yield from (item for item in planned if item.trial["id"] not in seen)
        for other in folders.others:
            if count := len(list(other.glob(TRIALS))):
                yield MisplacedError(other, folders.read, count)


def _at_home_first(found: Iterable[StoredTrial | RecordError]) -> Iterator[StoredTrial | RecordError]:
    """Yield records in unexpected directories last, as a copy may be older than the trial."""
    elsewhere = list[StoredTrial]()
    for item in found:
        if isinstance(item, StoredTrial) and item.path != home_of(item):
            elsewhere.append(item)
        else:
            yield item
    yield from elsewhere


def home_of(stored: StoredTrial) -> Path:
    """Return where the record of a trial belongs in the suite's folder that it was found in."""
    return stored.path.parent / directory_name(stored.trial["name"], stored.trial["id"])


def baselines_fault(suite: Path) -> RecordError | None:
    """Return why the baselines of a suite cannot be trusted, or None."""
    try:
        read_optional(suite / BASELINES, schema.BASELINES)
    except RecordError as error:
        return _with_remedy(error, suite)
    return None


def scan_suite(suite: Path, *, steps: Steps = True, history: bool = True) -> Iterator[StoredTrial | RecordError]:
    """Read every trial of one suite's folder, as ``scan`` does."""
    seen: set[str] = set()
    faults: dict[str, RecordError] = {}
    try:
        folders = trial_folders(suite)
    except UnreadableError as error:
        error.folder = suite.name
        yield error
        return
    rows = _planned(suite, has_records=bool(folders))
    known = {row["directory"]: row for row in rows} if isinstance(rows, list) else None
    withdrawn = {name for name, row in (known or {}).items() if row.get("withdrawn")}
    for path in folders:
        found = read_or_error(path, steps=steps, history=history)
        if isinstance(found, StoredTrial):
            home = home_of(found).name
            seen |= {path.name} if (suite / home).is_dir() else {path.name, home}
            fault = found.fault and _with_remedy(found.fault, suite, known, home)
            found = replace(found, withdrawn=home in withdrawn, fault=fault)
        elif known and path.name in known and _has_not_begun(path):
            continue
        else:
            faults[path.name] = found = _with_remedy(found, suite, known, path.name)
        yield found
    if isinstance(rows, RecordError):
        yield rows
        return
    for row in rows:
        if (name := row["directory"]) not in seen:
            yield StoredTrial(
                path=suite / name,
                trial=row,
                environment=schema.NO_ENVIRONMENT,
                history=[],
                evaluations=[],
                record=None,
                fault=faults.get(name),
                withdrawn=name in withdrawn,
            )


def _has_not_begun(path: Path) -> bool:
    """True if a record directory is empty, as after a kill or on a full disk."""
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        return not is_link(path) and all(each.name.endswith(ASIDE) and not each.is_symlink() for each in entries)
    return False


def _planned(suite: Path, *, has_records: bool) -> list[schema.PlannedTrial] | RecordError:
    """Return the planned trials of a suite, or the error why they are unknown, if there are records."""
    if not os.path.lexists(suite / PLAN):
        missing = UnreadableError(  # the records themselves may be intact
            f"{suite / PLAN} is missing, so what was planned and which seeds were declared is not known; copy it "
            "from where the records come from"
        )
        return missing if has_records else []
    try:
        return read_plan(suite)
    except RecordError as error:
        return _with_remedy(error, suite)


def _with_remedy(error: E, suite: Path, known: Planned | None = None, directory: str = "") -> E:
    """Return an error with the exact remedy: the command that replaces the file, or another one if no run does.

    Args:
        error: What is wrong with a record, or with a file of the suite's own.
        suite: The suite's folder.
        known: Its planned trials by directory; None where they are not known, or it is no record.
        directory: The record's.
    """
    if not str(error).endswith(REMEDY) or (known is None and not is_publication(suite)):
        return error
    moved = type(error)(str(error).removesuffix(REMEDY) + remedy_of(suite, known or {}, directory))
    moved.folder, moved.bare = error.folder, without_remedy(error)
    return moved


def remedy_of(suite: Path, known: Planned, directory: str) -> str:
    """Return the command that replaces a damaged record, whatever the last run of its suite trained.

    Args:
        suite: The suite's folder.
        known: Its planned trials by directory.
        directory: The record's.
    """
    if is_published(suite, directory):
        return FETCH_AGAIN
    row = known.get(directory) or read_optional(suite / directory / TRIAL, schema.TRIAL, RecordError)
    asked_for = {setting_key(each["config"]) for each in known.values() if not each.get("withdrawn")}
    if row is None or setting_key(row["config"]) not in asked_for:  # another seed of a planned setting is a run's, too
        return "its suite does not ask for the trial, so no run replaces it; move it elsewhere"
    config, seed = row["config"], str(row["config"]["seed"])
    own = command_of(suite, plan_of(suite), suite_of(suite))
    command = Command.parse(own).training([config], str(config["suite"]), str(config["profile"])) if own else None
    if command is None:
        return f"run the suite again with `--seeds {seed}` to replace it"
    only = Command.parse(own).value("--only")
    command = command.having("--only", only) if only and means(row["name"], config, only) else command
    return f"`{command.of_seeds(seed)}` replaces it"


def read_or_error(path: Path, *, steps: Steps = True, history: bool = True) -> StoredTrial | RecordError:
    """Read a record directory, or return what is wrong with it."""
    try:
        return read_trial(path, steps=steps, history=history)
    except RecordError as error:
        error.folder = path.name
        return error


def fault_of(found: StoredTrial | RecordError) -> RecordError | None:
    """Return the error of an item of ``scan``, or None."""
    return found if isinstance(found, RecordError) else found.fault


def read_plan(suite: Path) -> list[schema.PlannedTrial]:
    """Read the trials that were planned of a suite.

    Raises:
        RecordError: The plan is damaged.
    """
    path = suite / PLAN
    return planned_trials(path, read_known(path, schema.PLAN))


def planned_trials(path: Path, plan: schema.PlanFile) -> list[schema.PlannedTrial]:
    """Return the trials of a plan, with all fields of their configs.

    Raises:
        RecordError: The suite's name, a directory or a config is damaged.
    """
    try:
        check_name(plan.get("suite", "suite"), "suite")
        for row in plan["trials"]:
            check_name(row["directory"], "trial")
    except UserError as error:
        raise DamagedError(f"{path} is damaged: {error}") from None
    return [with_config(path, row) for row in plan["trials"]]


def read_left_out(suite: Path) -> dict[str, dict[str, str]]:
    """Read which files a published suite omits.

    Returns:
        Digests of these files by record directory and name; empty for records that were not published.

    Raises:
        RecordError: The list is damaged.
    """
    found = read_publication(suite)
    return found["files"] if found else {}


def read_publication(suite: Path) -> schema.LeftOut | None:
    """Read ``left-out.json`` of a published suite: its omitted and copied files; None for other records.

    Raises:
        RecordError: It is damaged.
        UnreadableError: The system does not let this process read it.
    """
    try:
        return read_optional(suite / LEFT_OUT, schema.LEFT_OUT)
    except DamagedError as error:
        remedy = "no run writes it; fetch the publication again, or publish again"
        raise DamagedError(str(error).replace(REMEDY, remedy)) from None


def excused(left_out: Mapping[str, Mapping[str, str]], stored: StoredTrial) -> frozenset[str]:
    """Return which files of a trial may be missing, as its publication omitted them.

    Args:
        left_out: What ``read_left_out`` returned of its suite.
        stored: The trial; one that was trained again since has other digests.
    """
    files = (stored.record or schema.NO_RECORD).get("files", {})
    home = home_of(stored).name
    return frozenset(name for name, digest in left_out.get(home, {}).items() if files.get(name) == digest)
