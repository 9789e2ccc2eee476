"""The files that the trials of a suite share: what was planned, and the baselines of their scores."""

from __future__ import annotations

import contextlib
import shlex
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from gan_bench.config.design import Design
from gan_bench.config.measures import COLUMNS, MEASURES, Measure
from gan_bench.config.trial import Trial
from gan_bench.core.atomic import move_aside, remove_leftovers, write_atomically
from gan_bench.core.errors import RecordError, UnreadableError
from gan_bench.core.text import printable
from gan_bench.records import schema
from gan_bench.records.json_files import read_file, read_known, write_object
from gan_bench.records.layout import BASELINES, DAMAGED, IDENTITY, LOCKS, PLAN, SUITE, check_name
from gan_bench.records.lock import Lock, suite_lock
from gan_bench.records.reader import check_planned, suite_folders
from gan_bench.records.record import SCHEMA_VERSION

Rows = list[schema.Baseline]
T = TypeVar("T")


@contextmanager
def _rewriting(results: Path, suite: str) -> Iterator[Path]:
    """Let one process at a time rewrite what a suite's trials share.

    Yields:
        The suite's folder.
    """
    folder = results / check_name(suite, "suite")
    folder.mkdir(parents=True, exist_ok=True)
    with suite_lock(folder) as lock:
        lock.acquire(patience=-1)
        remove_leftovers(folder)
        yield folder


def _earlier(path: Path, form: schema.Form[T], check: Callable[[T], object] = lambda _: None) -> T | None:
    """Return what an earlier run left in a file that is to be written again; a damaged one is kept in ``DAMAGED``.

    Args:
        path: The file.
        form: Its form.
        check: Raises RecordError where the content does not hold together.

    Raises:
        UnreadableError: It may not be read, so that nothing of it could be kept.
    """
    try:
        content = read_known(path, form)
        check(content)
    except UnreadableError:
        raise
    except RecordError:
        if path.is_symlink() or path.exists():
            move_aside(path, path.parent / DAMAGED)
        return None
    return content


def write_plan(
    results: Path,
    suite: str,
    version: int,
    trials: Sequence[Trial],
    command: str | None = None,
    design: Design | None = None,
) -> None:
    """Write which trials were planned of a suite's version, so that those that never started are rows too.

    Args:
        results: The results folder.
        suite: Name of the suite.
        version: Its version.
        trials: The trials of this plan; those of earlier plans are kept.
        command: What it is run with.
        design: Which seeds its verdicts are made at, where nothing was declared before; a fixed list when None.
    """
    fresh = [
        {
            **{"name": t.name, "setting": t.setting, "id": t.id, "directory": t.directory},
            **{"config": t.config.to_json(), "drawn": list(t.drawn)},
        }
        for t in trials
    ]
    known = {row["id"] for row in fresh}
    with _rewriting(results, suite) as folder:
        path = folder / PLAN

        def check(content: schema.PlanFile) -> None:
            for row in content["trials"]:
                check_planned(path, row)

        earlier = _earlier(path, schema.PLAN, check) or cast("schema.PlanFile", {})
        is_same = earlier.get("version") == version
        rows = [row for row in earlier.get("trials", ()) if is_same and row["id"] not in known]
        said: dict[str, Any] = {} if command is None else {"command": command}
        measures = {**earlier.get("measures", {}), **_foreign_measures()}
        said |= {"measures": measures} if measures else {}
        said["designs"] = _joined_designs(earlier if is_same else cast("schema.PlanFile", {}), trials, design)
        content = {"schema": SCHEMA_VERSION, "suite": suite, "version": version, **said, "trials": [*rows, *fresh]}
        write_object(path, content)


def _joined_designs(
    earlier: schema.PlanFile, trials: Sequence[Trial], design: Design | None
) -> dict[str, schema.PlannedDesign]:
    """Add the designs of a plan's profiles to those that were declared before."""
    found = _designs_of(earlier)
    for profile in dict.fromkeys(str(trial.config.profile) for trial in trials):
        seeds = list(dict.fromkeys(trial.config.seed for trial in trials if trial.config.profile == profile))
        asked = Design.fixed(seeds) if design is None else design
        found[profile] = asked.following(found.get(profile), seeds)
    stored = dict[str, schema.PlannedDesign]()
    for profile, each in found.items():
        stored[profile] = {"seeds": list(each.seeds), "looks": list(each.looks)}
        if each.margin is not None:
            stored[profile]["margin"] = each.margin
    return stored


def _designs_of(plan: schema.PlanFile) -> dict[str, Design]:
    """Return the designs of a plan by profile; a plan of before there were any has those that its trials are of."""
    seeds: dict[str, list[int]] = {}
    for row in plan.get("trials", ()):
        seeds.setdefault(str(row["config"]["profile"]), []).append(int(row["config"]["seed"]))
    found = {profile: Design.fixed(each) for profile, each in seeds.items()} | _declared(plan)
    return {profile: each.with_seeds(seeds.get(profile, ())) for profile, each in found.items()}


def _declared(plan: schema.PlanFile) -> dict[str, Design]:
    """Return the designs that a plan declares, by profile; what are no looks at its seeds declares nothing."""
    found = {}
    for profile, stored in plan.get("designs", {}).items():
        with contextlib.suppress(ValueError):
            found[profile] = Design(
                seeds=tuple(stored["seeds"]), looks=tuple(stored["looks"]), margin=stored.get("margin")
            )
    return found


