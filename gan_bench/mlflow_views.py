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

from gan_bench.scores import MEASURES

PARAMS = ("recipe", "lr", "betas", "epochs", "seed")
SHOWN = ("fid", "kid", "is", "precision", "recall", "classes")


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
    """Make a view of the final scores under one extractor, best FID first.

    Args:
        extractor: Name of the extractor.
        now_ms: Time of making, in milliseconds.
    """
    columns = [f"metrics.`final/{name}.{extractor}`" for name in SHOWN if name in MEASURES]
    state: dict[str, Any] = {
        "searchFilter": "",
        "orderByKey": columns[0],
        "orderByAsc": True,
        "selectedColumns": [*columns, *(f"params.`{name}`" for name in PARAMS), "attributes.`Duration`"],
        "groupBy": None,
    }
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    share_key = hashlib.sha256(f"leaderboard/{extractor}".encode()).hexdigest()[:16]
    value = {
        "name": f"Leaderboard ({extractor})",
        "createdAt": now_ms,
        "updatedAt": now_ms,
        "state": f"deflate;{packed}",
    }
    return View(f"mlflow.sharedViewState.{share_key}", json.dumps(value), share_key)


def link(experiment: str, share_key: str | None, base: str = "http://127.0.0.1:5000") -> str:
    """Return the address of an experiment's runs, through a saved view when there is one."""
    view = f"&viewStateShareKey={share_key}" if share_key else ""
    return f"{base}/#/experiments/{experiment}/runs?workflowType=machine_learning{view}"
