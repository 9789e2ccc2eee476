"""The command line. Heavy libraries load where they are used, so that help and reports are quick."""

from __future__ import annotations

import os
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from gan_bench.cli.data_commands import data_app
from gan_bench.cli.options import (
    AllowArchitecture,
    Data,
    ExperimentPrefix,
    ExportKind,
    FormatChoice,
    Kind,
    NewKind,
    Results,
    Tables,
    TablesChoice,
    TrackingUri,
    seeds_of,
    with_run_options,
)
from gan_bench.config.data_root import data_root
from gan_bench.core.cache import ensure_home
from gan_bench.core.errors import UserError
from gan_bench.core.preparing import told_to
from gan_bench.core.text import at_home, plural, seconds_of
from gan_bench.core.version import __version__
from gan_bench.run_options import RunOptions
from gan_bench.terminal.console import PreparationLines, console, table_console, write_any_text

UsageError = cast("type[Exception]", typer.BadParameter.__base__)
"""What is raised for a command line that cannot be read: click's class, or typer's own in newer versions."""

app = typer.Typer(
    name="gan-bench",
    help="Train the GANs of five tutorials, measure them, and say which settings are really better.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data_app, name="data")

_EXAMPLES = "\n\n".join(
    [
        "Examples:",
        "gan-bench run quickstart: a first answer on small digits, in two minutes",
        "gan-bench run mnist --only dcgan --seeds 0-4 --dry-run: what would be trained, and how long it takes",
        "gan-bench run digits --until decided --budget 2h: seeds for what is still open, look by look",
        "gan-bench run mnist --set lr=1e-4,3e-4 --set loss=hinge: other values in every trial, swept where several",
    ]
)


def _show_version(asked: bool) -> None:
    if asked:
        console().say(f"gan_bench {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


@app.command(epilog=_EXAMPLES)
@with_run_options
def run(
    suite: Annotated[str, typer.Argument(help="A name in benchmarks/ or a path to a YAML file.")],
    tracking_uri: TrackingUri = None,
    no_tracking: Annotated[
        bool, typer.Option("--no-tracking", help="Leave MLflow out.", rich_help_panel="MLflow")
    ] = False,
    tables: Tables = TablesChoice.RANKING,
    **asked: Any,  # noqa: ANN401 - the fields of RunOptions
) -> None:
    """Train and score the trials of a suite; finished ones are skipped, interrupted ones are resumed."""
    from gan_bench.config.changes import parse_changes
    from gan_bench.config.suite import find_suite

    find_suite(suite)  # an unknown name is reported before torch is loaded
    from gan_bench.terminal.run_suite import run_suite

    asked["seeds"] = seeds_of(asked["seeds"])
    asked["changes"] = parse_changes(asked["changes"] or ())
    asked["extractors"] = tuple(asked["extractors"] or ())
    options = RunOptions(suite, tracking=False if no_tracking else tracking_uri or True, **asked)
    raise typer.Exit(run_suite(options, console(), all_tables=tables is TablesChoice.ALL))


@app.command(name="try")
def try_(
    images: Annotated[Path, typer.Argument(help="Folder or zip file of images.")],
    out: Annotated[Path | None, typer.Option(help="The suite to write \\[default: NAME.yaml here].")] = None,
    results: Results = Path("results"),
    look: Annotated[bool, typer.Option("--look", help="Look and propose; train nothing.")] = False,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open the page in the browser.")] = False,
    no_tracking: Annotated[bool, typer.Option("--no-tracking", help="Leave MLflow out.")] = False,
) -> None:
    """From a folder of images to a first answer: look at it, propose a suite with reasons, train a little, show."""
    from gan_bench.cli.try_folder import open_page, try_folder

    lines = console()
    suite, _ = try_folder(images, out, lines)
    if look:
        lines.say(f"train with it: `{shlex.join(['gan-bench', 'run', str(suite)])}`")
        return
    from gan_bench.terminal.run_suite import run_suite

    options = RunOptions(str(suite), results=results, profile="quick", tracking=not no_tracking)
    code = run_suite(options, lines)
    whole = replace(options, profile="full").command()
    lines.say(f"the whole of it: `{whole}`, best on a GPU; the suite is yours to change")
    if not no_open:
        open_page(results / "report" / "report.html")
    raise typer.Exit(code)


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="Results folder of earlier runs.")],
    out: Annotated[Path | None, typer.Option(help="Where the report goes \\[default: RESULTS/report].")] = None,
    no_html: Annotated[bool, typer.Option("--no-html", help="Tables only.")] = False,
    tables: Tables = TablesChoice.RANKING,
    columns: Annotated[
        str | None, typer.Option(help="Columns of LaTeX rankings, with commas, such as recipe,lr,beta1,fid.")
    ] = None,
) -> None:
    """Make the comparison tables, plots and the page from records."""
    from gan_bench.report.build import build_report
    from gan_bench.terminal.tables import print_answers, print_tables

    chosen = [name.strip() for name in columns.split(",")] if columns else None
    made, lines = build_report(results, out, html=not no_html, columns=chosen), console()
    print_tables(made, table_console(lines), everything=tables is TablesChoice.ALL)
    print_answers(made, lines)


