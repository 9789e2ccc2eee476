"""Published folders -> the rows of a board: every setting with its seeds, its machine, its cost and its audits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gan_bench.config.measures import primary_measure
from gan_bench.core.errors import UserError
from gan_bench.core.text import clip, plural, printable
from gan_bench.records.audits import LEVELS, current_findings, read_audits, record_digest
from gan_bench.records.folders import existing_folder, results_folders_in, suite_folders
from gan_bench.records.places import portable_digest
from gan_bench.records.reader import StoredTrial
from gan_bench.records.record import Protocol
from gan_bench.records.schema import Audit
from gan_bench.records.verify import verify
from gan_bench.report.board.tiers import Sample
from gan_bench.report.card.text import Card, card_of
from gan_bench.report.findings.find_setting import finished_settings
from gan_bench.report.findings.standings import Standing, standings
from gan_bench.report.study.studies import read_studies
from gan_bench.report.study.study import Setting, values_of

LONGEST = 300
"""Most characters of an audit's sentence that are shown, as strangers write them."""


@dataclass(frozen=True, order=True)
class Key:
    """The common properties of settings in one table of a board; only such scores may be compared.

    Attributes:
        dataset: The dataset.
        image_size: Height and width of its images.
        profile: ``full`` or ``quick``.
        protocol: Extractor, split and number of generated images.
        images: Digest of the training images, several where they were changed in between: own ones of one name need
            not be the same.
    """

    dataset: str
    image_size: int
    profile: str
    protocol: Protocol
    images: str


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row: a setting that one machine trained.

    Attributes:
        key: Its table.
        folder: The folder that it was published in, as it was named.
        place: What tells that folder from the others of the board: the end of its path.
        standing: The setting, under the scores that the table compares.
        machine: Names of its processors or graphics cards.
        versions: Versions of torch.
        sample: What groups are made of.
        audits: What auditors found: level by level, how many trials hold, of how many.
        contradicted: Sentences of audits that contradict it or doubt it.
        auditors: When and on what it was audited.
        card: What its card says.
        records: Digests of the ends of its finished trials.
    """

    key: Key
    folder: str
    place: str
    standing: Standing
    machine: str
    versions: str
    sample: Sample
    audits: str
    contradicted: tuple[str, ...]
    auditors: tuple[str, ...]
    card: Card
    records: frozenset[str]

    @property
    def setting(self) -> Setting:
        """The setting."""
        return self.standing.setting

    @property
    def suite(self) -> str:
        """Its suite with its version."""
        return f"{self.setting.study.suite} version {self.setting.study.version}"

    @property
    def published(self) -> str:
        """Its publication: folder and suite."""
        return f"{self.place}/{self.suite}"


@dataclass(frozen=True)
class NotOnBoard:
    """A folder that is not on the board, or a setting without a score or published elsewhere with as many seeds.

    Attributes:
        folder: The folder.
        why: Why, with the setting.
    """

    folder: str
    why: str


def distinct_ends(folders: Sequence[Path]) -> list[str]:
    """Return the shortest distinct end of each path."""
    parts = [folder.resolve().parts[1:] for folder in folders]  # without the root folder
    ends = []
    for own in parts:
        lengths = (n for n in range(1, len(own)) if sum(other[-n:] == own[-n:] for other in parts) == 1)
        ends.append(printable("/".join(own[-next(lengths, len(own)) :])))
    return ends


def published_folders(folders: Sequence[Path]) -> list[Path]:
    """Return the given results folders, or those in a folder that is not one itself.

    Raises:
        UserError: One is not there or holds no records.
    """
    found = dict[Path, Path]()
    for folder in folders:
        inside = [folder] if suite_folders(existing_folder(folder)) else results_folders_in(folder)
        if not inside:
            raise UserError(f"{folder} holds no records; name folders that `gan-bench publish` wrote")
        for each in inside:
            found.setdefault(each.resolve(), each)  # the first of several links to one folder
    return list(found.values())


def entries(folder: Path, place: str) -> Iterator[Entry | NotOnBoard]:
    """Yield the settings of a published folder; a folder with invalid records is omitted as a whole.

    A setting all of whose seeds failed is named: that it failed is a result, which a board must not hide.

    Raises:
        UserError: The folder or its audits cannot be read.
    """
    name = printable(str(folder))
    faults = [f"{check.name}: {fault}" for check in verify(folder) for fault in check.faults]
    if faults:
        more = f", and {plural(len(faults) - 1, 'fault')} more" if len(faults) > 1 else ""
        yield NotOnBoard(name, f"it does not verify: {faults[0]}{more}")
        return
    found, made = read_studies(folder, history=False)
    audits = [audit for suite in suite_folders(folder) for audit in read_audits(suite)]
    by_id = {stored.trial["id"]: stored for stored in found}
    counted = 0
    for study in made:
        for setting in study.settings:
            if lost := _all_lost(setting):
                yield NotOnBoard(name, printable(f"{setting.label} ({study.title}): {lost}"))
        for shown in finished_settings(study):
            for each in (standings(scored).row(shown.label) for scored in study.scored):
                if each.rank is not None:
                    counted += 1
                    yield replace(_entry(name, each, shown, by_id, audits), place=place)
    if not counted:
        yield NotOnBoard(name, "none of its trials is finished and scored")


def _all_lost(setting: Setting) -> str:
    """Return how a setting lost all of its seeds, or an empty text."""
    ended = len(setting.done) + setting.bad
    lost = [standings(scored).row(setting.label).lost for scored in setting.study.scored] or [setting.bad]
    if not ended or min(lost) < ended:
        return ""
    return "its seed failed" if ended == 1 else f"all of its {ended} seeds failed"


def _entry(
    folder: str, standing: Standing, shown: Standing, by_id: Mapping[str, StoredTrial], audits: list[Audit]
) -> Entry:
    study, protocol = standing.setting.study, standing.scored.protocol
    mine = [by_id[trial] for trial in standing.setting.done["trial"]]
    digests = {trial.trial["id"]: record_digest(trial.path) for trial in mine}
    images = {str(trial.environment.get("data_sha256") or "") for trial in mine}
    said, against = _audited(digests, audits)
    return Entry(
        key=Key(study.dataset, study.image_size, study.profile, protocol, "+".join(sorted(images))),
        folder=folder,
        place=folder,
        standing=standing,
        machine=printable(", ".join(dict.fromkeys(str(t.environment.get("device_name") or "unknown") for t in mine))),
        versions=", ".join(dict.fromkeys(str(t.environment.get("libraries", {}).get("torch", "")) for t in mine)),
        sample=_sample(standing),
        audits=said,
        contradicted=against,
        auditors=tuple(_auditors(digests, audits)),
        card=card_of(shown, by_id[standing.median_trial]),
        records=frozenset(portable_digest(trial.path) for trial in mine),
    )


def _sample(standing: Standing) -> Sample:
    """Return the seeds of a setting that may be tested: those of its last complete look.

    Of a setting whose generators collapsed none: their scores spread so far that no better setting would be decided.
    """
    setting, done, final = standing.setting, standing.setting.done, standing.scored.final()
    design = setting.study.design.of(set(done["seed"]))
    look, planned = design.at(set(done["seed"])), len(done) + setting.bad
    if standing.lost:
        return Sample((), unfit=f"{standing.lost} of {planned} failed")
    if design.extended:
        return Sample((), unfit="seeds that were not declared")
    if not look.number:
        return Sample((), unfit=f"{plural(len(done), 'seed')}, first look at {design.looks[0]}")
    counted = done[done["seed"].isin(look.seeds)]
    values = values_of(counted, final, primary_measure()).dropna()
    if (setting.study.collapsed(counted["trial"]) > 0).any():
        # the same counts as in remarks
        return Sample((), unfit=f"{len(standing.collapsed)} of {standing.counted} collapsed")
    return Sample(tuple(float(value) for value in values), design.looks, look.number)


def _auditors(digests: Mapping[str, str], audits: list[Audit]) -> Iterator[str]:
    """Yield the times and machines of the audits of a setting's records."""
    for audit in audits:
        if any(digests.get(each["trial"]) == each["record_sha256"] for each in audit["findings"]):
            machine = audit["machine"]
            on = f"{machine['device_name']} ({machine['device']}, {machine['cpu_capability']})"
            yield printable(f"{audit['at'][:10]} on {on} with torch {machine['libraries'].get('torch', '')}")


