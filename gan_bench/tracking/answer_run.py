"""The answer of a suite in MLflow: one run with the report, and the verdict above the experiment's runs."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from pathlib import Path

from gan_bench.records.layout import PLAN, SUITE
from gan_bench.tracking import server
from gan_bench.tracking.entities import RESULTS_TAG
from gan_bench.tracking.mirror import Mirror, may_be_copied
from gan_bench.tracking.views import View, note, views

ANSWER_TAG = "gan_bench.answer"
_NOTE = "mlflow.note.content"


def save_views(mirror: Mirror, suite: str) -> list[View]:
    """Give an experiment its views, and a note with the answer and what its columns mean.

    Returns:
        The views; none when no score is known yet or MLflow refuses: a view is a courtesy.
    """
    extractors = mirror.extractors(suite)
    if not extractors:
        return []
    made = views(extractors[0], int(time.time() * 1000))
    try:
        experiment = mirror.experiment(suite)
        for view in made:
            mirror.client.set_experiment_tag(experiment, view.tag, view.value)
        mirror.client.set_experiment_tag(experiment, _NOTE, note(suite, _answer_text(mirror.results, suite)))
    except Exception:
        return []
    return list(made)


def publish_answer(mirror: Mirror, suite: str, progress: Callable[[], None] = lambda: None) -> None:
    """Keep one run for a suite's answer, with the page, the tables, the suite file and the plan; replaced when new.

    Args:
        mirror: The mirror.
        suite: Name of the suite; nothing happens where there is no report.
        progress: Called after every file.
    """
    report = mirror.results / "report"
    page, text = report / "report.html", _answer_text(mirror.results, suite)
    if not text or not page.is_file():
        return
    named = re.compile(rf"{re.escape(suite)}-(full|quick)-")
    tables = sorted(path for path in (report / "tables").glob("*") if named.match(path.name) and path.is_file())
    folder = mirror.results / suite
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in (page, *tables))).hexdigest()[:16]
    experiment, client = mirror.experiment(suite), mirror.client
    mine = f"tags.`{ANSWER_TAG}` = '{suite}' AND tags.`{RESULTS_TAG}` = '{mirror.identity}'"
    found = list(client.search_runs([experiment], filter_string=mine))
    if found and found[0].data.tags.get("gan_bench.report") == digest:
        return
    now = int(time.time() * 1000)
    tags = {
        ANSWER_TAG: suite,
        RESULTS_TAG: mirror.identity,
        _NOTE: text[:5000],
        "mlflow.source.name": "gan-bench report",
    }
    run = client.create_run(experiment, start_time=now, tags=tags, run_name="answer")
    with server.uploading():
        client.log_artifact(run.info.run_id, str(page))
        progress()
        for path in (folder / SUITE, folder / PLAN):
            if may_be_copied(path):
                client.log_artifact(run.info.run_id, str(path))
        for path in tables:
            client.log_artifact(run.info.run_id, str(path), "tables")
            progress()
    client.set_tag(run.info.run_id, "gan_bench.report", digest)
    client.set_terminated(run.info.run_id, status="FINISHED", end_time=now)
    for old in found:
        client.delete_run(old.info.run_id)


def _answer_text(results: Path, suite: str) -> str:
    """Return the sentences of a suite's answer, the best setting first: MLflow shows one line before it is opened."""
    try:
        lines = (results / "report" / "answers" / f"{suite}.md").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return "\n".join(line for line in lines if line.startswith("- "))