@app.command()
def compare(
    old: Annotated[Path, typer.Argument(help="Results folder to compare with.")],
    new: Annotated[Path, typer.Argument(help="Results folder that may be worse.")],
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Change of FID that passes where seeds are too few \\[default: by the spread, at least 0.2].",
        ),
    ] = None,
    match: Annotated[
        str,
        typer.Option(
            help="trials: the same suites again; settings: of whatever suite or machine, at an epoch that both were "
            "scored at; or fields in which settings must be equal, such as recipe,lr; auto: trials where there are any "
            "in common, else settings."
        ),
    ] = "auto",
    margin: Annotated[
        float, typer.Option(min=0.001, max=10, help="Of settings: relative difference that counts as none.")
    ] = 0.1,
    form: Annotated[FormatChoice, typer.Option("--format", help="How the comparison is written.")] = FormatChoice.TEXT,
    out: Annotated[Path | None, typer.Option(help="File it is written to instead of the terminal.")] = None,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep",
            help="Keep it in NEW/report/compared too: `gan-bench sync` shows it in MLflow, linked to OLD.",
        ),
    ] = False,
) -> None:
    """Compare two results folders; exit code 1 when something got worse, 3 when something cannot be judged."""
    from gan_bench.cli.comparison import keep_beside, write_comparison
    from gan_bench.report.compare.comparison import compare as compare_folders

    found = compare_folders(old, new, tolerance, match, margin)
    write_comparison(found, form, out)
    if keep:
        keep_beside(found, old, new)
    raise typer.Exit(found.exit_code)


@app.command()
def card(
    setting: Annotated[
        str, typer.Argument(help="A setting's name, a part of it, or best, which stands for the best one.")
    ],
    results: Results = Path("results"),
    out: Annotated[Path | None, typer.Option(help="Folder it goes to \\[default: SETTING-card here].")] = None,
    license_name: Annotated[
        str | None, typer.Option("--license", help="Licence of the generator, for the metadata: mit, cc-by-4.0, ….")
    ] = None,
    push: Annotated[
        str | None, typer.Option(metavar="OWNER/NAME", help="Upload it to this repository of a model hub.")
    ] = None,
) -> None:
    """Write a setting's card for a model hub or a paper: scores with protocol, samples, generator, loading code."""
    from gan_bench.records.layout import WEIGHTS
    from gan_bench.report.card.card import CARD, CODE, EARLIER, missing_code, push_card, write_card

    folder = write_card(results, setting, out, license_name)
    has_generator = (folder / WEIGHTS).is_file()
    beside = (
        "its samples and its generator lie beside it" if has_generator else "these records hold no generator for it"
    )
    console().say(f"{folder / CARD}: the card; {beside}")
    if file := missing_code(folder):
        said = f"{file}, the code of its network, is gone or changed since: put what it was into {folder / CODE}"
        if (folder / EARLIER).is_dir():
            said += f"; {folder / EARLIER} keeps what lay there and is not that"
        console().say(said, style="yellow")
    if push is not None:
        console().say(f"uploaded to {push_card(folder, push)}")


@app.command()
def publish(
    results: Annotated[Path, typer.Argument(help="Results folder of finished runs.")],
    out: Annotated[Path, typer.Option(help="Folder of the publication; what it holds of these suites is replaced.")],
    generator: Annotated[
        list[str] | None,
        typer.Option(help="Trials whose generators go along: a glob or a part of a name; may be repeated."),
    ] = None,
) -> None:
    """Copy records for others to read, without checkpoints, most weights and most samples; reports stay the same."""
    from gan_bench.publishing import publish as publish_records

    for made in publish_records(results, out, generator or ()):
        left = f"; {made.unfinished} unfinished left out" if made.unfinished else ""
        console().say(
            f"{made.folder}: {plural(made.trials, 'trial')}, {plural(made.generators, 'generator')}, "
            f"{made.size / 1e6:.1f} MB{left}"
        )