def _audited(digests: Mapping[str, str], audits: list[Audit]) -> tuple[str, tuple[str, ...]]:
    """Return the audit findings of a setting's trials by level, and the contradicting ones.

    Args:
        digests: ``record_digest`` of its trials, by id.
        audits: The audits of its folder.
    """
    found = [finding for levels in current_findings(audits, digests).values() for finding in levels.values()]
    counts = Counter(finding["level"] for finding in found if finding["verdict"] == "holds")
    said = [
        "drawn again" if level == "drawn again" else f"{level} {counts[level]} of {len(digests)}"
        for level in LEVELS
        if counts[level] and level != "consistent"  # boards check consistency themselves
    ]
    against = [
        clip(printable(f"{finding['verdict']} ({finding['level']}): {finding['name']}: {finding['text']}"), LONGEST)
        for finding in found
        if finding["verdict"] in ("doubtful", "contradicted")
    ]
    return ", ".join(said), tuple(dict.fromkeys(against))


def read_board(folders: Sequence[Path]) -> tuple[list[Entry], list[NotOnBoard]]:
    """Read the rows of a board; a setting published in two folders has one row, with the most records.

    Raises:
        UserError: A folder is not there, or none holds a setting that can be shown.
    """
    shown, left = list[Entry](), list[NotOnBoard]()
    found = published_folders(folders)
    for folder, place in zip(found, distinct_ends(found), strict=True):
        try:
            for each in entries(folder, place):
                if isinstance(each, NotOnBoard):
                    left.append(each)
                else:
                    shown.append(each)
        except UserError as error:
            left.append(NotOnBoard(printable(str(folder)), str(error)))
    if not shown:
        raise UserError("; ".join(f"{each.folder}: {each.why}" for each in left) or "there is nothing to show")
    with_all = [(each, _with_all(each, shown)) for each in shown]
    left += [_published_again(each, more) for each, more in with_all if more is not each]
    return [each for each, more in with_all if more is each], left


def _with_all(entry: Entry, shown: Sequence[Entry]) -> Entry:
    """Return the first entry with the most records among those that contain all of an entry's records."""
    return max(
        (each for each in shown if each.key == entry.key and entry.records <= each.records),
        key=lambda each: len(each.records),
    )


def _published_again(entry: Entry, more: Entry) -> NotOnBoard:
    """Omit a setting that is published with as many seeds elsewhere, but keep contradicting audits."""
    name = printable(f"{entry.setting.label} ({entry.setting.study.title})")
    seeds = f"its {plural(len(entry.records), 'seed')} are among the {len(more.records)} of {more.folder}"
    return NotOnBoard(entry.folder, "; ".join([f"{name}: {seeds}", *entry.contradicted]))
