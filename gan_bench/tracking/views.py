"""Saved views that make an MLflow experiment open on a leaderboard instead of an empty table.

MLflow keeps a shared view in an experiment tag whose form is not documented: JSON whose ``state`` is the
zlib-compressed, base64-coded state of its page. A version that reads it otherwise ignores it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from dataclasses import dataclass
from typing import Any

from gan_bench.config.measures import MEASURES, measures_with, primary_measure

PARAMS = ("recipe", "lr", "betas", "epochs", "seed")


@dataclass(frozen=True)
class View:
    """A saved view.

    Attributes:
        tag: Name of the experiment tag that holds it.
        value: Value of that tag.
        share_key: What a link names it by.
    """

    tag: str
    value: str
    share_key: str


def leaderboard(extractor: str, now_ms: int) -> View:
    """Make a view of the final scores under one extractor, the best by the primary measure first.

    Args:
        extractor: Name of the extractor.
        now_ms: Time of making, in milliseconds.
    """
    return _view(f"Leaderboard ({extractor})", f"leaderboard/{extractor}", extractor, now_ms, None)


def by_setting(extractor: str, now_ms: int) -> View:
    """Make a view of the same scores with the runs of a setting together, averaged over seeds.

    Args:
        extractor: Name of the extractor.
        now_ms: Time of making, in milliseconds.
    """
    keys = [{"mode": "tag", "groupByData": "setting"}]
    group = {"aggregateFunction": "average", "groupByKeys": keys}
    return _view(f"Settings ({extractor})", f"settings/{extractor}", extractor, now_ms, group)


_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#B8A000")


def colour(architecture: str) -> str:
    """Return the colour of an architecture's runs, the same in every experiment."""
    return _COLOURS[int(hashlib.sha256(architecture.encode()).hexdigest(), 16) % len(_COLOURS)]


def note(suite: str) -> str:
    """Return the text above an experiment's runs, in Markdown."""
    rows = "\n".join(
        f"| `{name}` | {m.title} | {'lower' if m.lower_is_better else 'higher'} | {m.description} |"
        for name, m in MEASURES.items()
    )
    return (
        f"Suite **{suite}** of gan_bench: one run per trial, a mirror of the records on disk.\n\n"
        "`train/...` are means over each epoch, `step/...` single steps, `eval/MEASURE.EXTRACTOR` scores at evaluated "
        "epochs (the step is the "
        "epoch), `final/...` the last ones. Runs of one colour share an architecture; the tag `setting` groups seeds. "
        "`eval/samples` shows images of the same noise, from step 0, the untrained generator.\n\n"
        f"| metric | name | better | meaning |\n|---|---|---|---|\n{rows}\n"
    )


def _view(name: str, key: str, extractor: str, now_ms: int, group: dict[str, Any] | None) -> View:
    columns = [f"metrics.`final/{name}.{extractor}`" for name in measures_with("summary")]
    primary = primary_measure()
    state: dict[str, Any] = {
        "searchFilter": "",
        "orderByKey": f"metrics.`final/{primary}.{extractor}`",
        "orderByAsc": MEASURES[primary].lower_is_better,
        "selectedColumns": [*columns, *(f"params.`{name}`" for name in PARAMS), "attributes.`Duration`"],
        "groupBy": group,
    }
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    share_key = hashlib.sha256(key.encode()).hexdigest()[:16]
    value = {
        "name": name,
        "createdAt": now_ms,
        "updatedAt": now_ms,
        "state": f"deflate;{packed}",
    }
    return View(f"mlflow.sharedViewState.{share_key}", json.dumps(value), share_key)


def link(experiment: str, share_key: str | None, base: str = "http://127.0.0.1:5000") -> str:
    """Return the URL of an experiment's runs, through a saved view when there is one."""
    view = f"&viewStateShareKey={share_key}" if share_key else ""
    return f"{base}/#/experiments/{experiment}/runs?workflowType=machine_learning{view}"
