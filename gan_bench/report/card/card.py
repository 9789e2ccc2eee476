"""A folder with the card of a setting, ready for a model hub: card, samples, generator."""

from __future__ import annotations

from pathlib import Path

from gan_bench.core.atomic import write_atomically
from gan_bench.core.errors import UserError
from gan_bench.records.json_files import read_file
from gan_bench.records.layout import RECORD, RecordDirectory
from gan_bench.records.reader import read_saved
from gan_bench.records.sample_grid import read_sample_grid
from gan_bench.report.card.text import MARK, SAMPLES, card_markdown, card_of
from gan_bench.report.findings.find_setting import find_setting, require_sound
from gan_bench.report.study.studies import read_studies

CARD = "README.md"
"""Hubs show a folder's README."""


def write_card(results: Path, setting: str, out: Path | None = None, license_name: str | None = None) -> Path:
    """Write the card of a setting, with its samples and its generator, into a folder.

    Args:
        results: A results folder, or one suite's folder in it.
        setting: A name in tables or in suites, part of one, a glob, or ``best``; exactly one setting must match.
        out: The folder; None takes one here that is named after the setting.
        license_name: Licence of the generator, for the metadata: ``mit``, ``cc-by-4.0`` and the like.

    Returns:
        The folder.

    Raises:
        UserError: No setting matches, several do, or the folder cannot be written or is none for a card.
        RecordError: A record of the setting is damaged or not what was saved.
    """
    found, made = read_studies(results)
    chosen = find_setting(made, setting)
    median = chosen.scored.median_trial(chosen.done)
    require_sound(chosen.study, chosen.label)
    stored = next(item for item in found if item.trial["id"] == median)
    record, folder = RecordDirectory(stored.path), out or Path(f"{chosen.name}-card")
    grids = sorted(record.samples.glob("epoch-*.png"))
    names = [file.name for file in _generator_files(record) if file.is_file()] if record.weights.is_file() else []
    shown = [f"{record.samples.name}/{grids[-1].name}"] if grids else []
    read_saved(stored.path, [*(name for name in names if name != RECORD), *shown])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _make_room(folder, record)
        if grids:
            read_sample_grid(grids[-1]).save(folder / SAMPLES)
        for name in names:
            write_atomically(folder / name, read_file(stored.path / name))
        write_atomically(folder / CARD, card_markdown(card_of(chosen, stored), license_name))
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror}); choose another folder with --out") from None
    return folder


def _generator_files(record: RecordDirectory) -> tuple[Path, ...]:
    """Return what a generator is loaded from; the end of its trial has the digests of the others."""
    return record.weights, record.average_weights, record.trial, record.environment, record.record


def _make_room(folder: Path, record: RecordDirectory) -> None:
    """Remove an earlier card, none of whose files may pass for this one's.

    Raises:
        UserError: There are files of such names and no card: a record, or a user's README.
    """
    card = folder / CARD
    names = (CARD, SAMPLES, *(file.name for file in _generator_files(record)))
    there = [name for name in names if (folder / name).exists()]
    is_card = card.exists() and MARK in card.read_text(encoding="utf-8", errors="replace")
    if there and not is_card:
        raise UserError(f"{folder} holds {there[0]} and no card, and stays as it is; choose another folder with --out")
    for name in there:
        (folder / name).unlink()
