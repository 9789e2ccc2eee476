"""Under which other conditions the trials of two results folders were trained: libraries, code, devices, data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from gan_bench.core.text import plural, printable
from gan_bench.records.reader import StoredTrial

_WATCHED = ("gan_bench", "git_commit", "python", "device_name", "engine", "threads")


def differences_of(before: Mapping[str, StoredTrial], after: Mapping[str, StoredTrial]) -> Iterator[str]:
    """List the conditions that differ between the trials that both folders have.

    Args:
        before: Trials by what makes them the same trial.
        after: The newer ones.
    """
    shared = [(before[key], after[key]) for key in before if key in after]
    for key in _WATCHED:
        yield from _changed(key, [(o.environment.get(key), n.environment.get(key)) for o, n in shared])
    names = {name for pair in shared for item in pair for name in item.environment.get("libraries", {})}
    for name in sorted(names):
        found = [tuple(item.environment.get("libraries", {}).get(name) for item in pair) for pair in shared]
        yield from _changed(name, found)
    for key, what, field_ in (("data_sha256", "training images", "dataset"), ("networks_sha256", "networks", "recipe")):
        of = {
            str(o.trial["config"][field_])
            for o, n in shared
            if None not in (a := o.environment.get(key), b := n.environment.get(key)) and a != b
        }
        for name in sorted(of):
            yield f"{what} of {printable(name)} differ"


def _changed(what: str, pairs: list[tuple[Any, ...]]) -> Iterator[str]:
    changes = Counter((str(a), str(b)) for a, b in pairs if a != b and None not in (a, b))
    for (a, b), count in changes.most_common(1):
        others = len(changes) - 1
        more = f" and {plural(others, 'other change')}" if others else ""
        yield f"{what}: {printable(a)[:40]} -> {printable(b)[:40]} in {count} of {plural(len(pairs), 'trial')}{more}"
