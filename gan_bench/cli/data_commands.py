"""``gan-bench data``: fetch, check and describe datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gan_bench.cli.options import Data
from gan_bench.config.data_root import data_root
from gan_bench.terminal.console import console

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
