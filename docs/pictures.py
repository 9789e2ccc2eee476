"""Draw the pictures of the guides from our published records: ``python docs/pictures.py`` writes `images/`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

import gan_bench as gb

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "results" / "published" / "amd-epyc-2-cores" / "mnist-cpu"
CATS = ROOT / "results" / "published" / "nvidia-h200" / "articles"
CATS_CPU = ROOT / "results" / "published" / "amd-epyc-2-cores" / "cats-cpu"
STATISTICS = ROOT / "results" / "published" / "statistics"
IMAGES = Path(__file__).parent / "images"
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7F7F7F"
MIDDLE = "#8a929c"
"""A grey that is read on white and on dark ground."""
NINE, HALF = "mnist-dcgan,lr=0.0003", "mnist-dcgan,lr=0.0003,betas=0.5-0.999"
COLLAPSING = "mnist-mlp-z64,betas=0.5-0.999"
"""Settings of the suite mnist-cpu: one with A1's β₁, the one that won, and one whose seeds collapsed, three of five."""
STYLE = {
    "svg.hashsalt": "gan_bench",
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "savefig.transparent": True,
    "figure.constrained_layout.use": True,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor"), MIDDLE),
    **dict.fromkeys(("xtick.color", "ytick.color", "grid.color"), MIDDLE),
}


def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return epochs and FIDs of the records with the setting and seed of their trials."""
    found = gb.load(RECORDS)
    trials = found.trials.set_index("trial")
    names = trials["name"].str.replace(r"(,epochs=\d+)?,seed=\d+$", "", regex=True)
    epochs, scores = (
        frame.assign(setting=frame["trial"].map(names), seed=frame["trial"].map(trials["seed"]))
        for frame in (found.epochs, found.scores[found.scores["metric"] == "fid"])
    )
    return epochs, scores


def samples(records: Path, trial: str, epochs: Sequence[int]) -> list[Path]:
    """Return the stored grids of a trial's first seed, whose noise is the same at every epoch."""
    (folder,) = records.glob(f"{trial}seed=0--*")
    return [folder / "samples" / f"epoch-{epoch:04}.png" for epoch in epochs]


