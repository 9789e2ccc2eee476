"""Saved views that open an MLflow experiment on a leaderboard or curves instead of an empty table.

MLflow keeps a shared view in an experiment tag whose form is not documented: JSON whose ``state`` is the
zlib-compressed, base64-coded state of its page. A version that reads it otherwise ignores it.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import zlib
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from gan_bench.config.measures import MEASURES, measures_with, primary_measure
from gan_bench.core.text import markdown_cell
from gan_bench.records.schema import PlannedTrial
from gan_bench.tracking import server
from gan_bench.tracking.entities import SETTING_TAG, TRIAL_TAG, config_values
from gan_bench.tracking.images import LAST_KEY, SAMPLES_KEY

PARAMS = ("recipe", "lr_g", "lr_d", "beta1_g", "beta1_d", "epochs")
VIEW_TAG = "mlflow.sharedViewState."
TRIALS_ONLY = f"tags.`{TRIAL_TAG}` LIKE '%'"
SETTINGS_ONLY = f"tags.`{SETTING_TAG}` LIKE '%'"
"""Filters of views: settings only, and trials only."""
KINDS = ("Leaderboard", "Curves", "Trials")
NOTE = 4900
"""Most characters of a note: a tag is cut at 5,000."""
MOST_COLUMNS = 7
"""Most parameters of a leaderboard; runs have all."""


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


def views(
    extractors: Sequence[str],
    now_ms: int,
    studies: Mapping[str, str],
    differing: Sequence[str],
    scores: Container[str],
    owner: str = "",
) -> tuple[View, ...]:
    """Return the views of an experiment: a leaderboard and curves of settings per ranking, and all trials.

    Args:
        extractors: Names of the extractors whose scores are shown, at least one.
        now_ms: Time of making, in milliseconds.
        studies: The rankings of the suite's last report with their extractors; ranks of different ones do not compare.
        differing: Parameters that tell settings apart, the columns of a leaderboard.
        scores: What was logged, as ``METRIC.EXTRACTOR``; not every extractor gives every score.
        owner: Identity of the results folder whose views they are.
    """

    def shown_of(extractor: str) -> list[str]:
        return [name for name in measures_with("summary") if f"{name}.{extractor}" in scores]

    made, rank = [], f"{primary_measure()}.rank"
    for study, extractor in (studies or {"": extractors[0]}).items():
        name = f"{study}, {extractor}" if len(studies) > 1 else extractor
        shown = _setting_columns(differing, shown_of(extractor))
        only = f"{SETTINGS_ONLY} AND tags.study = '{study}'" if study else SETTINGS_ONLY
        made.append(_view(f"{KINDS[0]} ({name})", now_ms, only, shown, rank, owner=owner))
        charts = _charts(extractor, shown_of(extractor))
        made.append(_view(f"{KINDS[1]} ({name})", now_ms, only, shown, rank, charts, owner=owner))
    up = MEASURES[primary_measure()].lower_is_better
    for extractor in extractors:
        columns = [f"metrics.`eval/{metric}.{extractor}`" for metric in shown_of(extractor)]
        trials = [*columns, *(f"params.`{name}`" for name in (*PARAMS, "seed")), "attributes.`Duration`"]
        key = f"eval/{primary_measure()}.{extractor}"
        made.append(_view(f"{KINDS[2]} ({extractor})", now_ms, TRIALS_ONLY, trials, key, ascending=up, owner=owner))
    return tuple(made)


def stale_views(tags: Mapping[str, str], made: Sequence[View], owner: str) -> list[str]:
    """Return the tags of views that only an earlier report of a results folder made."""
    current = {view.tag for view in made}
    return [tag for tag, value in tags.items() if tag not in current and _maker_of(tag, value) == owner]


def is_edited(tags: Mapping[str, str], tag: str) -> bool:
    """True if a user saved a view, or changed it since a report made it."""
    return tag in tags and not _maker_of(tag, tags[tag])


def _maker_of(tag: str, value: str) -> str:
    """Return the identity of the results folder that made an unchanged view, or an empty text."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        view = json.loads(value)
        owner, _, digest = str(view["gan_bench"]).rpartition(" ")
        if tag.startswith(VIEW_TAG) and digest == _digest(str(view["state"])):
            return owner
    return ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _setting_columns(differing: Sequence[str], measures: Sequence[str]) -> list[str]:
    """Return the columns of a leaderboard: score, verdict, differing parameters, and uncertainty.

    A page shows the first few; the parameters alone may fill it.
    """
    primary = primary_measure()
    others = [name for name in measures if name != primary]
    return [
        f"metrics.`{primary}.median`",
        "tags.`verdict`",
        *(f"params.`{name}`" for name in differing),
        *(f"metrics.`{primary}.{end}`" for end in ("ci_low", "ci_high", "n", "rank", "best", "best_epoch")),
        *(f"metrics.`{name}.mean`" for name in others),
    ]


