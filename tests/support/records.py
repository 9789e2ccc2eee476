"""Records: what two runs of a trial must have in common, and ways to change what is on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from gan_bench.records import schema, writer
from gan_bench.records.earlier import Earlier
from gan_bench.records.json_files import SEAL, write_object
from gan_bench.records.reader import read_trial
from gan_bench.records.verify import verify


def without_timing(value):
    if isinstance(value, dict):
        return {k: without_timing(v) for k, v in value.items() if k not in schema.TIMING}
    return [without_timing(v) for v in value] if isinstance(value, list) else value


def bits(directory):
    """Everything of a record that must be the same in two runs of a trial."""
    stored = read_trial(directory.path)
    samples = {p.name: p.read_bytes() for p in sorted(directory.samples.iterdir())}
    lines = [stored.trial, stored.history, stored.evaluations, stored.record]
    plain = [dict(x) if not isinstance(x, list) else x for x in lines]
    return without_timing(plain), samples, directory.weights.read_bytes()


def edit(path: Path, **changes):
    """Change values of a JSON file, with a digest that fits."""
    content = json.loads(path.read_text())
    content.pop(SEAL, None)
    write_object(path, {**content, **changes})


def change(path: Path, by: Callable[[dict], object]):
    """Change the content of a JSON file, with a digest that fits."""
    content = json.loads(path.read_text())
    content.pop(SEAL, None)
    by(content)
    write_object(path, content)


def reseal(directory):
    """Write a record's end again, with the digests of what its files hold now."""
    return writer.finish(directory, Earlier(directory).record)


def assert_whole(results):
    """Assert that no record has a fault."""
    found = [verdict.faults for verdict in verify(results) if verdict.checked]
    assert found == [()] * len(list(results.glob("*/*/trial.json")))
