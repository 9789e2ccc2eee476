"""Saved views that make an MLflow experiment open on a leaderboard or on curves instead of an empty table.

MLflow keeps a shared view in an experiment tag whose form is not documented: JSON whose ``state`` is the
zlib-compressed, base64-coded state of its page. A version that reads it otherwise ignores it.
"""

from __future__ import annotations

import base64
import colorsys
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan_bench.config.measures import MEASURES, measures_with, primary_measure
from gan_bench.core.errors import RecordError
from gan_bench.core.text import markdown_cell
from gan_bench.records.reader import read_plan
from gan_bench.tracking import server
from gan_bench.tracking.entities import TRIAL_TAG

PARAMS = ("recipe", "lr_g", "lr_d", "beta1_g", "beta1_d", "epochs", "seed")
VIEW_TAG = "mlflow.sharedViewState."
TRIALS_ONLY = f"tags.`{TRIAL_TAG}` LIKE '%'"
"""Leaves out the run that carries the suite's answer."""
_GOLDEN = 0.618034


@dataclass(frozen=True)
class View:
    """A saved view.

    Attributes:
        name: What people call it.
        tag: Name of the experiment tag that holds it.
        value: Value of that tag.
        share_key: What a link names it by.
        chart: Whether it opens on charts.
    """

    name: str
    tag: str
    value: str
    share_key: str
    chart: bool = False


def views(extractor: str, now_ms: int) -> tuple[View, View, View]:
    """Make the views of an experiment: leaderboard, settings averaged over seeds, curves.

    Args:
        extractor: Name of the extractor whose scores are shown.
        now_ms: Time of making, in milliseconds.
    """
    keys = [{"mode": "tag", "groupByData": "setting"}]
    group = {"aggregateFunction": "average", "groupByKeys": keys}
    return (
        _view("Leaderboard", extractor, now_ms, {}),
        _view("Settings", extractor, now_ms, {"groupBy": group}),
        _view("Curves", extractor, now_ms, {"groupBy": group, **_charts(extractor)}, chart=True),
    )


def colour(setting: str, place: int | None = None) -> str:
    """Return the colour of a setting's runs, the same for all seeds: hues far apart for neighbours of a plan.

    Args:
        setting: Its name, which decides where there is no place.
        place: Its place in the plan.
    """
    number = int(hashlib.sha256(setting.encode(errors="surrogatepass")).hexdigest()[:8], 16) if place is None else place
    hue, light = (number * _GOLDEN) % 1.0, (0.36, 0.5, 0.62)[number % 3]
    red, green, blue = (round(255 * x) for x in colorsys.hls_to_rgb(hue, light, 0.7))
    return f"#{red:02x}{green:02x}{blue:02x}"


def colours_of(folder: Path) -> dict[str, str]:
    """Give every planned setting of a suite a colour of its own, in the order of the plan.

    Args:
        folder: The suite's folder; without a readable plan there are none.
    """
    try:
        settings = dict.fromkeys(str(row["setting"]) for row in read_plan(folder))
    except RecordError:
        return {}
    return {setting: colour(setting, place) for place, setting in enumerate(settings)}


def note(suite: str, answer: str = "") -> str:
    """Return the text above an experiment's runs, in Markdown; the answer first where there is one."""
    rows = "\n".join(
        f"| `{name}` | {markdown_cell(m.title)} | {'lower' if m.lower_is_better else 'higher'} | "
        f"{markdown_cell(m.description)} |"
        for name, m in MEASURES.items()
    )
    text = (
        f"Suite **{suite}** of gan_bench: one run per trial, a mirror of the records on disk.\n\n"
        "`train/...` are means over each epoch, `step/...` single steps, `eval/MEASURE.EXTRACTOR` scores at evaluated "
        "epochs (the step is the epoch, the last is the final score). Runs of one colour share a setting; the tag "
        "`setting` groups seeds. `eval/samples` shows images of the same noise, from step 0, the untrained "
        "generator.\n\n"
        f"| metric | name | better | meaning |\n|---|---|---|---|\n{rows}\n"
    )
    return f"{answer[: 4900 - len(text)].rstrip()}\n\n{text}" if answer else text


def _view(name: str, extractor: str, now_ms: int, more: Mapping[str, Any], *, chart: bool = False) -> View:
    columns = [f"metrics.`eval/{metric}.{extractor}`" for metric in measures_with("summary")]
    shown = [*columns, *(f"params.`{param}`" for param in PARAMS), "attributes.`Duration`"]
    primary = primary_measure()
    state: dict[str, Any] = {
        "searchFilter": TRIALS_ONLY,
        "orderByKey": f"metrics.`eval/{primary}.{extractor}`",
        "orderByAsc": MEASURES[primary].lower_is_better,
        "selectedColumns": shown,
        "columnOrder": shown,
        "runsHiddenMode": "SHOW_ALL",
        "groupBy": None,
        **more,
    }
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    share_key = hashlib.sha256(f"{name}/{extractor}".lower().encode()).hexdigest()[:16]
    title = f"{name} ({extractor})"
    value = {"name": title, "createdAt": now_ms, "updatedAt": now_ms, "state": f"deflate;{packed}"}
    return View(title, f"{VIEW_TAG}{share_key}", json.dumps(value), share_key, chart)


def _charts(extractor: str) -> dict[str, Any]:
    """Lay out charts: scores first, then losses and D's outputs, then sample grids."""
    primary = primary_measure()
    scores = [primary, *(name for name in measures_with("summary") if name != primary)][:4]
    sections = {"Scores": "scores", "Training": "training", "Samples": "samples"}
    lines = [
        *(("Scores", f"eval/{name}.{extractor}", MEASURES[name].log_scale) for name in scores),
        *(("Training", f"train/{name}", False) for name in ("loss_d", "loss_g", "d_real", "d_fake")),
    ]
    common = {"runsCountToCompare": 100, "deleted": False, "isGenerated": False}
    charts: list[dict[str, Any]] = [
        {
            **common,
            "type": "LINE",
            "uuid": f"gan_bench-{key}",
            "metricSectionId": sections[section],
            "metricKey": key,
            "selectedMetricKeys": [key],
            "lineSmoothness": 0,
            "xAxisKey": "step",
            "xAxisScaleType": "linear",
            "scaleType": "log" if log else "linear",
            "range": {},
            "selectedXAxisMetricKey": "",
            "yAxisKey": "metric",
            "yAxisExpressions": [],
            "ignoreOutliers": False,
            "useGlobalXaxisKey": True,
            "useGlobalLineSmoothing": True,
        }
        for section, key, log in lines
    ]
    images = {"type": "IMAGE", "uuid": "gan_bench-samples", "metricSectionId": "samples", "imageKeys": ["eval/samples"]}
    charts.append({**common, **images, "step": 0})
    return {
        "compareRunCharts": charts,
        "compareRunSections": [
            {"uuid": key, "name": name, "display": True, "isReordered": True, "deleted": False, "isGenerated": False}
            for name, key in sections.items()
        ],
        "isAccordionReordered": True,
    }


def link(experiment: str, view: View | None, base: str = "http://127.0.0.1:5000") -> str:
    """Return the URL of an experiment's runs, through a saved view when there is one."""
    shared = "" if view is None else f"&viewStateShareKey={view.share_key}"
    mode = "&compareRunsMode=CHART" if view is not None and view.chart else ""
    return f"{base}/#/experiments/{experiment}/runs?workflowType=machine_learning{mode}{shared}"


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
