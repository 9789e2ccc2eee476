"""Published values beside ours, each marked comparable or not, and why not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any

import yaml

from gan_bench.records.record import Protocol
from gan_bench.report.study.table import Column, arrow

COLUMNS = [
    Column("model", "published model"),
    Column("metric", "score"),
    Column("value", "value", "number"),
    Column("std", "±", "number"),
    Column("protocol", "protocol"),
    Column("citation", "source"),
    Column("comparable", "with our scores"),
]


@cache
def references() -> list[dict[str, Any]]:
    """Return the published values that come with gan_bench."""
    text = (resources.files("gan_bench.report.findings") / "references.yaml").read_text(encoding="utf-8")
    content: list[dict[str, object]] = yaml.safe_load(text)
    return content


NATIVE_SIZE = {"mnist": 28, "cifar10": 32}
"""Height and width of the images that published scores are about."""


def published_rows(
    dataset: str, image_size: int, protocols: Iterable[Protocol], profile: str
) -> list[dict[str, object]]:
    """Set the published values of a dataset beside protocols.

    Args:
        dataset: Name of the dataset.
        image_size: Height and width our images are prepared to.
        protocols: Our protocols, such as ``lenet-mnist-v1,train,10000``.
        profile: Profile of our trials; quick ones are comparable with nothing published.
    """
    ours = [(each.extractor, each.reference, str(each.generated)) for each in protocols]
    return [
        {
            "model": entry["model"],
            "metric": arrow(entry["metric"]),
            "value": entry["value"],
            "std": entry.get("std"),
            "protocol": Protocol.of(entry["extractor"], entry["split"], entry["generated"]),
            "citation": entry["citation"],
            "comparable": _comparable(entry, ours, profile, image_size),
        }
        for entry in references()
        if entry["dataset"] == dataset
    ]


def _comparable(entry: Mapping[str, Any], ours: list[tuple[str, str, str]], profile: str, image_size: int) -> str:
    if profile != "full":
        return "not comparable: ours are of the quick profile"
    native = NATIVE_SIZE[entry["dataset"]]
    resized = [] if image_size == native else [f"images of {image_size}x{image_size}, not {native}x{native}"]
    theirs = (entry["extractor"], entry["split"], str(entry["generated"]))
    differences = [
        resized
        + [
            f"{what} {mine}, not {other}"
            for what, mine, other in zip(("extractor", "split", "generated"), protocol, theirs, strict=True)
            if mine != other
        ]
        for protocol in ours
    ]
    if not differences:
        return "not comparable: no scores"
    fewest = min(differences, key=len)
    return f"not comparable: ours have {' and '.join(fewest)}" if fewest else "comparable"
