"""The report of a suite in MLflow: numbers and verdicts of settings, the answer, and saved views."""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gan_bench.core.errors import RecordError
from gan_bench.core.text import plain_markdown, slug
from gan_bench.records.layout import PLAN, SUITE, TRIALS
from gan_bench.records.reader import read_trial
from gan_bench.records.summary import (
    ComparedFile,
    SettingSummary,
    kept_comparisons,
    read_answer,
    read_summary,
)
from gan_bench.tracking import entities
from gan_bench.tracking.entities import (
    ANSWER_TAG,
    CURVES_TAG,
    NAME_TAG,
    NOTE_TAG,
    PARENT_TAG,
    RESULTS_TAG,
    SHOWN_TAG,
    digest,
)
from gan_bench.tracking.images import LOGGED_TAG
from gan_bench.tracking.mirror import Mirror, MirroredRun, SettingRun, SuiteRuns
from gan_bench.tracking.server import UploadError
from gan_bench.tracking.store import OWN_TAG, TrackingStore, link_into, may_be_copied, own_tag_value, tags_we_wrote
from gan_bench.tracking.views import View, is_edited, note, stale_views, views

if TYPE_CHECKING:
    from mlflow.entities import Metric

_NO_IMAGES = "without images"
"""Suffix of the digest of curves if MLflow refused their images."""


def save_views(store: TrackingStore, runs: SuiteRuns) -> list[View]:
    """Write the views of an experiment, and a note with the answer and the meaning of columns.

    Returns:
        The views; none when no score is known yet or MLflow refuses: a view is a courtesy.
    """
    found = read_summary(store.results, runs.suite)
    named = {each["study"]: each["protocol"].partition(",")[0] for each in found if each["protocol"]}
    studies = {study: entities.fit_for_key(extractor) for study, extractor in named.items()}
    extractors = list(dict.fromkeys(studies.values())) or sorted({each.partition(".")[2] for each in runs.scores})
    if not extractors:
        return []
    now, experiment = int(time.time() * 1000), runs.experiment
    made = views(extractors, now, studies, runs.columns, runs.scores, store.identity)
    try:
        there = store.client.get_experiment(experiment).tags
        for tag in stale_views(there, made, store.identity):
            with contextlib.suppress(Exception):  # another results folder on the same server has just deleted it
                store.client.delete_experiment_tag(experiment, tag)
        for view in made:
            if is_edited(there, view.tag):
                continue
            _tag(store, experiment, view.tag, view.value)
        _describe(store, experiment, note(runs.suite, _answer_text(store, runs.suite)))
    except Exception:
        return []
    return list(made)


def _describe(store: TrackingStore, experiment: str, text: str) -> None:
    """Set an experiment's description, unless another program or person wrote or edited it."""
    known = store.client.get_experiment(experiment)
    there = known.tags.get(NOTE_TAG, "")
    if there and not _is_ours(there):
        said = f"the description of the MLflow experiment {known.name} is not what gan_bench wrote, and stays as it is"
        if said not in store.notices:
            store.notices.append(said)
    elif there != (signed := _signed(text)):
        _tag(store, experiment, NOTE_TAG, signed)


def _tag(store: TrackingStore, experiment: str, name: str, value: str) -> None:
    """Set a tag of an experiment; retry once if a database refuses as another folder sets it at the same time."""
    try:
        store.client.set_experiment_tag(experiment, name, value)
    except Exception:
        store.client.set_experiment_tag(experiment, name, value)


def _signed(text: str) -> str:
    """Add to a description its digest, invisible on pages."""
    return f"{text}\n\n<!-- {digest(text)} -->"


def _is_ours(description: str) -> bool:
    """True if a description is unchanged since gan_bench wrote it."""
    return description == _signed(description.rpartition("\n\n<!-- ")[0])


def publish_settings(mirror: Mirror, runs: SuiteRuns, progress: Callable[[], None]) -> None:
    """Update the runs of a suite's settings to the last report and to their trials.

    Args:
        mirror: The mirror, which has synced the suite's trials.
        runs: What is known of the suite.
        progress: Called after every setting.
    """
    summaries = {each["setting"]: each for each in read_summary(mirror.store.results, runs.suite)}
    places = {path.name.rpartition("--")[2]: path for path in runs.folder.glob(TRIALS)}
    for key, run in runs.settings.items():
        found = summaries.get(key)
        name = found["label"] if found else f"setting {key}"
        with mirror.noting_refusals(name):
            if found is not None:
                _show(mirror, runs, run, found, places.get(found["best_trial"] or ""))
            elif summaries and run.shown:
                words = _report_tags(mirror.store, run, {"verdict": "not in the last report"})
                mirror.store.tag(run.run_id, {**words, SHOWN_TAG: ""})
                run.shown = ""
        with mirror.noting_refusals(name):
            _set_run_status(mirror.store, run, runs.trials_of(run))
        progress()


