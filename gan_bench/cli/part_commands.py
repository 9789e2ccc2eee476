"""Commands about parts, data, the machine, and images from anywhere or of a generator. They load what they need."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from gan_bench.cli.options import (
    AllowArchitecture,
    Data,
    Kind,
    NewKind,
    Results,
)
from gan_bench.config.images import data_root
from gan_bench.core.errors import UserError
from gan_bench.terminal.console import console


def list_(kind: Annotated[Kind | None, typer.Argument(help="What to list; all kinds when left out.")] = None) -> None:
    """List suites, recipes, datasets, architectures, losses, extractors and measures."""
    from gan_bench.cli.describe import listing

    out = console()
    for each in [kind] if kind else list(Kind):
        out.say(each.value, style="bold")
        for name, text in listing(each.value):
            out.say(f"  {name:<18} {text}")


def show(
    name: Annotated[
        str, typer.Argument(help="Name of a suite, recipe, dataset, architecture, loss, extractor or measure.")
    ],
    allow_plugins: Annotated[
        bool, typer.Option("--allow-plugins", hidden=True, help="Not needed any more: no plug-in runs.")
    ] = False,
) -> None:
    """Describe one thing: a recipe with the provenance of its values, a suite with its trials, and so on."""
    from gan_bench.cli.describe import describe

    console().print(describe(name), highlight=False)


def new(
    kind: Annotated[NewKind, typer.Argument(help="What it is.")],
    name: Annotated[str, typer.Argument(help="What it will be called, such as wide-hinge.")],
    out: Annotated[Path, typer.Option(help="Folder it goes to.")] = Path(),
) -> None:
    """Write a file to begin a part or a suite of your own with; it passes check and runs as it is."""
    from gan_bench.cli.new import write_new

    lines, written = console(), write_new(kind.value, name, out)
    for path in written:
        lines.say(f"{path}: written")
    allow = [] if kind is NewKind.SUITE else ["--allow-plugins"]
    if kind is not NewKind.SUITE:
        lines.say(f"check it with `{shlex.join(['gan-bench', 'check', str(written[0])])}`")
    lines.say(f"train with it: `{shlex.join(['gan-bench', 'run', str(written[-1]), *allow])}`")


def check(
    target: Annotated[str, typer.Argument(help="An installed package, or a Python file, which is run.")],
    data: Data = None,
) -> None:
    """Check the parts of a package or a file against the contract of their kinds; exit code 1 when one breaks it."""
    from gan_bench.cli.checks import check_parts

    raise typer.Exit(0 if check_parts(target, data_root(data), console()) else 1)


def score(
    generated: Annotated[
        str,
        typer.Argument(help="Folder or zip of images, or a generator.safetensors; with --add a results folder."),
    ],
    reference: Annotated[
        str | None, typer.Argument(help="Dataset[:split], folder or zip of images, or .npz (mu, sigma).")
    ] = None,
    add: Annotated[
        list[str] | None,
        typer.Option(
            help="Add this measure, or all scores under this extractor, to what finished trials have; may be repeated."
        ),
    ] = None,
    extractor: Annotated[list[str] | None, typer.Option(help="Score with this extractor; may be repeated.")] = None,
    samples: Annotated[int, typer.Option(min=2, help="Images to draw from a generator.")] = 10_000,
    size: Annotated[
        int | None, typer.Option(min=8, max=1024, help="Scale and crop the images of files to this size, as run does.")
    ] = None,
    data: Data = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON per score.")] = False,
    allow_plugins: AllowArchitecture = False,
) -> None:
    """Score images that were made anywhere, with the scores of a benchmark run."""
    from gan_bench.cli.images import write_added, write_scores
    from gan_bench.execution.trial.environment import choose_device, fix_bits

    where = choose_device(device)
    fix_bits(where)
    if add:
        if reference is not None or extractor:
            raise UserError("with --add, name a results folder alone: each trial is scored as it was")
        whole = write_added(Path(generated), add, data_root(data), console(), where=where, allow_plugins=allow_plugins)
        raise typer.Exit(0 if whole else 1)
    if reference is None:
        raise UserError("name what the images are compared with: a dataset, a folder, a zip or an .npz")
    write_scores(
        generated,
        reference,
        extractor or [],
        data_root(data),
        console(),
        where=where,
        samples=samples,
        size=size,
        as_json=as_json,
        allow_plugins=allow_plugins,
    )


def sample(
    trial: Annotated[Path, typer.Argument(help="A record directory, or a generator.safetensors in one.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the images \\[default: TRIAL-samples here].")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the latent vectors.")] = 0,
    images: Annotated[int, typer.Option(min=0, max=1_000_000, help="Write so many single PNG files.")] = 0,
    interpolate: Annotated[
        int, typer.Option(min=0, max=1000, help="Write 8 latent interpolations of so many images each.")
    ] = 0,
    gif: Annotated[bool, typer.Option("--gif", help="Write the sample grids of all epochs as a GIF.")] = False,
    ema: Annotated[bool, typer.Option("--ema", help="Take the moving average of G.")] = False,
    allow_plugins: AllowArchitecture = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Draw from a trained generator: a grid, single images, a latent interpolation, a GIF over epochs."""
    from gan_bench.cli.images import write_samples
    from gan_bench.execution.trial.environment import choose_device

    where = str(choose_device(device))
    kinds = {"seed": seed, "images": images, "steps": interpolate}
    write_samples(trial, out, console(), **kinds, film=gif, average=ema, allow_plugins=allow_plugins, device=where)


