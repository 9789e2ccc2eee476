"""Tables, plots and samples -> one HTML file that opens offline."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import pandas as pd

from gan_bench import __version__
from gan_bench.records.reader import StoredTrial
from gan_bench.report.answer import Answer
from gan_bench.report.frame import status_of
from gan_bench.report.plots import Plot
from gan_bench.report.render import cells, filled, note_of, records
from gan_bench.report.samples import Strip
from gan_bench.report.study import Study
from gan_bench.report.table import Table


@dataclass(frozen=True)
class Chapter:
    """One study with everything that is shown of it.

    Attributes:
        study: The study.
        tables: Its tables.
        answers: What it says.
        plots: Its plots.
        strips: Its samples.
    """

    study: Study
    tables: list[Table]
    answers: list[Answer]
    plots: list[Plot]
    strips: list[Strip]


def page(chapters: list[Chapter], articles: list[Table], trials: list[StoredTrial], unreadable: list[str]) -> str:
    """Write the page.

    Args:
        chapters: The studies, in order.
        articles: Tables about the articles.
        trials: All trials, for their details.
        unreadable: One sentence for every record that could not be read.

    Returns:
        HTML that loads nothing. Everything a user named is escaped by jinja2, or set as text by its script.
    """
    from jinja2 import Environment, StrictUndefined

    text = (resources.files("gan_bench.report") / "page.html").read_text(encoding="utf-8")
    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return template.from_string(text).render(
        version=__version__,
        statuses=Counter(status_of(t) for t in trials).most_common(),
        count=len(trials),
        chapters=[_chapter(chapter) for chapter in chapters],
        articles=[_table(table) for table in articles],
        unreadable=unreadable,
        details=_json(_details(trials)),
        frames=_json({s.name: s.data_uris() for chapter in chapters for s in chapter.strips}),
    )


def _chapter(chapter: Chapter) -> dict[str, Any]:
    study = chapter.study
    names = {label: str(label) for label in study.trials["label"]}
    return {
        "id": study.slug,
        "title": study.title,
        "quick": study.profile == "quick",
        "trials": len(study.trials),
        "settings": len(names),
        "done": int((study.trials["status"] == "done").sum()),
        "seeds": study.trials["seed"].nunique(),
        "answers": chapter.answers,
        "tables": [_table(table) for table in chapter.tables],
        "plots": [
            {"title": p.title, "description": p.description, "name": p.name, "svg": p.svg} for p in chapter.plots
        ],
        "strips": [
            {"label": s.label, "seed": s.seed, "trial": s.trial, "last": s.data_uris()[-1], "name": s.name}
            for s in chapter.strips
        ],
    }


def _table(table: Table) -> dict[str, Any]:
    """Make a table ready for the template: texts, what they sort by, and links to trials."""
    texts = cells(table)
    shown = filled(table, texts)
    rows = []
    for row, written in zip(records(table), texts, strict=True):
        rows.append(
            [
                {
                    "text": written[i],
                    "sort": _sort_key(row.get(table.columns[i].key)),
                    "link": row.get("trial") if table.columns[i].key == "name" else None,
                }
                for i in shown
            ]
        )
    columns = [{"title": table.columns[i].title, "number": table.columns[i].kind != "text"} for i in shown]
    return {"name": table.name, "title": table.title, "note": note_of(table, shown), "columns": columns, "rows": rows}


def _sort_key(value: Any) -> str:  # noqa: ANN401 - a cell
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return ""
    return f"{float(value)!r}" if isinstance(value, (int, float)) else str(value)


def _details(trials: list[StoredTrial]) -> dict[str, Any]:
    """Collect what a trial's details show; environments that many share are kept once."""
    environments: list[Mapping[str, Any]] = []
    places: dict[str, int] = {}
    found = {}
    for trial in trials:
        shared = {key: value for key, value in trial.environment.items() if key != "started"}
        text = json.dumps(shared, sort_keys=True)
        if text not in places:
            places[text] = len(environments)
            environments.append(shared)
        record = {key: value for key, value in (trial.record or {}).items() if key not in ("files", "best")}
        found[trial.trial["id"]] = {
            "name": trial.trial["name"],
            "folder": trial.path.name,
            "config": trial.trial["config"],
            "provenance": trial.trial.get("provenance", {}),
            "started": trial.environment.get("started"),
            "environment": places[text],
            "record": record,
        }
    return {"trials": found, "environments": environments}


def _json(value: Any) -> Any:  # noqa: ANN401 - jinja2's Markup
    """Write JSON that can stand in a script element: nothing in it can end the element."""
    from markupsafe import Markup

    text = json.dumps(value, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704 - escaped
