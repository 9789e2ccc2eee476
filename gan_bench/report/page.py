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
from gan_bench.config.measures import MEASURES, primary_measure
from gan_bench.records.reader import StoredTrial
from gan_bench.report.frame import status_of
from gan_bench.report.plots import Plot
from gan_bench.report.render import cells, filled, note_of, number, records
from gan_bench.report.samples import Strip
from gan_bench.report.study import Study, pick
from gan_bench.report.table import Table, interval_of


@dataclass(frozen=True)
class Chapter:
    """One study with everything that is shown of it.

    Attributes:
        study: The study.
        tables: Its tables.
        plots: Its plots.
        strips: Its samples.
    """

    study: Study
    tables: list[Table]
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
        "verdicts": [_verdict(study, protocol) for protocol in study.protocols],
        "findings": _findings(chapter),
        "tables": [_table(table) for table in chapter.tables],
        "plots": [
            {"title": p.title, "description": p.description, "name": p.name, "svg": p.svg} for p in chapter.plots
        ],
        "strips": [
            {"label": s.label, "seed": s.seed, "trial": s.trial, "last": s.data_uris()[-1], "name": s.name}
            for s in chapter.strips
        ],
    }


HOW_SURE = {
    "tie": "a tie: the whole interval of the gap lies within the noise of scoring",
    "undecided": "undecided: the interval of the gap holds zero, or the gap is smaller than the noise of scoring",
    "probable": "probable: the interval of the gap excludes zero, but more seeds are needed",
    "decided": "decided",
}


def _verdict(study: Study, protocol: str) -> dict[str, Any]:
    """Return the best setting under a protocol and how certain that is, from seeds that both settings have."""
    from gan_bench.report.stats import differences, improvement_probability, mean_interval, sign_flip_test, verdict_of

    final, ranking, primary = study.final(protocol), study.ranking(protocol), primary_measure()
    by_label = {row["setting"]: done for row, done in study.settings()}
    if not ranking:
        return {"protocol": protocol, "best": None, "text": "No finished trial has a score yet."}
    best = interval_of(pick(by_label[ranking[0]], final, primary))
    assert best is not None  # noqa: S101 - it is ranked
    half = "" if best.low is None or best.high is None else f" ± {number((best.high - best.low) / 2)}"
    verdict = {
        "protocol": protocol,
        "best": ranking[0],
        "score": f"{MEASURES[primary].title} {number(best.mean)}{half}",
        "n": best.n,
        "cautions": _cautions(study, protocol, by_label[ranking[0]], best.mean),
    }
    if len(ranking) < 2:
        return {**verdict, "text": "There is no other setting to compare it with."}
    values = [by_label[label].set_index("seed")["trial"].map(final[primary]).dropna() for label in ranking[:2]]
    shared = values[0].index.intersection(values[1].index)
    if len(shared) < 2:
        return {**verdict, "second": ranking[1], "text": "Not sure at all: they share fewer than two seeds."}
    gaps = differences(values[0].loc[shared], values[1].loc[shared])
    interval, p = mean_interval(gaps), sign_flip_test(gaps)
    assert interval.low is not None and interval.high is not None  # noqa: S101, PT018 - there are two values
    sure = improvement_probability(-gaps, lower_is_better=True)
    how = HOW_SURE[verdict_of(interval, study.measurement_sd(protocol, primary), p)]
    gap = f"{number(interval.mean)} (95 %: {number(interval.low)} to {number(interval.high)})"
    text = f"It is ahead by {gap}, in {sure:.0%} of {len(shared)} seeds, p = {p:.3f}: {how}."
    return {**verdict, "second": ranking[1], "text": text}


def _findings(chapter: Chapter) -> list[str]:
    """Return one sentence for every factor comparison of the primary measure that is not left open."""
    found, primary = [], primary_measure()
    for table in chapter.tables:
        if "verdict" not in table.rows or "difference" not in table.rows:
            continue
        for _, row in table.rows[table.rows["key"] == primary].iterrows():
            if not row["verdict"].endswith("undecided"):
                half = (row["difference_high"] - row["difference_low"]) / 2
                gap = (
                    f"{number(abs(row['difference']))} ± {number(half)} {MEASURES[primary].title}, {row['seeds']} seeds"
                )
                sure = f"corrected p = {row['p']:.3f}{_noisy(row, chapter.study)}"
                pair = f"{row['recipe']}: {row['first_level']} or {row['second_level']}"
                found.append(f"{pair}: {row['verdict']} ({gap}, {sure})")
    return found


def _noisy(row: pd.Series[Any], study: Study) -> str:
    """Say so when both sides of a comparison are no better than generators that were never trained."""
    untrained = study.untrained(row["protocol"], primary_measure(), row["recipe"])
    worse = untrained is not None and min(row["first"], row["second"]) >= untrained
    return "; both no better than untrained generators" if worse else ""


def _cautions(study: Study, protocol: str, best: pd.DataFrame, score: float) -> list[str]:
    """Say what a good rank alone would hide about the trials of the best setting."""
    found = []
    recipe = study.trials.set_index("trial")["recipe"][best["trial"].iloc[0]]
    untrained = study.untrained(protocol, primary_measure(), recipe)
    if untrained is not None and score >= untrained:
        title = MEASURES[primary_measure()].title
        found.append(f"No better than untrained generators, whose {title} is {number(untrained)}.")
    collapsed = int((pick(best, study.final(protocol), "collapsed") > 0).sum())
    if collapsed:
        found.append(f"{collapsed} of {len(best)} of its generators collapsed: few classes, or one over and over.")
    return found


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
