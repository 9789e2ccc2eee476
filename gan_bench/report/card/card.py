"""A folder with the card of a setting, ready for a model hub: card, samples, generator, and the code of its network."""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Mapping
from pathlib import Path

from gan_bench.core.atomic import CLEARED, move_aside, remove_leftovers, write_atomically
from gan_bench.core.errors import UserError, brief
from gan_bench.core.text import plural, printable
from gan_bench.records import schema
from gan_bench.records.folders import holds_records
from gan_bench.records.json_files import read_file, read_optional
from gan_bench.records.layout import AVERAGE_WEIGHTS, ENVIRONMENT, RECORD, TRIAL, WEIGHTS, RecordDirectory
from gan_bench.records.outputs import check_output, holds
from gan_bench.records.places import find_code, portable
from gan_bench.records.reader import StoredTrial, read_saved
from gan_bench.records.sample_grid import read_sample_grid
from gan_bench.report.card.text import MARK, SAMPLES, card_markdown, card_of
from gan_bench.report.findings.find_setting import find_setting, require_sound
from gan_bench.report.study.studies import read_studies

CARD = "README.md"
"""Hubs show a folder's README."""
CODE = "architecture.py"
"""File name of a user's own network in a card."""
EARLIER = "earlier"
"""Folder in a card for code that is not what its network was trained with."""
_GENERATOR = (WEIGHTS, AVERAGE_WEIGHTS, TRIAL, ENVIRONMENT, RECORD)
"""Files that a generator is loaded from; ``record.json``, the last, has the digests of the others."""
_NAMES = (CARD, SAMPLES, CODE, *_GENERATOR)
"""Every name that a card's file may have."""


def write_card(results: Path, setting: str, out: Path | None = None, license_name: str | None = None) -> Path:
    """Write the card of a setting, with its samples and its generator, into a folder.

    They are of the trial with the median score; where that one's weights are not there, as in publications, of the
    nearest to it whose are.

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
    found, made = read_studies(results, history=True)
    chosen = find_setting(made, setting)
    require_sound(chosen.setting.study, chosen.label)
    by_id = {item.trial["id"]: item for item in found}
    # max returns the first of equal ones
    stored = max((by_id[trial] for trial in chosen.nearest_trials), key=_has_weights_or_samples)
    record, folder = RecordDirectory(stored.path), out or Path(f"{chosen.setting.name}-card")
    grids = list(record.grids.values())
    names = [name for name in _GENERATOR if (stored.path / name).is_file()] if record.weights.is_file() else []
    shown = [f"{record.samples.name}/{grids[-1].name}"] if grids else []
    read_saved(stored.path, [*(name for name in names if name != RECORD), *shown])
    files = portable({name: read_file(stored.path / name) for name in names}, CODE)
    code = _code_of(stored, folder / CODE) if names else None
    if code is not None:
        files[CODE] = code
    if grids:
        buffer = io.BytesIO()
        read_sample_grid(grids[-1]).save(buffer, "PNG")
        files[SAMPLES] = buffer.getvalue()
    files[CARD] = card_markdown(card_of(chosen, stored), license_name, CODE if code is not None else None).encode()
    try:
        _require_card(folder)
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder, files)
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror}); choose another folder with --out") from None
    return folder


def missing_code(folder: Path) -> str:
    """Return the file name of a card's network code if the card needs it and lacks it."""
    if not (folder / ENVIRONMENT).is_file() or (folder / CODE).is_file():
        return ""
    environment = read_optional(folder / ENVIRONMENT, schema.ENVIRONMENT) or schema.NO_ENVIRONMENT
    parts = environment.get("parts", {})
    gone = [part["name"] for name, part in parts.items() if name.startswith("architectures/") and part.get("path")]
    return printable(gone[0]) if gone else ""


def push_card(folder: Path, repository: str) -> str:
    """Upload a card to a repository of a model hub, which is created if missing.

    The hub is huggingface.co, or what ``HF_ENDPOINT`` names; the token is that of ``hf auth login`` or ``HF_TOKEN``.

    Args:
        folder: The card.
        repository: Its name there, ``owner/name``.

    Returns:
        Address of the repository.

    Raises:
        UserError: The library is not installed, or the hub does not take it.
    """
    try:
        from huggingface_hub import CommitOperationAdd, HfApi
    except ImportError:
        raise UserError('--push needs huggingface_hub, which is not installed: pip install "gan_bench[hub]"') from None
    files = [folder / name for name in _NAMES if (folder / name).is_file()]
    api = HfApi(library_name="gan_bench")
    try:
        made = api.create_repo(repository, exist_ok=True)
        operations = [CommitOperationAdd(path_in_repo=file.name, path_or_fileobj=file) for file in files]
        api.create_commit(made.repo_id, operations, commit_message=f"Add {plural(len(files), 'file')} of a generator")
    except Exception as error:  # of the network, of its libraries, or what the hub answers
        raise UserError(
            f"the card was not uploaded to {repository} ({brief(error)}); it stays in {folder}, try --push again"
        ) from None
    return str(made)


def _has_weights_or_samples(stored: StoredTrial) -> tuple[bool, bool]:
    record = RecordDirectory(stored.path)
    return record.weights.is_file(), bool(record.grids)


def _code_of(stored: StoredTrial, earlier: Path) -> bytes | None:
    """Return the file of a user's own network as used in training; None if none is needed or it is lost.

    Args:
        stored: The trial.
        earlier: Where an earlier card has it, perhaps the only copy.
    """
    name = stored.trial["config"]["architecture"]
    part = stored.environment.get("parts", {}).get(f"architectures/{name}")
    if not part or not part.get("path"):
        return None
    for place in filter(None, (find_code(stored.path, part), earlier)):
        try:
            content = read_file(place)
        except (OSError, UserError):
            continue
        if hashlib.sha256(content).hexdigest() == part["sha256"]:
            return content
    return None


def _require_card(folder: Path) -> None:
    """Refuse to replace files that are not a card, or to write among records.

    Raises:
        UserError: There are files of such names and no card: a record, or a user's README; or a suite's records.
    """
    if folder.is_dir() and holds_records(folder):
        raise UserError(f"{folder} holds records; choose another folder with --out")
    check_output(folder, _NAMES, "card", lambda _: holds(folder / CARD, MARK))


def _replace(folder: Path, files: Mapping[str, bytes]) -> None:
    """Replace an earlier card in a folder once all new files are on disk.

    Code that lies there and is not this card's is kept: it may be another network's only copy, or what a user put
    there.
    """
    remove_leftovers(folder)
    with tempfile.TemporaryDirectory(prefix=".card", suffix=CLEARED, dir=folder) as aside:
        for name, content in files.items():
            write_atomically(Path(aside) / name, content)
        code = folder / CODE
        if code.is_file() and code.read_bytes() != files.get(CODE):
            move_aside(code, folder / EARLIER)
        for name in reversed(_NAMES):
            if name in files:
                (Path(aside) / name).replace(folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
