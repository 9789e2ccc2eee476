"""Where the views of a database's experiments are."""

from __future__ import annotations

import json

from gan_bench.tracking import server
from gan_bench.tracking.views import VIEW_TAG, View, link


def saved_views(uri: str, base: str) -> list[tuple[str, str, str]]:
    """Return experiment, name and address of every saved view of ours, newest experiment first.

    Args:
        uri: Tracking URI.
        base: Address of the page.
    """
    server.configure()
    from mlflow import MlflowClient

    found = []
    for experiment in MlflowClient(tracking_uri=uri).search_experiments():
        for tag, value in sorted(experiment.tags.items(), key=lambda item: _order(item[1])):
            if tag.startswith(VIEW_TAG) and (name := _name(value)):
                view = View(name, tag, value, tag.removeprefix(VIEW_TAG), name.startswith("Curves"))
                found.append((experiment.name, name, link(experiment.experiment_id, view, base)))
    return found


def _name(value: str) -> str:
    try:
        return str(json.loads(value)["name"])
    except (ValueError, KeyError, TypeError):
        return ""


def _order(value: str) -> tuple[int, str]:
    name = _name(value)
    kinds = ("Leaderboard", "Curves", "Settings")
    return next((i for i, kind in enumerate(kinds) if name.startswith(kind)), len(kinds)), name
