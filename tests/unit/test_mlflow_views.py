"""The saved views decode to what the page should show, and the links name them."""

from __future__ import annotations

import base64
import json
import zlib
from itertools import combinations

import pytest

from gan_bench.config.measures import MEASURES
from gan_bench.tracking import views as tracking_views
from gan_bench.tracking.entities import colour
from gan_bench.tracking.views import VIEW_TAG, differing_params, is_edited, link, note, stale_views, views


def views_of(*extractors, studies=(), scores=None, owner="me"):
    """Return the views of what these extractors score: all measures, unless some are named."""
    every = {f"{name}.{extractor}" for name in MEASURES for extractor in extractors}
    return views(extractors, 5, dict(studies), tracking_views.PARAMS, every if scores is None else scores, owner)


LEADERBOARD, CURVES, TRIALS = views_of("lenet-mnist-v1")


def state_of(view):
    value = json.loads(view.value)
    form, _, packed = value["state"].partition(";")
    assert form == "deflate"
    assert view.tag == f"mlflow.sharedViewState.{view.share_key}"
    return json.loads(zlib.decompress(base64.b64decode(packed)))


def test_the_leaderboard_has_a_row_for_each_setting_with_its_verdict_beside_its_fid():
    state = state_of(LEADERBOARD)
    assert state["searchFilter"] == "tags.`gan_bench.setting` LIKE '%'"
    assert state["orderByKey"] == "metrics.`fid.rank`"
    assert state["orderByAsc"] is True
    assert state["runsHiddenMode"] == "SHOW_ALL"
    shown = state["selectedColumns"]
    assert shown == state["columnOrder"]
    assert shown[:2] == ["metrics.`fid.median`", "tags.`verdict`"], "a page showed no FID beside seven parameters"
    assert shown[2:5] == ["params.`recipe`", "params.`lr_g`", "params.`lr_d`"], "then what differs"
    assert "metrics.`kid.mean`" in shown


def test_scores_that_an_extractor_does_not_give_have_no_columns_and_no_chart():
    some = frozenset(f"{name}.dinov2-vit-s-14" for name in ("fid", "kid", "precision", "recall"))
    leaderboard, curves, trials = (json.dumps(state_of(view)) for view in views_of("dinov2-vit-s-14", scores=some))
    everything = "".join(json.dumps(state_of(view)) for view in views_of("dinov2-vit-s-14"))
    for key in ("eval/is.dinov2-vit-s-14", "eval/classes.dinov2-vit-s-14", "metrics.`is.mean`"):
        assert key in everything
        assert key not in leaderboard + curves + trials
    assert "metrics.`kid.mean`" in leaderboard
    assert "eval/kid.dinov2-vit-s-14" in curves
    assert "eval/kid.dinov2-vit-s-14" in trials


def test_trials_have_a_view_that_sorts_by_fid():
    state = state_of(TRIALS)
    assert state["searchFilter"] == "tags.`gan_bench.trial` LIKE '%'"
    assert state["orderByKey"] == "metrics.`eval/fid.lenet-mnist-v1`"
    assert {"metrics.`eval/kid.lenet-mnist-v1`", "params.`lr_g`", "params.`seed`"} <= set(state["selectedColumns"])


def test_rankings_that_do_not_compare_have_leaderboards_of_their_own():
    found = views_of("lenet-mnist-v1", studies=dict.fromkeys(("mnist-full", "mnist-quick"), "lenet-mnist-v1"))
    boards = [view for view in found if view.name.startswith("Leaderboard")]
    assert [view.name for view in boards] == [
        "Leaderboard (mnist-full, lenet-mnist-v1)",
        "Leaderboard (mnist-quick, lenet-mnist-v1)",
    ]
    assert [state_of(view)["searchFilter"].rpartition(" AND ")[2] for view in boards] == [
        "tags.study = 'mnist-full'",
        "tags.study = 'mnist-quick'",
    ]
    assert len({view.share_key for view in found}) == len(found) == 5


