"""The scores of real images that lie beside a suite's records: its `anchors.json`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import cast

from gan_bench.core.errors import RecordError, UnreadableError
from gan_bench.records import schema
from gan_bench.records.json_files import read_known, read_sound, write_object
from gan_bench.records.layout import BASELINES
from gan_bench.records.shared import left_by_earlier, rewriting

Rows = list[schema.Baseline]


def write_baselines(results: Path, suite: str, version: int, baselines: Rows) -> None:
    """Write the scores of real images beside a suite's records, keeping those of other protocols."""
    with rewriting(results, suite) as folder:
        earlier = left_by_earlier(folder / BASELINES, schema.BASELINES) or cast("schema.Baselines", {})
        is_same = earlier.get("version") == version
        merged = {_subject(row): row for row in earlier.get("anchors", ()) if is_same}
        for row in baselines:
            merged[_subject(row)] = _joined(merged.get(_subject(row)), row)
        content = {"schema": schema.VERSION, "version": version, "anchors": list(merged.values())}
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


def has_damaged_baselines(results: Path, suite: str) -> bool:
    """True if the baselines of a suite have to be made again: there are none, or they are damaged."""
    with contextlib.suppress(UnreadableError):
        return read_sound(results / suite / BASELINES, schema.BASELINES) is None
    return False


def read_baselines(suite: Path) -> Rows:
    """Read the baselines of a suite's folder; damaged ones, which ``scan`` names, are none."""
    try:
        return read_known(suite / BASELINES, schema.BASELINES)["anchors"]
    except RecordError:
        return []