@app.command()
def export(
    kind: Annotated[ExportKind, typer.Argument(help="What for.")],
    results: Annotated[Path, typer.Argument(help="Results folder.")] = Path("results"),
    out: Annotated[
        Path | None, typer.Option(help="Where it goes \\[default: RESULTS.parquet, or the folder RESULTS-KIND].")
    ] = None,
) -> None:
    """Write records as TensorBoard event files, Weights & Biases offline runs, or one tidy Parquet file."""
    from gan_bench.cli.export import export as export_records

    name = results.resolve().name
    place = out or Path(f"{name}.parquet" if kind is ExportKind.PARQUET else f"{name}-{kind.value}")
    lines = console()
    lines.say(export_records(kind.value, results, place, lambda trial: lines.say(f"  {trial}")))


@app.command(name="list")
def list_(kind: Annotated[Kind | None, typer.Argument(help="What to list; all kinds when left out.")] = None) -> None:
    """List suites, recipes, datasets, architectures, losses, extractors and measures."""
    from gan_bench.cli.describe import listing

    out = console()
    for each in [kind] if kind else list(Kind):
        out.say(each.value, style="bold")
        for name, text in listing(each.value):
            out.say(f"  {name:<18} {text}")


@app.command()
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


@app.command()
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


@app.command()
def check(
    target: Annotated[str, typer.Argument(help="An installed package, or a Python file, which is run.")],
    data: Data = None,
) -> None:
    """Check the parts of a package or a file against the contract of their kinds; exit code 1 when one breaks it."""
    from gan_bench.cli.checks import check_parts

    raise typer.Exit(0 if check_parts(target, data_root(data), console()) else 1)


@app.command()
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
    from gan_bench.cli.score import write_added, write_scores
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


@app.command()
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
    from gan_bench.cli.sample import write_samples
    from gan_bench.execution.trial.environment import choose_device

    where = str(choose_device(device))
    kinds = {"seed": seed, "images": images, "steps": interpolate}
    write_samples(trial, out, console(), **kinds, film=gif, average=ema, allow_plugins=allow_plugins, device=where)


@app.command()
def sync(
    results: Annotated[Path, typer.Argument(help="Results folder.")],
    tracking_uri: TrackingUri = None,
    experiment_prefix: ExperimentPrefix = "",
    register: Annotated[
        bool, typer.Option("--register", help="Register the generator of every decided best setting as a model.")
    ] = False,
) -> None:
    """Replay records into MLflow; safe to repeat. Exit code 1 when a record was unreadable or is not what was saved."""
    from gan_bench.cli.mlflow_commands import sync_results

    whole = sync_results(results, tracking_uri, experiment_prefix, console(), register=register)
    raise typer.Exit(0 if whole else 1)


@app.command()
def verify(
    results: Annotated[Path, typer.Argument(help="Results folder of earlier runs.")],
    rerun: Annotated[
        str | None, typer.Option(help="Train again the first steps of trials that match this glob.")
    ] = None,
    data: Data = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Name planned trials that have not begun.")] = False,
) -> None:
    """Check every record: digests, completeness, that history, scores and status agree."""
    from gan_bench.cli.checks import verify_records

    raise typer.Exit(0 if verify_records(results, rerun, data_root(data), console(), verbose=verbose) else 1)