def _show(mirror: Mirror, suite: SuiteRuns, run: SettingRun, found: SettingSummary, best: Path | None) -> None:
    shown = digest([found["numbers"], found["words"], found["label"], found["study"], found["protocol"]])
    curves = digest([found["curves"], found["best_trial"], sorted(found["numbers"])])
    words = {**found["words"], "label": found["label"], "study": found["study"], "protocol": found["protocol"]}
    if (shown, curves) == (run.shown, run.curves):
        return
    lacks_images = run.curves == f"{curves} {_NO_IMAGES}"
    anew = run.curves != curves and not lacks_images
    if anew and run.curves:
        _make_again(mirror.store, suite, run)
    tags = {**_report_tags(mirror.store, run, words), SHOWN_TAG: shown, CURVES_TAG: curves}
    refused = None
    if anew:  # a kill from here on leaves values that another curve would cross
        mirror.store.tag(run.run_id, {CURVES_TAG: "partial"})
    if best is not None and (anew or lacks_images):
        try:
            # A damaged one is named where its own run is made.
            with contextlib.suppress(RecordError), mirror.store.upload(run.run_id) as folder:
                if mirror.stage_samples(folder, read_trial(best, history=False), frozenset()):
                    tags[LOGGED_TAG] = "True"
        except UploadError as error:
            refused = error
            tags[CURVES_TAG] = f"{curves} {_NO_IMAGES}"
            tags.pop(LOGGED_TAG, None)
    wanted = found if anew else SettingSummary(**{**found, "curves": {}})
    now = int(time.time() * 1000)
    if not anew:  # an earlier sync's clock may have been ahead of this one, and MLflow shows the newest value
        there = mirror.store.client.get_run(run.run_id).data.to_proto().metrics
        now = max(now, *(each.timestamp + 1 for each in there))
    mirror.store.log(run.run_id, _metrics(wanted, now), tags)
    run.shown, run.curves = shown, tags[CURVES_TAG]
    if refused is not None:
        raise refused


def _metrics(found: SettingSummary, now_ms: int) -> list[Metric]:
    """Return a setting's summary as metrics with four significant digits, which fit columns.

    Args:
        found: The setting.
        now_ms: Time of the values, in milliseconds: of two of one step MLflow shows the newer.
    """
    from mlflow.entities import Metric

    made = [Metric(name, _rounded(value), now_ms, 0) for name, value in found["numbers"].items()]
    for name, points in found["curves"].items():
        key = f"eval/{entities.metric_key(name)}" if "[" in name else name
        end = f"interval/{key.partition('/')[2]}"  # a prefix of their own: the page makes a section of each
        for epoch, *values in points:
            for each, value in zip((key, f"{end}.low", f"{end}.high"), values, strict=True):
                if value is not None:
                    made.append(Metric(each, _rounded(value), now_ms, epoch))
    return made


def _rounded(value: float) -> float:
    if value == round(value):  # a count
        return value
    return float(f"{value:.4g}")


def _report_tags(store: TrackingStore, run: SettingRun, words: Mapping[str, str]) -> dict[str, str]:
    """Return a setting's summary as tags; outdated verdicts are emptied, tags of users kept."""
    there = store.client.get_run(run.run_id).data.tags
    own = tags_we_wrote(there)
    earlier = {name for name in own if name.startswith("verdict.")}
    return {**dict.fromkeys(earlier & set(there), ""), **words, OWN_TAG: own_tag_value(own - earlier | set(words))}


def _make_again(store: TrackingStore, suite: SuiteRuns, run: SettingRun) -> None:
    """Replace the run of a setting whose curves changed; tags of users are copied.

    MLflow keeps every value that a metric ever had and draws them all: a second curve would cross the first.
    """
    client = store.client
    old = client.get_run(run.run_id)
    stale = (SHOWN_TAG, CURVES_TAG, LOGGED_TAG)
    tags = {name: value for name, value in old.data.tags.items() if name not in stale}
    made = store.create(old.info.experiment_id, old.info.start_time + 1, tags)
    store.log(made, params=old.data.params)
    for child in suite.trials_of(run):
        store.tag(child.run_id, {PARENT_TAG: made})
        child.parent = made
    store.delete_replaced(run.run_id, made)
    run.run_id, run.shown, run.curves, run.status = made, "", "", "RUNNING"


