"""The `plan.json` of a suite: its planned trials, and the seeds declared for its verdicts."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from gan_bench.config.design import UNKNOWN, Design
from gan_bench.config.measures import COLUMNS, MEASURES, Measure
from gan_bench.config.trial import Trial, TrialConfig
from gan_bench.core.atomic import move_aside, write_atomically
from gan_bench.core.errors import DamagedError, RecordError
from gan_bench.records import schema
from gan_bench.records.command import SUITE_ENDINGS, Command
from gan_bench.records.folders import (
    command_of,
    folders_by_suite,
    plan_of,
    planned_trials,
    suite_folders,
    trial_folders,
)
from gan_bench.records.json_files import is_regular, read_if_there, read_known, read_optional, write_object
from gan_bench.records.layout import DAMAGED, PLAN, SUITE, TRIAL
from gan_bench.records.shared import Rows, left_by_earlier, read_baselines, rewriting


def write_plan(
    results: Path,
    suite: str,
    version: int,
    trials: Sequence[Trial],
    command: str | None = None,
    design: Design | None = None,
    *,
    whole: bool = False,
) -> None:
    """Write the planned trials of a suite's version, so that trials that never started are rows, too.

    Of other versions it keeps what they declared, which holds again when they are run again.

    Args:
        results: The results folder.
        suite: Name of the suite.
        version: Its version.
        trials: The trials of this plan; those of earlier plans are kept.
        command: What it is run with.
        design: Which seeds its verdicts are made at, where nothing was declared before; a fixed list when None.
        whole: Whether this is all that the suite asks for: then trials of earlier plans whose settings it has no
            longer are marked as withdrawn.
    """
    fresh: list[schema.PlannedTrial] = [
        {
            "name": trial.name,
            "setting": trial.setting,
            "id": trial.id,
            "directory": trial.directory,
            "config": trial.config.to_json(),
            "drawn": list(trial.drawn),
        }
        for trial in trials
    ]
    known = {row["id"] for row in fresh}
    with rewriting(results, suite) as folder:
        path = folder / PLAN
        earlier = left_by_earlier(path, schema.PLAN, partial(planned_trials, path)) or schema.NO_PLAN
        same = earlier if earlier.get("version") == version else schema.NO_PLAN
        rows = [row for row in same.get("trials", ()) if row["id"] not in known]
        rows = _withdrawn(rows, trials) if whole else rows
        said: dict[str, object] = {} if command is None else {"command": command}
        measures = {**earlier.get("measures", {}), **_foreign_measures()}
        said |= {"measures": measures} if measures else {}
        others, before = _other_versions(earlier, version), _of_version(earlier, version)
        lost = frozenset[Place]() if same else _begun(folder, version) - before.keys()
        designs = _joined_designs(before, same.get("trials", ()), fresh, design, lost)
        said |= {"designs": designs} if designs else {}
        said |= {"earlier": others} if others else {}
        content = {"schema": schema.VERSION, "suite": suite, "version": version, **said, "trials": [*rows, *fresh]}
        write_object(path, content)


def _withdrawn(rows: Iterable[schema.PlannedTrial], trials: Sequence[Trial]) -> list[schema.PlannedTrial]:
    """Mark the trials of earlier plans whose settings are no longer among those of a suite's trials.

    Seeds alone withdraw none: a declared look may need them. Trials of a profile that is not run now stay as they are,
    and full ones where a cap of the command line makes others quick.
    """
    profiles, settings = {trial.config.profile for trial in trials}, setting_ids(trial.config for trial in trials)
    profiles = {"quick"} if "quick" in profiles else profiles
    found = list[schema.PlannedTrial]()
    for row in rows:
        config, marked = TrialConfig.from_json(row["config"]), row.copy()
        if config.profile in profiles:
            marked.pop("withdrawn", None)  # the suite may have it again
            if not setting_ids([config]) <= settings:
                marked["withdrawn"] = True
        found.append(marked)
    return found


def setting_ids(configs: Iterable[TrialConfig]) -> set[str]:
    """Return ids of the settings of trials: those that the trials would have with seed 0."""
    return {replace(config, seed=0).id for config in configs}


Place = tuple[str, str]
"""A profile and a dataset: within them trials are compared."""
StoredDesigns = dict[str, dict[str, schema.PlannedDesign]]
"""Designs in the form of a plan, by profile and dataset."""


def _seeds_by_place(trials: Iterable[schema.PlannedTrial | schema.TrialFile]) -> dict[Place, list[int]]:
    """Return the seeds of planned trials by profile and dataset; rows with an invalid config are left out."""
    found: dict[Place, list[int]] = {}
    for row in trials:
        config = row["config"]
        if isinstance(seed := config.get("seed"), int):
            found.setdefault((str(config.get("profile")), str(config.get("dataset"))), []).append(seed)
    return found


def _begun(suite: Path, version: int) -> frozenset[Place]:
    """Return the profiles and datasets of a version's records in a suite's folder; unreadable ones are left out."""
    trials = (read_optional(folder / TRIAL, schema.TRIAL, RecordError) for folder in trial_folders(suite))
    return frozenset(
        _seeds_by_place(each for each in trials if each and each["config"].get("suite_version") == version)
    )


def declaration_lost(results: Path, suite: str, version: int) -> frozenset[Place]:
    """Return the profiles and datasets whose records lost the declaration of their seeds.

    Their plan is gone, damaged or was replaced by that of another version, now or before an earlier run.

    Raises:
        UnreadableError: The system does not let this process look.
    """
    folder = results / suite
    try:
        plan = read_known(folder / PLAN, schema.PLAN)
        planned_trials(folder / PLAN, plan)
    except DamagedError:
        plan = schema.NO_PLAN
    known = _of_version(plan, version)
    extended = frozenset(place for place, design in known.items() if design.extended)
    if plan.get("version") == version or not folder.is_dir():
        return extended
    return extended | (_begun(folder, version) - known.keys())


def _of_version(plan: schema.PlanFile, version: int) -> dict[Place, Design]:
    """Return the designs that a plan has for a version of a suite."""
    is_planned = plan.get("version") == version
    return _declared(plan.get("designs", {}) if is_planned else plan.get("earlier", {}).get(str(version), {}))


def _other_versions(plan: schema.PlanFile, version: int) -> dict[str, StoredDesigns]:
    """Return the designs of all other versions in a plan."""
    found = {number: stored for number, stored in plan.get("earlier", {}).items() if number != str(version)}
    if plan and plan["version"] != version:
        declared, seeds = _declared(plan.get("designs", {})), _seeds_by_place(plan["trials"])
        declared |= {place: Design.fixed(sorted(mine)) for place, mine in seeds.items() if place not in declared}
        declared = {place: each.with_seeds(seeds.get(place, ())) for place, each in declared.items()}
        found[str(plan["version"])] = _stored(declared, {place for place, each in declared.items() if each.extended})
    return found


def _joined_designs(
    found: dict[Place, Design],
    earlier: Iterable[schema.PlannedTrial],
    fresh: Sequence[schema.PlannedTrial],
    design: Design | None,
    lost: frozenset[Place],
) -> StoredDesigns:
    """Add the designs of new trials to those that were declared before, for the trials of earlier plans.

    Trials that were planned before designs were declared stay fixed lists without one, unless seeds are added. Where an
    earlier declaration was lost, that stays so.
    """
    before = _seeds_by_place(earlier)
    lost |= {place for place, each in found.items() if each.extended}
    found |= dict.fromkeys(lost - found.keys() - _seeds_by_place(fresh).keys(), UNKNOWN)
    for place, seeds in _seeds_by_place(fresh).items():
        asked = Design.fixed(sorted(set(seeds))) if design is None else design
        inferred = Design.fixed(before[place]) if place in before and place not in found else None
        made = asked.following(found.get(place, inferred), seeds)
        if inferred is None or made.extended or made.seeds != inferred.seeds:
            found[place] = made
    return _stored(found, lost)


def _stored(found: Mapping[Place, Design], lost: Collection[Place]) -> StoredDesigns:
    """Return designs in the form of a plan."""
    stored: dict[str, dict[str, schema.PlannedDesign]] = {}
    for (profile, dataset), each in found.items():
        row: schema.PlannedDesign = {"seeds": list(each.seeds), "looks": list(each.looks)}
        if each.margin is not None:
            row["margin"] = each.margin
        if (profile, dataset) in lost:
            row["lost"] = True
        stored.setdefault(profile, {})[dataset] = row
    return stored


def _declared(designs: StoredDesigns) -> dict[Place, Design]:
    """Return the designs that a plan declares; invalid looks declare nothing."""
    found = {}
    for profile, by_dataset in designs.items():
        for dataset, stored in by_dataset.items():
            with contextlib.suppress(ValueError):
                found[profile, dataset] = Design(
                    seeds=tuple(stored["seeds"]),
                    looks=tuple(stored["looks"]),
                    margin=stored.get("margin"),
                    extended=stored.get("lost", False),
                )
    return found


def _foreign_measures() -> dict[str, object]:
    found = MEASURES.items()
    return {name: each.to_json() for name, each in found if each.metric and not MEASURES.is_shipped(name)}


def declare_foreign_measures(results: Path) -> None:
    """Register measures of suites under a results folder whose code is missing."""
    for suite in suite_folders(results):
        for name, plain in plan_of(suite).get("measures", {}).items():
            if name not in COLUMNS and name.isidentifier():
                MEASURES.register_placeholder(name, Measure.from_json(plain))


@dataclass(frozen=True)
class Suites:
    """Plans and designs of the suites of a results folder, as reports read them.

    Attributes:
        versions: Versions of the suites that their plans are of; a suite without one has no plan.
        designs: Which seeds verdicts are declared to be made at, by suite, version, profile and dataset.
        commands: What each was last run with; suites whose plan does not say are left out. Commands name the folder
            that is read: it may have been moved or copied since, and a command that is followed must not train into
            another. Those of publications name none.
        baselines: Scores of real images.
    """

    versions: Mapping[str, int] = field(default_factory=dict)
    designs: Mapping[tuple[str, int, str, str], Design] = field(default_factory=dict)
    commands: Mapping[str, str] = field(default_factory=dict)
    baselines: Mapping[str, Rows] = field(default_factory=dict)

    def is_of_another(self, suite: str, version: int) -> bool:
        """Whether a version of a suite is not that of its plan, so that no run trains its trials."""
        return version != self.versions.get(suite, version)

    def design(self, suite: str, version: int, profile: str, dataset: str) -> Design | None:
        """Return the design of a version of a suite; None if its plan is older than designs.

        It is unknown for a suite whose plan is gone or cannot be read.
        """
        if suite not in self.versions:
            return UNKNOWN
        undeclared = UNKNOWN if self.is_of_another(suite, version) else None
        return self.designs.get((suite, version, profile, dataset), undeclared)


def read_suites(results: Path) -> Suites:
    """Read the plans and designs of every suite under a results folder."""
    versions, designs = dict[str, int](), dict[tuple[str, int, str, str], Design]()
    commands, baselines = dict[str, str](), dict[str, Rows]()
    for suite, folders in folders_by_suite(results).items():
        plan, baselines[suite] = plan_of(folders.read), read_baselines(folders.read)
        if not plan:
            continue
        versions[suite] = plan["version"]
        declared = {**plan.get("earlier", {}), str(versions[suite]): plan.get("designs", {})}
        for version, stored in declared.items():
            designs |= {(suite, int(version), *place): each for place, each in _declared(stored).items()}
        if command := command_of(folders.read, plan, suite):
            commands[suite] = command
    return Suites(versions, designs, commands, baselines)


def design_so_far(results: Path, suite: str, version: int, profile: str, dataset: str) -> Design | None:
    """Return the present design of a suite's trials; None if none of its version were planned."""
    if (profile, dataset) in declaration_lost(results, suite, version):
        return UNKNOWN
    plan = plan_of(results / suite)
    known = _of_version(plan, version).get((profile, dataset))
    if plan.get("version") != version:
        return known
    seeds = _seeds_by_place(plan["trials"]).get((profile, dataset), [])
    known = known or (Design.fixed(seeds) if seeds else None)
    return known and known.with_seeds(seeds)