def lay(grids: Sequence[Path], side: int, mode: str) -> Image.Image:
    """Lay the first four by four images of grids beside each other, three grids in a row."""
    size, gap = 4 * (side + 2), 14
    rows = -(-len(grids) // 3)
    sheet = Image.new(mode, (3 * size + 2 * gap, rows * (size + gap) - gap), "white")
    for place, path in enumerate(grids):
        with Image.open(path) as grid:
            part = grid.convert(mode).crop((1, 1, size + 1, size + 1))
        sheet.paste(part, (place % 3 * (size + gap), place // 3 * (size + gap)))
    return sheet


def outputs(epochs: pd.DataFrame) -> Figure:
    """Draw D(real) and D(fake) over epochs: how early D wins at either β₁."""
    figure = Figure(figsize=(6.2, 2.8))
    axis = figure.subplots()
    for setting, colour, title in ((NINE, ORANGE, "β₁ 0.9"), (HALF, BLUE, "β₁ 0.5")):
        mine = epochs[epochs["setting"] == setting].groupby("epoch")
        axis.plot(mine["mean_d_real"].mean(), color=colour, label=f"D(real), {title}")
        axis.plot(mine["mean_d_fake"].mean(), color=colour, linestyle="--", label=f"D(fake), {title}")
    axis.set(xlabel="epoch", ylabel="mean probability", ylim=(0, 1))
    figure.legend(loc="outside right center")
    return figure


def fid_by_epoch(scores: pd.DataFrame) -> Figure:
    """Draw every seed's FID over epochs at either β₁."""
    figure = Figure(figsize=(6.2, 2.8))
    axis = figure.subplots()
    for setting, colour, title in ((NINE, ORANGE, "β₁ 0.9"), (HALF, BLUE, "β₁ 0.5")):
        mine = scores[(scores["setting"] == setting) & (scores["epoch"] > 0)]
        for number, (_, seed) in enumerate(mine.groupby("seed")):
            axis.plot(seed["epoch"], seed["value"], color=colour, marker="o", markersize=3, linewidth=1,
                      label=title if number == 0 else None)  # fmt: skip
    axis.set(xlabel="epoch", ylabel="FID", yscale="log", xticks=(1, 3, 10), yticks=(20, 50, 100, 200))
    axis.set_yticklabels(["20", "50", "100", "200"])
    axis.minorticks_off()
    figure.legend(loc="outside right center", title="a line a seed")
    return figure


def collapse(epochs: pd.DataFrame) -> Figure:
    """Draw D(fake) of five seeds of one setting, three of which collapse."""
    figure = Figure(figsize=(6.2, 2.8))
    axis = figure.subplots()
    mine = epochs[epochs["setting"] == COLLAPSING]
    for (seed, line), colour in zip(mine.groupby("seed"), (ORANGE, BLUE, "#E69F00", "#CC79A7", GREEN), strict=True):
        gone = line["mean_d_fake"].iloc[-1] < 0.01
        axis.plot(line["epoch"], line["mean_d_fake"], color=colour, linestyle="--" if gone else "-",
                  label=f"seed {seed}{': collapsed' if gone else ''}")  # fmt: skip
    axis.set(xlabel="epoch", ylabel="D(fake)", ylim=(0, None))
    figure.legend(loc="outside right center")
    return figure


def power() -> Figure:
    """Draw how many studies decide, over the effect, for looks and for fixed numbers of seeds."""
    found = pd.read_csv(STATISTICS / "looks-power.csv")
    found["effect"] = found["effect"].str.removesuffix(" sd").astype(float)
    figure = Figure(figsize=(7.2, 2.9))
    lines = (
        ("looks with the stop: decided", "5, 8, 12 seeds, look by look", BLUE, "-"),
        ("fixed 12: decided", "12 seeds for all", GREEN, "--"),
        ("fixed 5: decided", "5 seeds for all", ORANGE, "-."),
    )
    axes = figure.subplots(1, 2, sharey=True)
    for axis, tests, title in zip(axes, (1, 9), ("one test in the table", "nine tests"), strict=True):
        mine = found[found["tests"] == tests]
        for column, label, colour, dash in lines:
            axis.plot(mine["effect"], mine[column], color=colour, linestyle=dash, marker="o", markersize=3,
                      label=label if tests == 1 else None)  # fmt: skip
        axis.set(title=title, xlabel="mean difference in units of its spread", ylim=(0, 1.02))
        axis.title.set_fontsize(10)
    axes[0].set_ylabel("studies that decide")
    axes[0].yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def main() -> None:
    """Write the pictures."""
    epochs, scores = tables()
    digits = lay([grid for setting in (NINE, HALF) for grid in samples(RECORDS, f"{setting},", (1, 3, 10))], 28, "L")
    twice = digits.resize((2 * digits.width, 2 * digits.height), Image.Resampling.NEAREST)
    twice.save(IMAGES / "a1-by-epoch.png", optimize=True)
    for records, shown, name in ((CATS, (1, 10, 20, 25, 40, 60), "by-epoch"), (CATS_CPU, (1, 2, 3), "first-epochs")):
        lay(samples(records, "cats-dcgan*", shown), 64, "RGB").save(IMAGES / f"cats-{name}.webp", quality=80)
    drawn: dict[str, Callable[[], Figure]] = {
        "a1-outputs": lambda: outputs(epochs),
        "a1-fid": lambda: fid_by_epoch(scores),
        "collapse": lambda: collapse(epochs),
        "power": power,
    }
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        for name, draw in drawn.items():
            draw().savefig(IMAGES / f"{name}.svg", metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    main()
