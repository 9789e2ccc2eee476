"""The saved view decodes to what the page should show, and the link names it."""

from __future__ import annotations

import base64
import json
import zlib

from gan_bench.mlflow_views import leaderboard, link


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


def test_the_link_survives_without_a_view():
    assert link("7", None).endswith("/#/experiments/7/runs?workflowType=machine_learning")
    assert link("7", "k").endswith("&viewStateShareKey=k")
