"""The saved view decodes to what the page should show, and the link names it."""

from __future__ import annotations

import base64
import json
import zlib

from gan_bench.tracking.views import by_setting, colour, leaderboard, link, note


def test_the_view_sorts_by_fid_and_shows_scores_and_params():
    view = leaderboard("lenet-mnist-v1", 5)
    value = json.loads(view.value)
    form, _, packed = value["state"].partition(";")
    state = json.loads(zlib.decompress(base64.b64decode(packed)))
    assert form == "deflate"
    assert view.tag == f"mlflow.sharedViewState.{view.share_key}"
    assert state["orderByKey"] == "metrics.`final/fid.lenet-mnist-v1`"
    assert state["orderByAsc"] is True
    assert {"metrics.`final/kid.lenet-mnist-v1`", "params.`lr`", "params.`betas`"} <= set(state["selectedColumns"])
    assert len(view.value) < 5000, "tags are cut at 5,000 characters"


def test_the_other_view_groups_by_setting_and_averages():
    value = json.loads(by_setting("lenet-mnist-v1", 5).value)
    state = json.loads(zlib.decompress(base64.b64decode(value["state"].partition(";")[2])))
    group = {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": "setting"}]}
    assert state["groupBy"] == group
    assert value["name"] != json.loads(leaderboard("lenet-mnist-v1", 5).value)["name"]


def test_the_note_explains_every_measure_and_fits_a_tag():
    assert all(f"| `{name}` |" in note("mnist") for name in ("fid", "kid", "copies"))
    assert len(note("m" * 100)) < 5000
    assert colour("mlp") != colour("dcgan28")


def test_the_link_survives_without_a_view():
    assert link("7", None).endswith("/#/experiments/7/runs?workflowType=machine_learning")
    assert link("7", "k").endswith("&viewStateShareKey=k")
