"""Best of k, against every subset there is; and the table that shows it."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from support.studies import as_read, studies_of
from support.trials import config_of

from gan_bench.config.measures import COLUMNS, MEASURES, Measure
from gan_bench.config.recipes import RECIPES
from gan_bench.config.trial import EvaluationConfig, Trial, TrialConfig
from gan_bench.records.reader import StoredTrial
from gan_bench.report.findings.answer import answers
from gan_bench.report.findings.factors import FACTORS
from gan_bench.report.findings.reproduction import _follows as follows
from gan_bench.report.findings.tables import study_tables
from gan_bench.report.findings.tuning import arms, best_of, tuning_sentences
from gan_bench.report.page import drawing, plots
from gan_bench.report.study.latex import to_latex
from gan_bench.report.study.table import table_markdown


@given(
    st.lists(st.one_of(st.floats(0, 100), st.just(math.inf)), min_size=1, max_size=8),
    st.integers(1, 8),
    st.sampled_from([0.1, 0.5, 0.9, 1.0]),
)
def test_best_of_k_is_the_quantile_over_all_subsets(values, k, share):
    k = min(k, len(values))
    lowest = [min(subset) for subset in itertools.combinations(values, k)]
    wanted = np.quantile(lowest, share, method="inverted_cdf")
    assert best_of(values, k, share) == wanted


def trial_row(trial):
    """``trial.json`` as the reader gives it."""
    return {"id": trial.id, "name": trial.name, **trial.to_json(), "config": as_read(trial.config)}


def test_more_settings_never_look_worse():
    values = list(np.random.default_rng(0).lognormal(5, 1, 30))
    medians = [best_of(values, k, 0.5) for k in range(1, 31)]
    assert medians == sorted(medians, reverse=True)
    assert medians[-1] == min(values)
    assert medians[0] == pytest.approx(np.quantile(values, 0.5, method="inverted_cdf"))


def stored(loss, lr, seed, fid, *, drawn=("lr_g", "lr_d"), weights=""):
    config = config_of(
        "mnist-mlp-z100",
        loss=loss,
        lr_g=lr,
        lr_d=lr,
        seed=seed,
        epochs=4,
        evaluation=EvaluationConfig(epochs=(4,), samples=9),
    )
    trial = Trial(setting=f"{loss},lr={lr}", config=config, drawn=drawn)
    scores = [{"metric": "fid", "name": f"fid[e,train,9{weights}]", "value": fid}] if fid else []
    final = dict.fromkeys(("loss_d", "loss_g", "d_real", "d_fake"), 0.5)
    record = {"status": "done" if fid else "diverged", "reason": None, "epochs": 4, "images": 9, "final": final}
    return StoredTrial(
        path=Path("x"),
        trial=trial_row(trial),
        environment={"device": "cpu"},
        history=[],
        evaluations=[{"epoch": 4, "scores": scores}] if fid else [],
        record={**record, "train_seconds": 2.0, "evaluate_seconds": 1.0},
    )


@pytest.fixture
def study():
    """Hinge is safe: all its settings are fair. Minimax is a gamble: most are bad, one is the best, one diverges."""
    rates = [1e-4, 2e-4, 3e-4, 4e-4, 5e-4]
    fids = {"hinge": [60, 61, 62, 63, 64], "minimax": [20, 90, 91, 92, None]}
    trials = [
        stored(loss, lr, seed, fid and fid + seed)
        for loss, values in fids.items()
        for lr, fid in zip(rates, values, strict=True)
        for seed in (0, 1)
    ]
    (found,) = studies_of(trials)
    return found


def test_random_settings_that_lost_most_of_their_seeds_have_no_plot():
    """It ended the report in a traceback."""
    trials = [stored("hinge", lr, seed, 60.0 if seed else None) for lr in (1e-4, 2e-4) for seed in (0, 1)]
    (found,) = studies_of(trials)
    assert [arm.values for arm in arms(found.scored[0])] == [(math.inf, math.inf)]
    assert list(plots._tuning_plot(found.scored[0])) == []


def test_arms_share_everything_but_what_was_drawn(study):
    found = {arm.label: arm for arm in arms(study.scored[0])}
    assert list(found) == ["mnist-mlp-z100 · loss hinge", "mnist-mlp-z100 · loss minimax"]
    assert found["mnist-mlp-z100 · loss hinge"].values == (60.5, 61.5, 62.5, 63.5, 64.5)
    assert found["mnist-mlp-z100 · loss minimax"].values == (20.5, 90.5, 91.5, 92.5, math.inf)
    assert found["mnist-mlp-z100 · loss hinge"].seconds == 4


def test_the_table_and_the_answer_say_that_the_budget_decides(study):
    tables = list(study_tables(study))
    (table,) = (table for table in tables if "tuning" in table.name)
    rows = table.rows.set_index("arm")
    assert rows.loc["mnist-mlp-z100 · loss hinge", "k1"] == 62.5
    assert rows.loc["mnist-mlp-z100 · loss minimax", "k5"] == 20.5
    assert rows.loc["mnist-mlp-z100 · loss minimax", "k1_high"] == math.inf
    assert "91.50 (20.50 to ∞)" in table_markdown(table), "its table had no upper end, or nan"
    assert "nan" not in table_markdown(table) + to_latex(table)
    assert not any("learning rate" in table.name for table in tables), "random values are no levels of a factor"
    (answer,) = answers(study)
    assert answer.factors[-1] == (
        "random settings: with 1 mnist-mlp-z100 · loss hinge (median best FID 62.5); with 5 mnist-mlp-z100 · loss "
        "minimax (median best FID 20.5); no test says whether that is more than chance."
    )


def test_of_arms_with_equal_scores_none_leads():
    """The first by name led at both budgets."""
    trials = [stored(loss, lr, 0, fid) for loss in ("hinge", "minimax") for lr, fid in ((1e-4, 50.0), (2e-4, 60.0))]
    (found,) = studies_of(trials)
    both = "mnist-mlp-z100 · loss hinge and mnist-mlp-z100 · loss minimax (median best FID 50)"
    assert list(tuning_sentences(found.scored[0])) == [
        f"random settings: with 1 {both}; with 2 {both}; no test says whether that is more than chance."
    ]


@pytest.mark.draws_plots
def test_the_plot_draws_the_best_of_k(study, monkeypatch):
    lines, bands = {}, []
    plot, fill = Axes.plot, Axes.fill_between

    def note_line(self, x, y, **style):
        lines[style.get("label")] = (list(x), list(y))
        return plot(self, x, y, **style)

    def note_band(self, x, low, high, **style):
        bands.append((list(low), list(high)))
        return fill(self, x, low, high, **style)

    with mpl.rc_context(drawing.STYLE), monkeypatch.context() as patch:
        patch.setattr(Axes, "plot", note_line)
        patch.setattr(Axes, "fill_between", note_band)
        (picture,) = plots._tuning_plot(study.scored[0])
    assert picture.name.endswith("tuning-e-train-9")
    assert "random settings tried" in picture.svg
    found = arms(study.scored[0])
    assert list(lines) == [arm.label for arm in found]
    for arm in found:
        tried, lowest = lines[arm.label]
        assert tried == [1, 2, 3, 4, 5]
        subsets = {k: [min(each) for each in itertools.combinations(arm.values, k)] for k in tried}
        assert lowest == [sorted(values)[(len(values) - 1) // 2] for values in subsets.values()]
    assert len(bands) == 2
    assert all(np.isfinite(band).all() for band in bands), "a training without a score bounds no band"
    assert all(low <= high for band in bands for low, high in zip(*band, strict=True))


@pytest.mark.draws_plots
def test_logarithmic_axes_are_labelled_with_numbers(study):
    """They were labelled with TeX, which an SVG of plain text shows as it is."""
    pictures = list(plots.study_plots(study))
    assert "Best of k random settings" in {each.title for each in pictures}
    for each in pictures:
        assert "mathdefault" not in each.svg, each.name


@given(st.floats(1e-300, 1e50), st.floats(1.05, 1e250))
@example(1e-5, 1e40)
def test_a_logarithmic_axis_has_some_labels_and_not_many(low, ratio):
    high = low * ratio
    ticks = drawing.log_ticks(low, high)
    assert ticks == sorted(set(ticks))
    assert all(low <= tick <= high for tick in ticks)
    assert 2 <= len(ticks) <= 12


def test_a_moving_average_is_set_beside_g_and_ranked_nowhere():
    trials = []
    for seed in range(5):
        item = stored("hinge", 1e-4, seed, 50.0 + seed, drawn=())
        average = stored("hinge", 1e-4, seed, 25.0 + seed, drawn=(), weights=",ema")
        item.evaluations[0]["scores"] += average.evaluations[0]["scores"]
        trials.append(item)
    (study,) = studies_of(trials)
    assert [str(each) for each in (*study.scored, *study.averages)] == ["e,train,9", "e,train,9,ema"]
    tables = list(study_tables(study))
    assert sum(table.ranking for table in tables) == 1
    (beside,) = (table for table in tables if "EMA-of-G" in table.name)
    (row,) = beside.rows.to_dict("records")
    assert (row["first_level"], row["second_level"], row["winner"]) == ("G", "EMA of G", "EMA of G")
    assert row["ratio"] == pytest.approx(np.exp(np.mean([np.log((25 + s) / (50 + s)) for s in range(5)])))
    assert row["found"] == "decided"


def test_another_objective_is_no_reproduction_of_an_article():
    recipe = RECIPES["mnist-mlp-z100"]
    own = as_read(config_of("mnist-mlp-z100"))
    assert follows(own, recipe)
    for name, value in {"loss": "hinge", "d_steps": 5, "spectral_norm": True, "ema_decay": 0.9}.items():
        assert not follows({**own, name: value}, recipe), name


def test_the_decay_of_an_average_is_no_factor_of_g():
    assert not any("ema_decay" in fields for fields in FACTORS.values())


def test_optimizers_are_compared_although_others_have_no_betas():
    trials = []
    for seed in range(5):
        for name, betas, fid in (("adam", (0.5, 0.999), 50.0), ("rmsprop", (0.9, 0.999), 70.0)):
            item = stored("hinge", 1e-4, seed, fid + seed, drawn=())
            config = {
                **item.trial["config"],
                "optimizer_g": name,
                "optimizer_d": name,
                "betas_g": betas,
                "betas_d": betas,
            }
            plain = TrialConfig.from_json(config)
            trial = Trial(setting=name, config=plain)
            trials.append(replace(item, trial=trial_row(trial)))
    (study,) = studies_of(trials)
    (table,) = (table for table in study_tables(study) if "factor-optimizer" in table.name)
    (row,) = table.rows.to_dict("records")
    assert (row["first_level"], row["second_level"], row["verdict"]) == ("adam", "rmsprop", "adam")
    assert not any("β" in label for label in study.trials["label"] if "rmsprop" in label)


def test_a_measure_from_a_folder_cannot_take_a_column(tmp_path):
    plain = MEASURES["kid"].to_json()
    assert "rank" in COLUMNS
    assert Measure.from_json({**plain, "title": "a\x1b[31mb", "roles": ["primary", "quality"]}).title == "a\\x1b[31mb"
    assert "primary" not in Measure.from_json({**plain, "roles": ["primary", "quality"]}).roles
