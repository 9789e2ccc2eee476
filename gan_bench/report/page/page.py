"""Answers, tables, plots, curves and samples -> one HTML file that opens offline."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from gan_bench.core import __version__
from gan_bench.core.text import printable
from gan_bench.report.findings.answer import Answer, answers
from gan_bench.report.findings.proposals import whole_command
from gan_bench.report.findings.tables import study_tables
from gan_bench.report.page.collect import Collected, trial_details
from gan_bench.report.page.curves import best_first, explorer, styles
from gan_bench.report.page.drawing import Plot
from gan_bench.report.page.plots import study_plots
from gan_bench.report.page.samples import Strip, strips
from gan_bench.report.study.frame import status_shown
from gan_bench.report.study.study import Study
from gan_bench.report.study.table import RANKED, Table, cells, filled, note_of, records

if TYPE_CHECKING:
    from jinja2 import Environment

PARTS = {
    "answer": "Answer",
    "ranking": "Ranking",
    "factors": "Factors",
    "samples": "Samples",
    "curves": "Curves",
    "health": "Health",
    "tuning": "Random settings",
    "cost": "Cost",
    "trials": "All trials",
    "published": "Published values",
}
"""Sections of a study, in order."""
NARROW = ("rank", RANKED)
"""Columns of a ranking that a narrow screen shows, beside the setting's short name."""


@dataclass(frozen=True)
class Chapter:
    """One study with its displayed parts, each made lazily.

    Attributes:
        study: The study.
        beside: All studies of its results folder.
    """

    study: Study
    beside: Sequence[Study] = ()

    @cached_property
    def tables(self) -> list[Table]:
        """Its tables."""
        return list(study_tables(self.study))

    @cached_property
    def answers(self) -> list[Answer]:
        """Its answers."""
        return list(answers(self.study, self.beside))

    @cached_property
    def plots(self) -> list[Plot]:
        """Its plots, which take seconds."""
        return list(study_plots(self.study))

    @cached_property
    def strips(self) -> list[Strip]:
        """Its samples."""
        return list(strips(self.study, best_first(self.study)))


def page(chapters: list[Chapter], articles: list[Table], collected: Collected, results: Path) -> str:
    """Write the page.

    Args:
        chapters: The studies, in order.
        articles: Tables about the articles.
        collected: All trials, for their details.
        results: The results folder; sample grids that are not on the page are linked relative to it.

    Returns:
        HTML that loads nothing from elsewhere. Everything a user named is escaped by jinja2, or set as text by its
        script.
    """
    trials = collected.trials
    drawn = {chapter.study.slug: explorer(chapter.study) for chapter in chapters}
    by_trial = {strip.trial: strip.name for chapter in chapters for strip in chapter.strips}
    return filled_template(
        "gan_bench.report.page",
        "page.html",
        version=__version__,
        statuses=Counter(status_shown(t) for t in trials).most_common(),
        count=len(trials),
        chapters=[_chapter(chapter, collected, drawn[chapter.study.slug]) for chapter in chapters],
        part_titles=PARTS,
        articles=[shown_table(table) for table in articles],
        unreadable=collected.unreadable,
        details=_json(trial_details(trials, collected.curves, by_trial, results)),
        frames=_json({s.name: s.data_uris for chapter in chapters for s in chapter.strips}),
        curves=_json(drawn),
        css=own_text("page.css"),
        tables=own_text("tables.js"),
        script=own_text("page.js"),
        library=own_text("vendor/uplot.js"),
        library_css=own_text("vendor/uplot.css"),
    )


def filled_template(package: str, file: str, **values: object) -> str:
    """Return a page of a package's template, which marks own files, plots and JSON as safe; jinja2 escapes the rest."""
    return _templates(package).get_template(file).render(**values)