def suite_files(suite: Path) -> list[Path]:
    """Return possible paths of the last suite file; paths in it are relative to its folder.

    The command names it, and the results folder, from the folder that it was run in. That is known as long as both
    lie where they did; else a file of that name in the current folder is taken. Where it is known, such a file counts
    only where it says the same.
    """
    command = Command.parse(plan_of(suite).get("command", ""))
    named, results = Path(command.value("--results") or "results"), suite.resolve().parent
    depth = len(named.parts)
    is_there = not named.is_absolute() and ".." not in named.parts and results.parts[-depth:] == named.parts
    base = results.parents[depth - 1] if depth and is_there and depth < len(results.parts) else None
    found = list[Path]()
    for word in (each for each in command.words if each.endswith(SUITE_ENDINGS)):
        with contextlib.suppress(OSError, ValueError):  # a name that no file can have
            there, here = (base or Path()) / word, Path(word)
            if is_regular(there):
                found.append(there)
            if is_regular(here) and here.read_bytes() == (suite / SUITE).read_bytes():
                found.append(here)
    return list(dict.fromkeys(found))


def write_suite_text(results: Path, suite: str, text: str) -> None:
    """Keep a copy of the suite file.

    Raises:
        UnreadableError: One is there that this process may not read.
    """
    with rewriting(results, suite) as folder:
        try:
            read_if_there(folder / SUITE)
        except DamagedError:  # it is no file
            move_aside(folder / SUITE, folder / DAMAGED)
        write_atomically(folder / SUITE, text)