def write_baselines(results: Path, suite: str, version: int, baselines: Rows) -> None:
    """Write the scores of real images beside a suite's records, keeping those of other protocols."""
    with _rewriting(results, suite) as folder:
        earlier = _earlier(folder / BASELINES, schema.BASELINES) or cast("schema.Baselines", {})
        is_same = earlier.get("version") == version
        merged = {_subject(row): row for row in earlier.get("anchors", ()) if is_same}
        for row in baselines:
            merged[_subject(row)] = _joined(merged.get(_subject(row)), row)
        content = {"schema": SCHEMA_VERSION, "version": version, "anchors": list(merged.values())}
        write_object(folder / BASELINES, content)


def _subject(row: schema.Baseline) -> tuple[str, int, int]:
    """Name what a baseline is about: which real images were scored, and how many."""
    return row["dataset"], row["image_size"], row["samples"]


def _joined(old: schema.Baseline | None, new: schema.Baseline) -> schema.Baseline:
    """Keep the scores of other extractors, unless they are of other images."""
    if old is None or old.get("data_sha256") != new.get("data_sha256") or old["pictures"] != new["pictures"]:
        return new
    names = {score["name"] for score in new["scores"]}
    return {**new, "scores": [*(score for score in old["scores"] if score["name"] not in names), *new["scores"]]}


def read_suite_baselines(suite: Path) -> Rows:
    """Read the baselines of one suite.

    Raises:
        RecordError: There are none, or they are damaged.
    """
    content = read_known(suite / BASELINES, schema.BASELINES)
    return content["anchors"]


def has_damaged_baselines(results: Path, suite: str) -> bool:
    """True if the baselines of a suite are there and damaged, so that they have to be made again."""
    try:
        read_suite_baselines(results / suite)
    except UnreadableError:
        return False
    except RecordError:
        return True
    except OSError:
        return False
    return False


def read_baselines(results: Path) -> dict[str, Rows]:
    """Read the baselines of every suite under a results folder; damaged ones, which ``scan`` names, are left out.

    Returns:
        Baselines by suite name.
    """
    found: dict[str, Rows] = {}
    for suite in suite_folders(results):
        with contextlib.suppress(RecordError):
            found[suite.resolve().name] = read_suite_baselines(suite)
    return found


def _foreign_measures() -> dict[str, Any]:
    found = MEASURES.items()
    return {name: each.to_json() for name, each in found if each.metric and not MEASURES.is_shipped(name)}


def _plan_of(suite: Path) -> schema.PlanFile:
    """Return a suite's plan, empty when there is none that can be read."""
    try:
        return read_known(suite / PLAN, schema.PLAN)
    except RecordError:
        return cast("schema.PlanFile", {})


def declare_foreign_measures(results: Path) -> None:
    """Make measures known that suites under a results folder were scored with and whose code is not here."""
    for suite in suite_folders(results):
        for name, plain in _plan_of(suite).get("measures", {}).items():
            if name not in COLUMNS and name.isidentifier():
                MEASURES.declare(name, Measure.from_json(plain))


def read_designs(results: Path) -> dict[tuple[str, str], Design]:
    """Read which seeds the verdicts of every suite and profile under a results folder are declared to be made at."""
    return {
        (suite.resolve().name, profile): design
        for suite in suite_folders(results)
        for profile, design in _declared(_plan_of(suite)).items()
    }


def design_so_far(results: Path, suite: str, profile: str) -> Design | None:
    """Return the design that the trials of a suite were planned for until now, or None where there are none."""
    return _designs_of(_plan_of(results / suite)).get(profile)


def read_commands(results: Path) -> dict[str, str]:
    """Read what every suite under a results folder was last run with; suites whose plan does not say are left out."""
    found: dict[str, str] = {}
    for suite in suite_folders(results):
        command = printable(_plan_of(suite).get("command", ""))
        with contextlib.suppress(ValueError):  # an open quote: no command of ours
            if shlex.split(command):
                found[suite.resolve().name] = command
    return found


def write_suite_text(results: Path, suite: str, text: str) -> None:
    """Keep the suite file that is run, as it is.

    Raises:
        UnreadableError: One is there that this process may not read.
    """
    with _rewriting(results, suite) as folder:
        try:
            read_file(folder / SUITE)
        except (FileNotFoundError, UnreadableError) as error:
            if isinstance(error, UnreadableError):
                raise
        except RecordError:  # it is no file
            move_aside(folder / SUITE, folder / DAMAGED)
        write_atomically(folder / SUITE, text)


def results_identity(results: Path) -> str:
    """Return the identity of a results folder, made once in it.

    It goes where the folder goes. A copy has the same identity: on one tracking server it speaks of the same runs.

    Raises:
        UnreadableError: It may not be read; a new one would double every run on a shared server.
        OSError: There is none, and the folder cannot be written.
    """
    path = results / IDENTITY
    with Lock(results / LOCKS, "identity") as lock:
        lock.acquire(patience=-1)
        try:
            return str(uuid.UUID(read_file(path).decode().strip()))
        except FileNotFoundError:
            pass
        except UnreadableError:
            raise
        except (ValueError, RecordError):  # it is no identity, and may be a user's own file
            move_aside(path, results / DAMAGED)
        made = str(uuid.uuid4())
        write_atomically(path, f"{made}\n")
        return made
