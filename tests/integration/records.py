"""What two runs of a trial must have in common: everything but the times."""

from __future__ import annotations

from gan_bench.records import schema
from gan_bench.records.store import read_trial


def without_timing(value):
    if isinstance(value, dict):
        return {k: without_timing(v) for k, v in value.items() if k not in schema.TIMING}
    return [without_timing(v) for v in value] if isinstance(value, list) else value


def bits(directory):
    """Everything of a record that must be the same in two runs of a trial."""
    stored = read_trial(directory.path)
    samples = {p.name: p.read_bytes() for p in sorted((directory.path / "samples").iterdir())}
    lines = [stored.trial, stored.history, stored.evaluations, stored.record]
    plain = [dict(x) if not isinstance(x, list) else x for x in lines]
    return without_timing(plain), samples, directory.weights.read_bytes()