@cache
def _templates(package: str) -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader(package, ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


# ------------------------------------------------------------------------------------------------ a study


def _chapter(chapter: Chapter, collected: Collected, curves: Mapping[str, object]) -> dict[str, object]:
    study = chapter.study
    made: dict[str, list[dict[str, object]]] = {}
    for table in chapter.tables:
        made.setdefault(table.kind, []).append(_ranking(table, chapter) if table.ranking else shown_table(table))
    shown = {
        "id": study.slug,
        "title": study.title,
        "quick": study.profile == "quick",
        "trials": len(study.trials),
        "settings": study.trials["label"].nunique(),
        "done": int((study.trials["status"] == "done").sum()),
        "seeds": study.trials["seed"].nunique(),
        "answers": chapter.answers,
        "facts": _facts(study, collected),
        "rankings": made.get("settings", []),
        "factors": made.get("factor", []),
        "plots": {part: [plot for plot in chapter.plots if plot.part == part] for part in PARTS},
        "explorer": bool(curves["measures"]),
        "curves": [*made.get("epochs", []), *made.get("best", [])],
        "others": [(part, made[part]) for part in PARTS if part in made],
        "strips": chapter.strips,
        "last_epochs": "epoch " + ", ".join(map(str, sorted({s.frames[-1][0] for s in chapter.strips}))),
    }
    there: dict[str, object] = {
        "answer": True,
        "ranking": shown["rankings"],
        "factors": shown["factors"],
        "samples": shown["strips"],
        "curves": shown["curves"] or shown["explorer"],
        **dict.fromkeys(made, True),
    }
    return {**shown, "parts": [part for part in PARTS if there.get(part)]}


def _facts(study: Study, collected: Collected) -> list[tuple[str, str]]:
    """Return when, where and with which versions a study was made, from its trials' environments."""
    ids = set(study.trials["trial"])
    own = [t for t in collected.trials if t.trial["id"] in ids and t.environment]
    begun = [datetime.fromisoformat(t.environment["started"]) for t in own]
    ended = [datetime.fromisoformat(t.record["ended"]) for t in own if t.record and "ended" in t.record]

    def all_of(key: str, form: Any = str) -> str:  # noqa: ANN401 - a function of one value
        values = dict.fromkeys(form(v) for t in own if (v := t.environment.get(key)) not in (None, ""))
        return printable(", ".join(values))

    libraries = {name: v for t in own for name, v in t.environment.get("libraries", {}).items() if name == "torch"}
    versions = [f"gan_bench {all_of('gan_bench')}", *(f"{n} {v}" for n, v in libraries.items())]
    versions.append(f"Python {all_of('python')}")
    threads = all_of("threads")
    machine = (
        all_of("device_name"),
        all_of("device"),
        f"{threads} thread{'s' * (threads != '1')} per trial" if threads else "",
    )
    of_earlier_versions = any(t.record and "ended" not in t.record for t in own)
    last, when = ("begun", begun) if of_earlier_versions or not ended else ("ended", ended)
    read, of = len(collected.curves), len(collected.trials)
    curves = f"of the best settings; histories were read of {read:,} of {of:,} trials"
    found = [
        (f"last trial {last}", max(when).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC") if when else ""),
        ("machine", " · ".join(text for text in machine if text)),
        ("commit", all_of("git_commit", lambda commit: str(commit)[:12])),
        ("data", f"{study.dataset} {all_of('data_sha256', lambda digest: str(digest)[:12])}".strip()),
        ("versions", printable(", ".join(v for v in versions if not v.endswith(" ")))),
        ("command", str(whole_command(study) or "")),
        ("all settings", study.values.shared),
        ("curves", "" if collected.whole else curves),
    ]  # fmt: skip
    return [(name, text) for name, text in found if text]


# ----------------------------------------------------------------------------------------------- tables


def shown_table(table: Table, narrow: Sequence[str] = NARROW) -> dict[str, Any]:
    """Prepare a table for a template: texts, sort keys, and links to trials.

    Args:
        table: The table.
        narrow: Keys of the columns that a narrow screen shows.
    """
    texts = cells(table)
    shown = filled(table, texts)
    rows = []
    for row, written in zip(records(table), texts, strict=True):
        made = [
            {
                "text": written[i],
                "sort": _sort_key(row.get(table.columns[i].key)),
                "link": row.get("trial") if table.columns[i].key == "name" else None,
            }
            for i in shown
        ]
        rows.append({"cells": made, "baseline": row.get("baseline") is True})
    columns = [
        {
            "key": c.key,
            "title": c.title,
            "number": c.kind != "text",
            "minor": c.key not in narrow,
            "extra": not (c.vital or c.essential),
        }
        for c in (table.columns[i] for i in shown)
    ]
    return {"name": table.name, "title": table.title, "note": note_of(table, shown), "columns": columns, "rows": rows}


def _ranking(table: Table, chapter: Chapter) -> dict[str, object]:
    """Add the page's extras to a ranking: thumbnails, colours, short names, and links to trials."""
    made, known = shown_table(table), styles(chapter.study)
    pictures = {strip.label: strip.data_uris[-1][1] for strip in chapter.strips}
    trials = chapter.study.trials.sort_values("seed").drop_duplicates("label").set_index("label")["trial"].to_dict()
    for row, shown in zip(records(table), made["rows"], strict=True):
        label = str(row["setting"])
        shown |= {
            "label": label,
            "image": pictures.get(label),
            "trial": trials.get(label),
            "colour": known[label].colour if label in known else None,
            "best": row.get("rank_status") == "best",
            "remarks": row["remarks"] if isinstance(row.get("remarks"), str) else "",
        }
        link = next((cell for cell, column in zip(shown["cells"], made["columns"], strict=True)
                     if column["title"] in ("recipe", "setting")), None)  # fmt: skip
        if link:
            link["link"] = shown["trial"]
    return made


def _sort_key(value: Any) -> str:  # noqa: ANN401 - a cell
    """Return the sort key of a cell: a number with all digits, or text."""
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return ""
    return f"{float(value)!r}" if isinstance(value, (int, float)) else str(value)


def _json(value: object) -> str:
    """Write JSON that is safe inside a script element."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def own_text(file: str) -> str:
    """Return a file of the page's folder, which templates include unescaped."""
    return (resources.files("gan_bench.report.page") / file).read_text(encoding="utf-8")
