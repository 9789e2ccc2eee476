"""The saved views decode to what the page should show, and the links name them."""

from __future__ import annotations

import base64
import json
import zlib
from itertools import combinations

import pytest

from gan_bench.tracking.views import colour, link, note, views

LEADERBOARD, SETTINGS, CURVES = views("lenet-mnist-v1", 5)


def state_of(view):
    value = json.loads(view.value)
    form, _, packed = value["state"].partition(";")
    assert form == "deflate"
    assert view.tag == f"mlflow.sharedViewState.{view.share_key}"
    return json.loads(zlib.decompress(base64.b64decode(packed)))


def test_the_leaderboard_sorts_by_fid_and_shows_scores_and_numbers():
    state = state_of(LEADERBOARD)
    assert state["orderByKey"] == "metrics.`eval/fid.lenet-mnist-v1`"
    assert state["orderByAsc"] is True
    columns = {"metrics.`eval/kid.lenet-mnist-v1`", "params.`lr_g`", "params.`beta1_d`"}
    assert columns <= set(state["selectedColumns"])
    assert state["runsHiddenMode"] == "SHOW_ALL"


def test_settings_and_curves_are_averaged_over_seeds():
    group = {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": "setting"}]}
    assert state_of(SETTINGS)["groupBy"] == state_of(CURVES)["groupBy"] == group


def test_curves_begin_with_fid_then_losses():
    charts = state_of(CURVES)["compareRunCharts"]
    keys = [chart.get("metricKey") for chart in charts]
    assert keys[0] == "eval/fid.lenet-mnist-v1"
    assert charts[0]["scaleType"] == "log"
    assert keys[4:8] == ["train/loss_d", "train/loss_g", "train/d_real", "train/d_fake"]
    assert charts[-1]["imageKeys"] == ["eval/samples"]
    sections = {section["uuid"] for section in state_of(CURVES)["compareRunSections"]}
    assert {chart["metricSectionId"] for chart in charts} <= sections


@pytest.mark.parametrize("view", [LEADERBOARD, SETTINGS, CURVES], ids=lambda view: view.name)
def test_every_view_fits_a_tag(view):
    assert len(view.value) < 5000, "tags are cut at 5,000 characters"


def test_views_are_told_apart():
    assert len({view.share_key for view in (LEADERBOARD, SETTINGS, CURVES)}) == 3


def test_the_note_explains_every_measure_and_fits_a_tag():
    assert all(f"| `{name}` |" in note("mnist") for name in ("fid", "kid", "copies"))
    assert len(note("m" * 100)) < 5000
    assert note("mnist", "- Best setting: x").startswith("- Best setting: x\n\nSuite **mnist**")
    assert len(note("mnist", "y" * 9000)) < 5000


def distance(a, b):
    return sum(abs(int(a[i : i + 2], 16) - int(b[i : i + 2], 16)) for i in (1, 3, 5))


def test_settings_of_a_plan_have_colours_far_apart():
    shades = [colour("any", place) for place in range(16)]
    assert min(distance(a, b) for a, b in combinations(shades, 2)) > 40
    assert colour("mnist-dcgan") == colour("mnist-dcgan") != colour("mnist-mlp-z64")


def test_links():
    assert link("7", None).endswith("/#/experiments/7/runs?workflowType=machine_learning")
    assert link("7", LEADERBOARD).endswith(f"&viewStateShareKey={LEADERBOARD.share_key}")
    assert "compareRunsMode=CHART" in link("7", CURVES)
    assert link("7", None, "https://mlflow.example").startswith("https://mlflow.example/#/")
