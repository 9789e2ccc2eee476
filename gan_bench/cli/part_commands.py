"""Commands about suites, parts and data. They load what they need."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from gan_bench.cli.options import AllowPlugins, Data, Device, Kind, NewKind
from gan_bench.config.image_folder import data_root
from gan_bench.core.text import as_argument, clip, plural
from gan_bench.terminal.console import console

if TYPE_CHECKING:
    from gan_bench.config.image_folder import DataRoot

SHORTEST = 20
"""Fewest columns for the text of a list line."""


def list_(
    kind: Annotated[
        Kind | None,
        typer.Argument(
            metavar="KIND", show_choices=False, help=f"What to list: {', '.join(get_args(Kind))}; all when left out."
        ),
    ] = None,
) -> None:
    """List suites, recipes, datasets, architectures, losses, extractors and measures, a line each; show says more."""
    from gan_bench.cli.describe import FAULTS, listing

    out = console()
    for each in [kind] if kind else get_args(Kind):
        out.say(each, style="bold")
        for name, text in listing(each):
            head = f"  {name:<18} "
            is_cut = out.has_width and not text.startswith(FAULTS)
            out.say(head + (clip(text, max(out.width - len(head), SHORTEST)) if is_cut else text))


def show(
    name: Annotated[
        str, typer.Argument(help="Name of a suite, recipe, dataset, architecture, loss, extractor or measure.")
    ],
    allow_plugins: AllowPlugins = False,
) -> None:
    """Describe one thing: a recipe with the provenance of its values, a suite with its trials, and so on."""
    from gan_bench.cli.describe import describe, print_description

    print_description(describe(name, allow_plugins=allow_plugins), console())


def new(
    kind: Annotated[
        NewKind, typer.Argument(metavar="KIND", show_choices=False, help=f"What it is: {', '.join(get_args(NewKind))}.")
    ],
    name: Annotated[str, typer.Argument(help="What it will be called, such as wide-hinge; a measure takes _ for -.")],
    out: Annotated[Path, typer.Option(help="Folder it goes to.")] = Path(),
) -> None:
    """Write a file to begin a part or a suite of your own with; it passes check and runs as it is."""
    from gan_bench.cli.new import write_part

    lines, written = console(), write_part(kind, name, out)
    if (made := written[-1].stem) != name:
        lines.say(f'the {kind} is called "{made}": names of its kind are columns of tables, and have no hyphen')
    for path in written:
        lines.say(f"{path}: written")
    allow = [] if kind == "suite" else ["--allow-plugins"]
    if kind != "suite":
        lines.say(f"check it with `{shlex.join(['gan-bench', 'check', as_argument(written[0])])}`")
    lines.say(f"train with it: `{shlex.join(['gan-bench', 'run', as_argument(written[-1]), *allow])}`")


def check(
    target: Annotated[str, typer.Argument(help="A suite, an installed package, or a Python file, which is run.")],
    data: Data = None,
    allow_plugins: AllowPlugins = False,
) -> None:
    """Check a suite, or parts against the contract of their kinds; exit code 1 when one breaks it."""
    from gan_bench.config.suite import suite_of_name
    from gan_bench.contract.check import check_part, parts_of

    if target.endswith((".yaml", ".yml")) or suite_of_name(target):
        _check_suite(target, data_root(data), allow_plugins=allow_plugins)
        return
    root, broken, count, out = data_root(data), 0, 0, console()
    for kind, name in parts_of(target):
        for each in check_part(kind, name, root):
            count += 1
            broken += each.fault is not None
            if each.fault or each.skipped:
                word, style = ("broken", "red") if each.fault else ("not checked", "yellow")
                out.say(f"{word:<11} {each.part}: {each.what}: {each.fault or each.skipped}", style=style)
            else:
                out.say(f"{'ok':<11} {each.part}: {each.what}")
    out.say(f"{plural(count, 'check')}: " + (f"{broken} broken" if broken else "every part keeps its contract"))
    raise typer.Exit(min(broken, 1))


def _check_suite(suite: str, root: DataRoot, *, allow_plugins: bool) -> None:
    """Check what a run would before it reads images; without its plug-ins, names of parts cannot be looked up.

    Raises:
        UserError: The suite cannot run.
    """
    from gan_bench.config.cuts import PlanOptions
    from gan_bench.config.suite import find_suite, make_plan
    from gan_bench.execution.preflight.checks import check_fit, check_names, check_sources
    from gan_bench.execution.trial.context import RunContext
    from gan_bench.execution.trial.environment import choose_device

    options = PlanOptions(profile="full", allow_plugins=allow_plugins)
    plan, out = make_plan(find_suite(suite), options, may_skip_plugins=True), console()
    check_sources(plan)
    is_whole = allow_plugins or not plan.files
    if is_whole:
        own = {folder.name: folder.transform for folder in plan.folders}
        check_names(plan)
        check_fit(plan.trials, RunContext(root, choose_device("cpu"), lambda: False), own)
    settings = len({trial.setting for trial in plan.trials})
    out.say(f"ok: {plural(len(plan.trials), 'trial')} of {plural(settings, 'setting')}")
    if not is_whole:
        files = ", ".join(file.name for file in plan.files)
        said = f"not checked: whether parts exist and fit, as plug-ins did not run ({files}); --allow-plugins runs them"
        out.say(said, style="yellow")


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
    from gan_bench.data.datasets import DATASETS, source_of, verify

    entry, root = DATASETS[dataset], data_root(data)
    for split in entry.counts:
        count = verify(entry, root.path, split)
        place = source_of(entry, root.path)
        where = f" in {place}" if place else ""
        console().say(f"{dataset} {split}: {count} images, complete{where}")


@data_app.command("info")
def data_info(dataset: str, data: Data = None) -> None:
    """Describe a dataset, and which of its files are present."""
    from gan_bench.cli.describe import describe, present, print_description

    print_description(describe(dataset, "datasets"), console())
    for line in present(dataset, data_root(data)):
        console().say(line)


@data_app.command("stats")
def data_stats(
    dataset: Annotated[str, typer.Argument(help="Dataset, with or without :split.")],
    out: Annotated[Path, typer.Option(help="The .npz to write.")],
    extractor: Annotated[str, typer.Option(help="Whose features.")],
    data: Data = None,
    device: Device = "auto",
) -> None:
    """Write the moments of a dataset's features as an .npz with mu and sigma."""
    from gan_bench import scoring
    from gan_bench.execution.trial.environment import choose_device, fix_bits
    from gan_bench.records.outputs import is_standard_stream

    where = choose_device(device)
    fix_bits(where)
    count = scoring.export(dataset, extractor, data_root(data), where, out)
    console(stderr=is_standard_stream(out)).say(f"{out}: moments of {count} images")