def differing_params(planned: Iterable[PlannedTrial]) -> tuple[str, ...]:
    """Return the parameters that differ between planned settings, common ones of D and G once.

    Where nothing tells them apart, as without a plan, they are ``PARAMS``.
    """
    found = [config_values(row["config"]) for row in planned]
    recipes: dict[object, list[dict[str, object]]] = {}
    for values in found:
        recipes.setdefault(values["recipe"], []).append(values)
    names = [name for name in dict.fromkeys(name for values in found for name in values) if name != "seed"]

    def several(name: str, rows: list[dict[str, object]]) -> bool:
        return len({str(values.get(name)) for values in rows}) > 1

    def is_twin(name: str) -> bool:
        return name.endswith("_d") and all(values.get(name) == values.get(f"{name[:-1]}g") for values in found)

    within = {name for name in names for rows in recipes.values() if several(name, rows)}
    shown = [name for name in names if name in within or (name in ("recipe", "epochs") and several(name, found))]
    return tuple(name for name in shown if not is_twin(name))[:MOST_COLUMNS] or PARAMS


def note(suite: str, answer: str = "") -> str:
    """Return the note above an experiment's runs, in Markdown, within MLflow's 5,000 characters.

    The answer comes first where there is one; a long one takes the place of what measures mean.
    """
    text = (
        f"Suite **{suite}** of gan_bench, a mirror of the records on disk: one run per setting, and in it one per "
        "trial.\n\n"
        "A setting has `fid.median` over its seeds with `ci_low` and `ci_high`, `n`, `rank`, `best` (at `best_epoch`), "
        "the tags `verdict` and `verdict.FACTOR`, mean curves, and the images of its best seed. "
        "`train/...` are means over epochs, `step/...` single steps, `eval/MEASURE.EXTRACTOR` scores at evaluated "
        "epochs (the step is the epoch, the last is the final score), `interval/...` 95 % intervals over seeds. "
        "`eval/samples` shows images of the same noise, from step 0, the untrained generator.\n\n"
    )
    start = f"{answer.rstrip()}\n\n" if answer else ""
    for table in (_measures(meaning=True), _measures(meaning=False)):
        if len(start) + len(text) + len(table) <= NOTE:
            return start + text + table
    return f"{answer[: NOTE - len(text) - 2].rstrip()}\n\n{text}"


def _measures(*, meaning: bool) -> str:
    rows = [("metric", "name", "better", "meaning"), ("---",) * 4]
    rows += [
        (f"`{name}`", markdown_cell(m.title), "lower" if m.lower_is_better else "higher", markdown_cell(m.description))
        for name, m in MEASURES.items()
    ]
    return "".join(f"| {' | '.join(row if meaning else row[:3])} |\n" for row in rows)


def _view(
    title: str,
    now_ms: int,
    only: str,
    columns: Sequence[str],
    order: str,
    charts: Mapping[str, object] | None = None,
    *,
    ascending: bool = True,
    owner: str,
) -> View:
    state: dict[str, object] = {
        "searchFilter": only,
        "orderByKey": f"metrics.`{order}`",
        "orderByAsc": ascending,
        "selectedColumns": list(columns),
        "columnOrder": list(columns),
        "runsHiddenMode": "SHOW_ALL",
        "groupBy": None,
        **(charts or {}),
    }
    packed = f"deflate;{base64.b64encode(zlib.compress(json.dumps(state).encode(), 9)).decode()}"
    share_key = _digest(title.lower())
    ours = f"{owner} {_digest(packed)}"  # a view with another digest was edited, and is kept
    value = {"name": title, "createdAt": now_ms, "updatedAt": now_ms, "state": packed, "gan_bench": ours}
    return View(title, f"{VIEW_TAG}{share_key}", json.dumps(value), share_key, charts is not None)


def _charts(extractor: str, measures: Sequence[str]) -> dict[str, object]:
    """Return the layout of charts: scores, losses and D's outputs, sample grids."""
    primary = primary_measure()
    scores = [primary, *(name for name in measures if name != primary)][:4]
    sections = {"Scores": "scores", "Training": "training", "Samples": "samples"}
    lines = [
        *(("Scores", f"eval/{name}.{extractor}", MEASURES[name].log_scale) for name in scores),
        *(("Training", f"train/{name}", False) for name in ("loss_d", "loss_g", "d_real", "d_fake")),
    ]
    common = {"runsCountToCompare": 100, "deleted": False, "isGenerated": False}
    charts: list[dict[str, object]] = [
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
    images = {**common, "type": "IMAGE", "metricSectionId": "samples", "step": 0}
    charts += [{**images, "uuid": f"gan_bench-{key}", "imageKeys": [key]} for key in (LAST_KEY, SAMPLES_KEY)]
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
    """Return experiment, name and URL of every saved view of gan_bench, newest experiment first.

    Args:
        uri: Tracking URI.
        base: Address of the page.
    """
    server.configure()
    from mlflow import MlflowClient

    found = []
    for experiment in MlflowClient(tracking_uri=uri).search_experiments():
        for tag, value in sorted(experiment.tags.items(), key=lambda item: _order(item[1])):
            if tag.startswith(VIEW_TAG) and (name := _view_name(value)):
                view = View(name, tag, value, tag.removeprefix(VIEW_TAG), name.startswith("Curves"))
                found.append((experiment.name, name, link(experiment.experiment_id, view, base)))
    return found


def _view_name(value: str) -> str:
    try:
        return str(json.loads(value)["name"])
    except (ValueError, KeyError, TypeError):
        return ""


def _order(value: str) -> tuple[int, str]:
    name = _view_name(value)
    return next((i for i, kind in enumerate(KINDS) if name.startswith(kind)), len(KINDS)), name