def doctor(
    suite: Annotated[str | None, typer.Argument(help="A suite whose datasets must be there.")] = None,
    data: Data = None,
    results: Results = Path("results"),
) -> None:
    """Check this machine: versions, device, data, weights and space; exit code 1 when a run would fail."""
    from gan_bench.cli.checks import examine_machine

    raise typer.Exit(0 if examine_machine(suite, data_root(data), results, console()) else 1)


data_app = typer.Typer(help="Fetch, check and describe datasets.", no_args_is_help=True)


@data_app.command("fetch")
def data_fetch(dataset: str, to: Annotated[Path, typer.Option(help="Folder to fill.")] = Path("data")) -> None:
    """Download a dataset and check it."""
    from gan_bench.data.datasets import DATASETS, fetch

    entry = DATASETS[dataset]
    if entry.fetch is None:
        console().say(f"{dataset}: nothing to download")
        return
    fetch(entry, to)
    console().say(f"{dataset}: complete in {to}")


@data_app.command("verify")
def data_verify(dataset: str, data: Data = None) -> None:
    """Check that a dataset is complete (MNIST, CIFAR-10: against their digests), reading only."""
    from gan_bench.data.datasets import DATASETS, verify

    entry, root = DATASETS[dataset], data_root(data)
    for split in entry.counts:
        count = verify(entry, root.path, split)
        console().say(f"{dataset} {split}: {count} images, complete")


@data_app.command("info")
def data_info(dataset: str, data: Data = None) -> None:
    """Describe a dataset, and what is there of it."""
    from gan_bench.cli.describe import describe, present

    console().print(describe(dataset, "datasets"), highlight=False)
    for line in present(dataset, data_root(data)):
        console().say(line)


@data_app.command("stats")
def data_stats(
    dataset: Annotated[str, typer.Argument(help="Dataset, with or without :split.")],
    out: Annotated[Path, typer.Option(help="The .npz to write.")],
    extractor: Annotated[str, typer.Option(help="Whose features.")],
    data: Data = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Write the moments of a dataset's features as an .npz with mu and sigma."""
    from gan_bench import scoring
    from gan_bench.execution.trial.environment import choose_device, fix_bits

    where = choose_device(device)
    fix_bits(where)
    count = scoring.export(dataset, extractor, data_root(data), where, out)
    console().say(f"{out}: moments of {count} images")