@app.command()
def audit(
    results: Annotated[Path, typer.Argument(help="Results folder, or one suite's folder in it, that others made.")],
    levels: Annotated[
        str | None,
        typer.Option(
            help="With commas: consistent, rescored, begun, repeated, drawn-again \\[default: the first three, which "
            "train no whole trial; with --budget all]."
        ),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Time that it may cost, such as 30m; the most telling first.")
    ] = None,
    nonce: Annotated[
        str | None,
        typer.Option(help="Text that chooses trials and seeds, given after publication \\[default: a random one]."),
    ] = None,
    only: Annotated[str | None, typer.Option(help="Glob or part of the names of trials.")] = None,
    further: Annotated[int, typer.Option(min=1, max=100, help="Seeds of each setting that are drawn again.")] = 1,
    data: Data = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would do and cost.")] = False,
    allow_plugins: AllowArchitecture = False,
) -> None:
    """Train and score records of others again, level by level; exit code 1 when something does not follow."""
    from gan_bench.audit.plan import AuditOptions, plan_audit
    from gan_bench.cli.audit import draw_nonce, levels_of, say_plan, write_audit
    from gan_bench.execution.trial.environment import choose_device, fix_bits

    if nonce is not None and not nonce.strip():
        raise UserError("--nonce is empty; give a text that nobody knew before, or leave it out")
    where = choose_device(device)
    fix_bits(where)
    options = AuditOptions(
        results=results,
        data=data_root(data),
        device=where,
        nonce=draw_nonce() if nonce is None else nonce,
        levels=levels_of(levels),
        budget=seconds_of(budget, "--budget") if budget else None,
        only=only,
        further=further,
        allow_plugins=allow_plugins,
    )
    plan, lines = plan_audit(options), console()
    say_plan(plan, options, lines)
    if not dry_run:
        raise typer.Exit(0 if write_audit(plan, options, lines) else 1)


@app.command()
def board(
    folders: Annotated[list[Path], typer.Argument(help="Published results folders, or a folder of such.")],
    out: Annotated[Path, typer.Option(help="Folder of the site.")] = Path("board"),
) -> None:
    """Write a static site of published settings, side by side: groups, machines, costs, audits, cards."""
    from gan_bench.report.board.site import build_board

    made, lines = build_board(folders, out), console()
    for table in made.tables:
        lines.say(f"{table.table.title}: {plural(len(table.entries), 'setting')}")
        for text in table.said:
            lines.say(f"  {text}")
    for each in made.left:
        lines.say(f"left out: {each.folder}: {each.why}", style="yellow")
    lines.say(f"Board: {made.page}")
    raise typer.Exit(1 if made.left else 0)


@app.command()
def ui(
    results: Results = Path("results"),
    tracking_uri: TrackingUri = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on; the next free one is taken.")] = 5000,
    open_page: Annotated[bool, typer.Option("--open", help="Open the leaderboard in the browser.")] = False,
) -> None:
    """Serve the MLflow page of a results folder, and say where its views are."""
    from gan_bench.cli.mlflow_commands import serve

    serve(results, tracking_uri, host, port, console(), open_page=open_page)


@app.command()
def doctor(
    suite: Annotated[str | None, typer.Argument(help="A suite whose datasets must be there.")] = None,
    data: Data = None,
    results: Results = Path("results"),
) -> None:
    """Check this machine: versions, device, data, weights and space; exit code 1 when a run would fail."""
    from gan_bench.cli.checks import examine_machine

    raise typer.Exit(0 if examine_machine(suite, data_root(data), results, console()) else 1)


def _command_of(words: list[str]) -> str:
    """Return the command that a command line begins with."""
    group: Any = typer.main.get_command(app)
    named = ["gan-bench"]
    for word in words:
        group = getattr(group, "commands", {}).get(word)
        if group is None:
            break
        named.append(word)
    return " ".join(named)


def _say_usage(error: Exception, words: list[str]) -> None:
    """Say in a sentence what is wrong with a command line."""
    usage: Any = error  # the attributes are click's, whose class typer's own replaced
    text = " ".join(usage.format_message().rstrip(".").split())
    if type(error).__name__ == "NoArgsIsHelpError":  # no word at all: the help, which rich has printed by now
        typer.echo(usage.format_message(), nl=bool(text))
        return
    text = re.sub(
        r"^Invalid value for (\S+): (.)", lambda found: f"invalid value for {found[1]}: {found[2].lower()}", text
    )
    text = text[:1].lower() + text[1:]
    console(stderr=True).say(f"error: {text}; `{_command_of(words)} --help` lists what it takes", style="red")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors a user can act on are one sentence and exit code 2."""
    write_any_text()
    ensure_home()
    words = [at_home(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    try:
        with told_to(PreparationLines(console(stderr=True))):
            sys.exit(app(words, prog_name="gan-bench", standalone_mode=False))
    except UserError as error:
        console(stderr=True).say(f"error: {error}", style="red")
        sys.exit(2)
    except UsageError as error:
        _say_usage(error, words)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        where = f" {error.filename}" if error.filename else ""
        text = f"error: the file{where} cannot be used ({error.strerror or error}); check space, rights and the path"
        console(stderr=True).say(text, style="red")
        sys.exit(2)
