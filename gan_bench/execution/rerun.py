"""Check records: that nothing was lost, doubled or changed since they were written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch

from gan_bench.config.trial import TrialConfig
from gan_bench.core.errors import RecordError, UserError
from gan_bench.data.datasets import DATASETS, DataRoot
from gan_bench.execution.context import RunContext
from gan_bench.execution.environment import describe, fix_bits
from gan_bench.records.record import Status, TrialRecord, best_scores
from gan_bench.records.store import RecordDirectory, StoredTrial, finite, scan
from gan_bench.training import checkpoint

RERUN_STEPS = 200
"""Most steps that are trained again to compare the first logged one."""


@dataclass(frozen=True)
class Verdict:
    """What was found out about one record.

    Attributes:
        name: Its directory, or the trial's name.
        faults: What is not as it should be, a sentence each.
        remarks: What is worth knowing.
        checked: Whether there was a record to check.
    """

    name: str
    faults: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    checked: bool = True


def verify(results: Path) -> Iterator[Verdict]:
    """Check every record under a results folder, reading only.

    Yields:
        A verdict for every planned trial and for every directory that cannot be read.
    """
    for stored in scan(results):
        if isinstance(stored, RecordError):
            yield Verdict("record", (str(stored),))
        elif (stored.path / "trial.json").exists():
            yield Verdict(stored.path.name, tuple(_faults(stored)), tuple(_remarks(stored)))
        else:
            yield Verdict(stored.path.name, (), ("is planned and has no record",), checked=False)


def _faults(stored: StoredTrial) -> Iterator[str]:
    try:
        config = TrialConfig.from_json(stored.trial["config"])
    except ValueError as error:
        yield f"trial.json is not valid: {error}"
        return
    if config.id != stored.trial["id"] or not stored.path.name.endswith(f"--{config.id}"):
        yield f"its id is not that of its config, {config.id}"
    yield from _history_faults(stored, config)
    saved = RecordDirectory(stored.path).checkpoint
    for file in (saved, checkpoint.previous(saved)):
        if file.exists() and checkpoint.read(file, config.id) is None:
            yield f"{file.name} is damaged; the next run sets it aside"
    if stored.record is not None:
        try:
            record = TrialRecord.from_json(stored.record)
        except ValueError as error:
            yield f"record.json is not valid: {error}"
            return
        yield from _digest_faults(stored, record)
        if record.status is not Status.SKIPPED:
            yield from _end_faults(stored, record, config)


def _history_faults(stored: StoredTrial, config: TrialConfig) -> Iterator[str]:
    epochs = [line["epoch"] for line in stored.history if line["kind"] == "epoch"]
    if epochs != list(range(1, len(epochs) + 1)):
        yield f"history.jsonl has epoch lines {_short(epochs)}, not 1, 2, 3, ... each once"
    steps = [line["step"] for line in stored.history if line["kind"] == "step"]
    if steps != list(range(config.log_every, config.log_every * len(steps) + 1, config.log_every)):
        yield f"history.jsonl has step lines that are not every {config.log_every} steps, each once"
    seconds = [line["train_seconds"] for line in stored.history if line["kind"] == "epoch"]
    if seconds != sorted(seconds):
        yield "history.jsonl has seconds that run backwards"
    scored = [line["epoch"] for line in stored.evaluations]
    if scored != [epoch for epoch in config.evaluation.epochs if epoch in set(scored)]:
        yield f"evaluations.jsonl has epochs {_short(scored)}, not those of the config in order"
    missing = [e for e in scored if not (stored.path / "samples" / f"epoch-{e:04d}.png").exists()]
    if missing:
        yield f"samples of epochs {_short(missing)} are missing"


def _digest_faults(stored: StoredTrial, record: TrialRecord) -> Iterator[str]:
    found = RecordDirectory(stored.path).digests()
    for name in sorted({*record.files, *found} if record.files else ()):
        if name not in found:
            yield f"{name} is gone"
        elif name not in record.files:
            yield f"{name} was not there when the record was written"
        elif found[name] != record.files[name]:
            yield f"{name} has changed since the record was written"
    if record.weights_sha256 is not None and found.get("generator.safetensors") != record.weights_sha256:
        yield "generator.safetensors is not the one that was saved"


def _end_faults(stored: StoredTrial, record: TrialRecord, config: TrialConfig) -> Iterator[str]:
    epochs = [line for line in stored.history if line["kind"] == "epoch"]
    if record.status is Status.DONE:
        if len(epochs) != config.epochs or record.epochs != config.epochs:
            yield f"it is done, but {len(epochs)} of {config.epochs} epochs are in its history"
        scored = [line["epoch"] for line in stored.evaluations]
        if scored != list(config.evaluation.epochs):
            yield f"it is done, but the evaluations of epochs {_short(config.evaluation.epochs)} are not all there"
        if record.weights_sha256 is None:
            yield "it is done, but has no generator"
    elif not record.reason:
        yield f"it is {record.status} without a reason"
    if record.status in (Status.DONE, Status.INTERRUPTED) and record.epochs != len(epochs):
        yield f"its record counts {record.epochs} epochs, its history {len(epochs)}"
    if record.status is Status.DONE:
        scores = [(line["epoch"], {s["name"]: s["value"] for s in line["scores"]}) for line in stored.evaluations]
        final = {**(epochs[-1]["mean"] if epochs else {}), **(scores[-1][1] if scores else {})}
        if dict(record.final) != final:
            yield "its final values are not those of its history and evaluations"
        if _plain(record.best) != _plain(best_scores(scores)):
            yield "its best scores are not those of its evaluations"


def _remarks(stored: StoredTrial) -> Iterator[str]:
    if stored.record is None:
        owner = RecordDirectory(stored.path).lock().holder()
        yield f"running now ({owner})" if owner else "has not ended; run the suite again to go on"
    broken = [path.name for path in stored.path.glob("*.broken")]
    if broken:
        yield f"{', '.join(sorted(broken))} was found damaged and set aside"
    for change in stored.environment.get("changes", []):
        yield f"went on under other conditions: {json.dumps(change)}"


def _short(numbers: Any) -> str:  # noqa: ANN401 - any sequence of numbers
    texts = [str(number) for number in numbers]
    return ", ".join(texts) if len(texts) <= 8 else f"{', '.join(texts[:4])}, ..., {texts[-1]}"


def _plain(value: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    return json.loads(json.dumps(value))


# -------------------------------------------------------------------------------------------- the bits again


def rerun(results: Path, pattern: str, data: DataRoot) -> Iterator[Verdict]:
    """Train the first steps of trials again and compare them with their history.

    Args:
        results: The results folder.
        pattern: Glob over trial names.
        data: Where the images are.

    Yields:
        A verdict for every trial that matches. On the same device, engine, threads and libraries the bits must be
        the same; otherwise the difference is told.

    Raises:
        UserError: No trial with a logged step matches, or its data or device is not there.
    """
    found = [
        stored
        for stored in scan(results)
        if isinstance(stored, StoredTrial) and stored.history and fnmatchcase(stored.trial["name"], pattern)
    ]
    if not found:
        raise UserError(f"no trial with a history under {results} matches {pattern!r}; names are those of the tables")
    threads = torch.get_num_threads()
    for stored in found:
        try:
            yield _again(stored, data)
        finally:
            torch.set_num_threads(threads)


def _again(stored: StoredTrial, data: DataRoot) -> Verdict:
    config, before = TrialConfig.from_json(stored.trial["config"]), stored.environment
    if config.dataset not in DATASETS:
        raise UserError(f"{config.dataset} is the user's own dataset, which only its suite file knows; run the suite")
    torch.set_num_threads(before["threads"])
    device = torch.device(before["device"])
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"{stored.trial['name']} ran on {device}, and torch sees no CUDA device here")
    fix_bits(device)
    context = RunContext(data, device, lambda: False, before["engine"])
    now = describe(device, before["engine"], context.identity(config))
    logged = next((line for line in stored.history if line["step"] <= RERUN_STEPS), stored.history[0])
    engine = context.engine(config)
    while engine.state.step < logged["step"]:
        if engine.state.batch == engine.steps:
            engine.finish_epoch()
        engine.advance(logged["step"] - engine.state.step, lambda: False)
    seen = finite(engine.snapshot().last)
    wanted = logged["last"] if logged["kind"] == "epoch" else {name: logged[name] for name in seen}
    watched = ("device", "device_name", "libraries", "data_sha256", "networks_sha256", "engine", "threads")
    others = [name for name in watched if before.get(name, now[name]) != now[name]]  # older records lack some
    if (stored.record or {}).get("group", 1) > 1:
        others.append("step: it trained in a group, and this one alone")
    name, step = stored.trial["name"], logged["step"]
    if seen == wanted:
        return Verdict(name, (), (f"step {step} is the same to the bit",))
    known = [key for key in seen if seen[key] is not None and wanted[key] is not None]
    apart = max((abs(seen[key] - wanted[key]) for key in known), default=float("inf"))
    text = f"step {step} differs by up to {apart:.3g}"
    if others:
        return Verdict(name, (), (f"{text}, as it may: other {', '.join(others)}",))
    return Verdict(name, (f"{text} on the same machine",))