def _set_run_status(store: TrackingStore, run: SettingRun, trials: Sequence[MirroredRun]) -> None:
    """Set the status of a setting's run from its trials."""
    if any(not trial.closed for trial in trials):
        status = "RUNNING"
    else:
        ends = {trial.status for trial in trials}
        status = next((each for each in ("FINISHED", "KILLED", "FAILED") if each in ends), "FINISHED")
    if status == run.status:
        return
    store.set_status(run.run_id, status, max((trial.ended_ms for trial in trials), default=0) or None)
    run.status = status


def publish_answer(store: TrackingStore, runs: SuiteRuns, progress: Callable[[], None]) -> None:
    """Write the run of a suite's answer, with report, suite file and plan; replaced if they changed.

    Comparisons that ``gan-bench compare --keep`` left beside the report are there too, by tags ``baseline.NAME``.

    Args:
        store: What MLflow holds for the results folder.
        runs: What is known of the suite; nothing happens where no report says anything of it.
        progress: Called after every file.

    Raises:
        UploadError: The run lacks its files; the next time it is made again.
    """
    made, folder, suite = store.results / "report", runs.folder, runs.suite
    page, text = made / "report.html", _answer_text(store, suite)
    if not text:
        return
    named = re.compile(rf"{re.escape(slug(suite))}-(full|quick)-")
    tables = sorted(path for path in (made / "tables").glob("*") if named.match(path.name) and path.is_file())
    kept = kept_comparisons(store.results)
    report = {page.name: page, **{f"tables/{path.name}": path for path in tables}}
    files = {**report, **{path.name: path for path in (folder / SUITE, folder / PLAN)}}
    files |= {f"compared/{path.name}": path for _, path in kept}
    there = {name: path for name, path in files.items() if may_be_copied(path)}
    contents = [path.read_bytes() for path in there.values() if path.parent != folder]
    content = hashlib.sha256(b"".join([text.encode(), *contents])).hexdigest()[:16]
    experiment, client = runs.experiment, store.client
    answers = client.search_runs([experiment], filter_string=f"tags.`{ANSWER_TAG}` = '{suite}'")
    found = [run for run in answers if store.is_mine(run)]
    same = (run for run in found if run.data.tags.get("gan_bench.report") == content)
    fitting = next((run for run in same if not store.has_lost_files(run)), None)
    refused = None
    if fitting is None:
        now = int(time.time() * 1000)
        tags = {
            NAME_TAG: "answer",
            ANSWER_TAG: suite,
            RESULTS_TAG: store.identity,
            NOTE_TAG: text[:5000],
            "mlflow.source.name": "gan-bench report",
            **{f"baseline.{slug(path.stem)}": each["verdict"][:5000] for each, path in kept},
        }
        run_id = store.create(experiment, now, tags)
        try:
            with store.upload(run_id) as staged:
                link_into(staged, there)
            client.set_tag(run_id, "gan_bench.report", content)
        except UploadError as error:
            refused = error
        progress()
        store.set_status(run_id, "FINISHED", now)
    else:
        run_id = fitting.info.run_id
        if fitting.info.status != "FINISHED":  # a kill left it unfinished
            store.set_status(run_id, "FINISHED")
    store.supersede(run_id, (run for run in found if run is not fitting))
    if refused is not None:
        raise refused


def _answer_text(store: TrackingStore, suite: str) -> str:
    """Return a suite's answer, the best setting first, as MLflow shows one line of a note."""
    said = [line for line in read_answer(store.results, suite).splitlines() if line.startswith("- ")]
    return "\n".join([*said, *(_compared(store, suite, each) for each, _ in kept_comparisons(store.results))])


def _compared(store: TrackingStore, suite: str, kept: ComparedFile) -> str:
    """Return what a results folder was compared with, as a link if that is on the same tracking server."""
    name, client = plain_markdown(kept["baseline"]), store.client
    if kept["results"]:
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        mine = f"tags.`{RESULTS_TAG}` = '{kept['results']}'"
        answers = list(client.search_runs(experiments, f"{mine} AND tags.`{ANSWER_TAG}` LIKE '%'", max_results=100))
        found = [run for run in answers if run.data.tags[ANSWER_TAG] == suite] or answers
        if found:
            name = f"[{name}](#/experiments/{found[0].info.experiment_id}/runs/{found[0].info.run_id})"
    return f"- Compared with {name}: {plain_markdown(kept['verdict'])}."
