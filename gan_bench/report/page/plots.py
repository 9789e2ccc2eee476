"""Studies -> plots as SVG: the same bytes for the same records, readable in grey, in light and in dark."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from gan_bench.config.measures import MEASURES, primary_measure
from gan_bench.report.findings.factors import AVERAGE_FACTOR, EPOCHS, FACTORS, factors_of, leading_level
from gan_bench.report.findings.standings import standings
from gan_bench.report.findings.tuning import HIGH, LOW, arms, best_of
from gan_bench.report.findings.verdicts import Judged
from gan_bench.report.page.curves import ACCENT, Style, best_first, style, styles, training_curves
from gan_bench.report.page.drawing import INK, STYLE, WRAP, Plot, finish, log_scale, name_parts, new_plot
from gan_bench.report.study.frame import STATISTIC_TITLES
from gan_bench.report.study.stats import Interval
from gan_bench.report.study.study import ScoredStudy, Study
from gan_bench.report.study.table import median_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = 12
"""Most settings in one plot; the best by the primary measure are shown, and the plot says so."""
LINES = 8
ROWS = 30


def study_plots(study: Study) -> Iterator[Plot]:
    """Draw the plots of one study."""
    import matplotlib as mpl

    with mpl.rc_context():  # a user's own settings, such as text.usetex, are for the user's own plots
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)  # type: ignore[arg-type]
        yield from _training_plots(study)
        for scored in study.scored:
            yield from _score_plots(scored)
            yield from _factor_plots(scored)
            yield from _tuning_plot(scored)
            yield from _cost_plot(scored)


# ------------------------------------------------------------------------------------------------- training


def _training_plots(study: Study) -> Iterator[Plot]:
    labels = best_first(study)[:PANELS]
    curves, known = training_curves(study, labels), styles(study)
    if not curves:
        return
    for what, title, names in (
        ("losses", "Losses over epochs", ("loss_d", "loss_g")),
        ("outputs", "D(real) and D(fake) over epochs", ("d_real", "d_fake")),
    ):
        figure, axes = _grid(len(labels))
        for axis, label in zip(axes, labels, strict=False):
            for name, dash in zip(names, ("solid", (0, (4, 1.5))), strict=True):
                if label in curves:
                    style = Style(known[label].colour, dash, "")
                    _band(axis, curves[label].groupby("epoch")[name], style, STATISTIC_TITLES[name])
            axis.set_title("\n".join(textwrap.wrap(label, WRAP + 8)), fontsize=9)
            if what == "outputs" and study.trials["probabilities"].all():
                axis.set_ylim(-0.02, 1.02)
        axes[0].legend()
        figure.supxlabel("epoch", fontsize=9)
        source = "epoch means; of up to 10 epochs, single steps"
        text = f"{title}, {source}; lines are means over seeds, bands their range. {_which_settings(study, labels)}"
        yield finish(figure, study, what, title, text)


def _which_settings(study: Study, labels: list[str]) -> str:
    count = study.trials["label"].nunique()
    title = MEASURES[primary_measure()].title
    return f"The best {len(labels)} of {count} settings by {title}." if count > len(labels) else f"{count} settings."


def _grid(count: int) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    columns = min(3, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(2.9 * columns, 2.1 * rows + 0.3))
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False).flatten()
    for unused in axes[count:]:
        unused.set_visible(False)
    return figure, list(axes[:count])


def _band(axis: Axes, groups: Any, style: Style, label: str) -> None:  # noqa: ANN401 - pandas' grouped column
    from matplotlib.ticker import MaxNLocator

    mean, low, high = groups.mean(), groups.min(), groups.max()
    axis.xaxis.set_major_locator(MaxNLocator("auto", integer=True))  # there is no half epoch
    _line(axis, mean.index, mean, style if len(mean) <= 12 else replace(style, marker=""), label)
    if (high > low).any():
        axis.fill_between(mean.index, low.to_numpy(), high.to_numpy(), color=style.colour, alpha=0.18, linewidth=0)


def _line(axis: Axes, x: ArrayLike, y: ArrayLike, style: Style, label: str) -> None:
    look = {"color": style.colour, "linestyle": style.dash, "marker": style.marker, "markersize": 3.5}
    axis.plot(np.asarray(x), np.asarray(y), label=label, **look)


# --------------------------------------------------------------------------------------------------- scores


def _score_plots(scored: ScoredStudy) -> Iterator[Plot]:
    found, primary = scored.by_epoch(), primary_measure()
    there = set(found["label"])
    labels = [each.label for each in standings(scored).ranked if each.label in there][:LINES]
    if not labels or found["epoch"].nunique() < 2:
        return
    measure, known = MEASURES[primary].title, styles(scored.study)
    floors = [scores[primary]["value"] for _, scores in scored.real() if primary in scores]
    real = min(filter(None, floors), default=0.0)
    for what, title, unit, bands in (
        ("epochs", f"{measure} over epochs", "epoch", ", bands their range"),
        ("seconds", f"{measure} over training time", "seconds of training", ""),
    ):
        figure, axis = new_plot()
        for label in labels:
            looks = found[found["label"] == label].groupby("epoch")
            if what == "epochs":
                _band(axis, looks["value"], known[label], label)
            else:
                _line(axis, looks["train_seconds"].median(), looks["value"].mean(), known[label], label)
        if real > 0:
            axis.axhline(real, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
            axis.annotate("real", (1, real), xycoords=("axes fraction", "data"), ha="right", va="bottom")
        log_scale(axis, "y")
        name_parts(figure, unit, f"{measure} (lower is better)")
        text = f"{title}, {scored}; means over seeds{bands}. {_which_settings(scored.study, labels)}"
        yield finish(figure, scored.study, f"{primary}-{what}-{scored}", title, text)


def _tuning_plot(scored: ScoredStudy) -> Iterator[Plot]:
    found = arms(scored)
    if not found or max(len(arm.values) for arm in found) < 2:
        return
    if not any(np.isfinite(arm.values).any() for arm in found[:LINES]):  # every arm lost most seeds
        return
    measure = MEASURES[primary_measure()].title
    figure, axis = new_plot()
    for place, arm in enumerate(found[:LINES]):
        mine = style(place)
        ks = np.arange(1, len(arm.values) + 1)
        low, middle, high = (np.array([best_of(arm.values, int(k), q) for k in ks]) for q in (LOW, 0.5, HIGH))
        _line(axis, ks, middle, replace(mine, marker=""), arm.label)
        known = np.isfinite(high)  # elsewhere the band has no upper end
        axis.fill_between(ks[known], low[known], high[known], color=mine.colour, alpha=0.15, linewidth=0)
    log_scale(axis, "x", whole=True)
    log_scale(axis, "y")
    name_parts(figure, "random settings tried", f"lowest {measure}")
    text = f"Lowest {measure} {scored} of so many random settings: median, and 10 % to 90 %."
    yield finish(figure, scored.study, f"tuning-{scored}", "Best of k random settings", text, "tuning")


def _factor_plots(scored: ScoredStudy) -> Iterator[Plot]:
    measure = MEASURES[primary_measure()].title
    order = [*FACTORS, AVERAGE_FACTOR, EPOCHS]
    for factor in sorted(factors_of(scored), key=lambda each: order.index(each.name)):
        name, rows = factor.title, [each for each in factor.primary if each.size]
        if not rows:
            continue
        of = f" The first {ROWS} of {len(rows)} comparisons." if len(rows) > ROWS else ""
        is_ratio = all(each.is_ratio for each in rows[:ROWS])
        drawn = [each for each in rows[:ROWS] if is_ratio or not each.is_ratio]
        shown = list(_directed(drawn, turned=factor.name != EPOCHS))
        against = [levels for _, levels, _ in shown]
        alike = len(set(against)) == 1  # then the axis names the levels, and row labels stay short
        sides = [recipe if alike else f"{recipe}: {levels}" for recipe, levels, _ in shown]
        sides = ["\n".join(textwrap.wrap(side, WRAP)) for side in sides]
        figure, axis = new_plot(0.9 + 0.12 * len(sides) + 0.2 * sum(side.count("\n") + 1 for side in sides))
        places = np.arange(len(shown))[::-1]
        for place, (_, _, size) in zip(places, shown, strict=True):
            if size.low is not None and size.high is not None:
                axis.plot([size.low, size.high], [place, place], color=ACCENT, linewidth=2)
            axis.plot([size.estimate], [place], marker="x" if size.low is None else "o", color=ACCENT, markersize=5)
        axis.axvline(1 if is_ratio else 0, color=INK, linewidth=0.8)
        if is_ratio:
            _log_ratio(axis)
        axis.set_yticks(places, sides)
        axis.set_ylim(-0.6, len(shown) - 0.4)
        what, middle = ("ratio of", 1) if is_ratio else ("difference in", 0)
        which = against[0] if alike else "the first against the second"
        figure.supxlabel(f"{what} {measure} (left of {middle}: better)\n{which}", fontsize=9)
        text = (
            f"Paired {measure} by {name}, {scored}: {what} {measure}, with 95 % intervals over seeds; a cross has "
            f"fewer than three seeds.{of}"
        )
        yield finish(figure, scored.study, f"factor-{name}-{scored}", f"Effect of {name} on {measure}", text, "factors")


def _directed(comparisons: Sequence[Judged], *, turned: bool) -> Iterator[tuple[str, str, Interval]]:
    """Yield recipe, levels and size in the direction of the answer's sentence, the same for each factor.

    Args:
        comparisons: Of the second level with the first: each has a ratio, or each a difference.
        turned: Whether the level that is ahead comes first; of epochs, the later does.
    """
    by_levels: dict[tuple[str, str], list[Judged]] = {}
    for each in comparisons:
        by_levels.setdefault((each.first_level, each.second_level), []).append(each)
    for (first, second), group in by_levels.items():
        turn = turned and leading_level(group) == first
        levels = f"{first} against {second}" if turn else f"{second} against {first}"
        for each in group:
            if each.size:
                yield each.recipe, levels, _turned(each.size, ratio=each.is_ratio) if turn else each.size


def _turned(size: Interval, *, ratio: bool) -> Interval:
    """Return a ratio or difference of two levels in the opposite direction."""
    known = [value for value in (size.estimate, size.high, size.low) if value is not None]
    estimate, *ends = [1 / value if ratio else -value for value in known]
    low, high = ends or (None, None)
    return Interval(estimate, low, high, size.n)


def _log_ratio(axis: Axes) -> None:
    """Make a logarithmic axis of ratios with plain numbers as ticks."""
    from matplotlib.ticker import NullLocator

    axis.set_xscale("log")
    low, high = axis.get_xlim()
    low, high = min(low, 0.8), max(high, 1.25)
    coarse = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
    ticks = [t for t in (coarse if high > 4 * low else (0.25, 0.5, 0.8, 1, 1.25, 2, 4)) if low <= t <= high]
    axis.set_xlim(low, high)
    axis.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axis.xaxis.set_minor_locator(NullLocator())


def _cost_plot(scored: ScoredStudy) -> Iterator[Plot]:
    primary = primary_measure()
    measure = MEASURES[primary].title
    found = standings(scored)
    labels = [each.label for each in found.ranked[:LINES]]
    if not labels:
        return
    known = styles(scored.study)
    figure, axis = new_plot()
    for each in found.rows:
        if each.label not in labels:
            continue
        style, score, seconds = known[each.label], each.mean(primary), median_of(each.setting.done["train_seconds"])
        if score is None or seconds is None:
            continue
        mean, low, high = score.estimate, score.low, score.high
        reach = None  # bounds in others' records may not enclose the mean: negative lengths become 0
        if low is not None and high is not None:
            reach = [[max(mean - low, 0.0)], [max(high - mean, 0.0)]]
        axis.errorbar(
            [seconds],
            [mean],
            yerr=reach,
            color=style.colour,
            marker=style.marker,
            markersize=6,
            capsize=3,
            linestyle="none",
            label=each.label,
        )
    if axis.get_ylim()[0] < 0:
        axis.set_ylim(bottom=0)  # an interval may reach below, a distance does not
    name_parts(figure, "seconds of training", f"{measure} at the end (lower is better)")
    text = f"Final {measure} against training time, {scored}; seconds are medians, bars 95 % intervals over seeds"
    text += f"{scored.study.of_two}."
    text = f"{text} {_which_settings(scored.study, labels)}"
    yield finish(figure, scored.study, f"{primary}-cost-{scored}", f"{measure} against cost", text, "cost")