def test_each_ranking_shows_the_scores_of_its_extractor_and_earlier_views_go():
    studies = {"all-full-digits": "lenet-mnist-v1", "all-full-cifar10": "cifar-v1"}
    found = views_of("lenet-mnist-v1", "cifar-v1", studies=studies)
    assert [view.name for view in found if view.name.startswith(("Curves", "Trials"))] == [
        "Curves (all-full-digits, lenet-mnist-v1)",
        "Curves (all-full-cifar10, cifar-v1)",
        "Trials (lenet-mnist-v1)",
        "Trials (cifar-v1)",
    ]
    keys = {view.name: state_of(view)["compareRunCharts"][0]["metricKey"] for view in found if view.chart}
    assert list(keys.values()) == ["eval/fid.lenet-mnist-v1", "eval/fid.cifar-v1"]
    mine = json.dumps({"name": "Leaderboard of my own"})
    tags = {view.tag: view.value for view in (LEADERBOARD, CURVES, TRIALS)} | {f"{VIEW_TAG}mine": mine, "other": "x"}
    assert stale_views(tags, found, "me") == [LEADERBOARD.tag, CURVES.tag], "they would rank what does not compare"


def test_views_of_others_and_changed_ones_stay_as_they_are():
    """A user's view called as ours, one of ours that a user had changed, and those of another folder were removed."""
    changed = json.loads(LEADERBOARD.value) | {"state": json.loads(CURVES.value)["state"]}
    (theirs, *_) = views_of("lenet-mnist-v1", studies={"all-full-digits": "lenet-mnist-v1"}, owner="another folder")
    own = json.dumps({"name": "Leaderboard (with my columns)", "state": "deflate;x"})
    tags = {LEADERBOARD.tag: json.dumps(changed), f"{VIEW_TAG}{theirs.share_key}x": theirs.value, f"{VIEW_TAG}1": own}
    assert stale_views(tags, (), "me") == []
    assert [is_edited(tags, tag) for tag in (*tags, CURVES.tag)] == [True, False, True, False]
    assert stale_views(tags, (), "another folder") == [f"{VIEW_TAG}{theirs.share_key}x"]


def test_a_lone_ranking_has_the_runs_of_its_study_alone():
    (board, *_) = views_of("lenet-mnist-v1", studies={"all-full-digits": "lenet-mnist-v1"})
    assert board.name == "Leaderboard (lenet-mnist-v1)"
    assert state_of(board)["searchFilter"].endswith("AND tags.study = 'all-full-digits'")


def columns_of(*configs):
    return differing_params([{"config": each} for each in configs])


def test_columns_are_what_differs_within_a_recipe():
    first = {"recipe": "a", "lr_g": 2e-4, "lr_d": 2e-4, "batch_size": 64, "epochs": 10, "seed": 0}
    second = {**first, "lr_g": 3e-4, "lr_d": 3e-4, "seed": 1}
    other = {**first, "recipe": "b", "batch_size": 128, "epochs": 60}
    assert columns_of(first, second) == ("lr_g",), "D's learning rate is G's"
    assert columns_of(first, {**second, "lr_d": 2e-4}) == ("lr_g",)
    assert columns_of(first, second, {**second, "lr_d": 2e-4}) == ("lr_g", "lr_d")
    assert columns_of(first, second, other) == ("recipe", "lr_g", "epochs"), "recipes fix the rest"
    assert columns_of(first) == tracking_views.PARAMS, "nothing differs"


def test_curves_begin_with_fid_then_losses():
    charts = state_of(CURVES)["compareRunCharts"]
    keys = [chart.get("metricKey") for chart in charts]
    assert keys[0] == "eval/fid.lenet-mnist-v1"
    assert charts[0]["scaleType"] == "log"
    assert keys[4:8] == ["train/loss_d", "train/loss_g", "train/d_real", "train/d_fake"]
    assert [chart["imageKeys"] for chart in charts[-2:]] == [["eval/last_samples"], ["eval/samples"]]
    sections = {section["uuid"] for section in state_of(CURVES)["compareRunSections"]}
    assert {chart["metricSectionId"] for chart in charts} <= sections


@pytest.mark.parametrize("view", [LEADERBOARD, CURVES, TRIALS], ids=lambda view: view.name)
def test_every_view_fits_a_tag(view):
    assert len(view.value) < 5000, "tags are cut at 5,000 characters"


def test_views_are_told_apart():
    assert len({view.share_key for view in (LEADERBOARD, CURVES, TRIALS)}) == 3


def test_the_note_explains_every_measure_and_fits_a_tag():
    assert all(f"| `{name}` |" in note("mnist") for name in ("fid", "kid", "copies"))
    assert len(note("m" * 100)) < 5000
    assert note("mnist", "- Best setting: x").startswith("- Best setting: x\n\nSuite **mnist**")
    assert len(note("mnist", "y" * 9000)) < 5000
    long = "y" * (4900 - len(note("mnist")))
    assert "| `kid` | KID | lower |\n" in note("mnist", long), "shorter, beside a long answer"
    assert note("mnist", long).startswith(long)


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
