"""Commands about records: reports, comparisons, copies, checks, pages. What they need is loaded when they run."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated, get_args

import typer

from gan_bench.cli.options import (
    AllowArchitecture,
    Data,
    Device,
    ExperimentPrefix,
    ExportKind,
    FormatChoice,
    Results,
    Tables,
    TrackingUri,
)
from gan_bench.config.image_folder import data_root
from gan_bench.core.errors import UserError
from gan_bench.core.text import plural, seconds_of
from gan_bench.terminal.console import PlainConsole, console, table_console


def report(
    results: Annotated[Path, typer.Argument(help="Results folder of earlier runs.")],
    out: Annotated[Path | None, typer.Option(help="Where the report goes \\[default: RESULTS/report].")] = None,
    no_html: Annotated[bool, typer.Option("--no-html", help="Tables only.")] = False,
    tables: Tables = "ranking",
    columns: Annotated[
        str | None, typer.Option(help="Columns of LaTeX rankings, with commas, such as recipe,lr,median,kid.")
    ] = None,
) -> None:
    """Make the comparison tables, plots and the page from records."""
    from gan_bench.report.build import build_report
    from gan_bench.terminal.tables import print_answers, print_tables

    chosen = [name.strip() for name in columns.split(",")] if columns else None
    made, lines = build_report(results, out, html=not no_html, columns=chosen), console()
    print_tables(made, table_console(lines), everything=tables == "all")
    print_answers(made, lines)
    for message in made.lacking:
        lines.say(message, style="yellow")


def compare(
    old: Annotated[Path, typer.Argument(help="Results folder to compare with.")],
    new: Annotated[Path, typer.Argument(help="Results folder that may be worse.")],
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Change of FID that passes where seeds are too few \\[default: what their spread makes of chance in "
            "so many settings, at least 0.2].",
        ),
    ] = None,
    match: Annotated[
        str,
        typer.Option(
            help="trials: the same suites again; settings: of any suite or machine, at an epoch that both were "
            "scored at; or fields in which settings must be equal, such as recipe,lr; auto: trials where there are any "
            "in common, else settings."
        ),
    ] = "auto",
    margin: Annotated[
        float | None,
        typer.Option(min=0.001, max=1, help="Of settings: relative difference that counts as none \\[default: 0.1]."),
    ] = None,
    form: Annotated[FormatChoice, typer.Option("--format", help="How the comparison is written.")] = "text",
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
    is_of_settings = found.settings is not None
    for name, given, has_effect in (("margin", margin, is_of_settings), ("tolerance", tolerance, not is_of_settings)):
        if given is not None and not has_effect:
            what = "settings" if is_of_settings else "trials"
            console(stderr=True).say(f"--{name} has no effect where {what} are compared (--match)", style="yellow")
    write_comparison(found, form, out)
    if keep:
        keep_beside(found, old, new)
    raise typer.Exit(found.exit_code)


def card(
    setting: Annotated[
        str,
        typer.Argument(
            help="A setting's name, a part of it, values such as 'lr 1e-3', or best, which stands for the best one."
        ),
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
    from gan_bench.records.layout import AVERAGE_WEIGHTS, WEIGHTS
    from gan_bench.report.card.card import CARD, CODE, EARLIER, missing_code, push_card, write_card
    from gan_bench.report.card.text import SAMPLES

    folder = write_card(results, setting, out, license_name)
    parts = {SAMPLES: "its samples", WEIGHTS: "its generator", AVERAGE_WEIGHTS: "the moving average of its generator"}
    there = [what for name, what in parts.items() if (folder / name).is_file()]
    beside = f"; beside it {', '.join(there)}" if there else ""
    none = "" if (folder / WEIGHTS).is_file() else "; these records hold no generator for it"
    console().say(f"{folder / CARD}: the card{beside}{none}")
    if file := missing_code(folder):
        said = f"{file}, the code of its network, is gone or changed since: put what it was into {folder / CODE}"
        if (folder / EARLIER).is_dir():
            said += f"; {folder / EARLIER} keeps what lay there and is not that"
        console().say(said, style="yellow")
    if push is not None:
        console().say(f"uploaded to {push_card(folder, push)}")


def publish(
    results: Annotated[Path, typer.Argument(help="Results folder of finished runs.")],
    out: Annotated[Path, typer.Option(help="Folder of the publication; what it holds of these suites is replaced.")],
    generator: Annotated[
        list[str] | None,
        typer.Option(help="Trials whose generators go along: a glob, a part of a name or values; may be repeated."),
    ] = None,
) -> None:
    """Copy records for others to read, without checkpoints, most weights and most samples; reports stay the same."""
    from gan_bench.records.folders import folders_by_suite
    from gan_bench.records.publish import publish as publish_records

    for made in publish_records(results, out, generator or ()):
        left = f"; {made.unfinished} unfinished left out" if made.unfinished else ""
        console().say(
            f"{made.folder}: {plural(made.trials, 'trial')}, {plural(made.generators, 'generator')}, "
            f"{made.size / 1e6:.1f} MB{left}"
        )
        for place, files in made.telling.items():
            beside = f" and {plural(len(files) - 1, 'other file')} name" if len(files) > 1 else " names"
            console().say(f"  {files[0]}{beside} {place}", style="yellow")
        if made.telling:
            console().say("  read these before you share the publication", style="yellow")
    for suite, folders in folders_by_suite(results).items():
        for folder in folders.others:
            said = f"{folder} is of the suite {suite}, too, counts in no table beside {folders.read}"
            console().say(f"{said}, and stays behind; name it alone, with another --out, to publish it", style="yellow")


def export(
    kind: Annotated[
        ExportKind,
        typer.Argument(metavar="KIND", show_choices=False, help=f"What for: {', '.join(get_args(ExportKind))}."),
    ],
    results: Annotated[Path, typer.Argument(help="Results folder.")] = Path("results"),
    out: Annotated[
        Path | None, typer.Option(help="Where it goes \\[default: RESULTS.parquet, or the folder RESULTS-KIND].")
    ] = None,
) -> None:
    """Write records as TensorBoard event files, Weights & Biases offline runs, or one tidy Parquet file.

    Exit code 1 when a record was left out, as it is unreadable or not what was saved.
    """
    from gan_bench.cli.export import export as export_records
    from gan_bench.records.outputs import is_standard_stream

    name = results.resolve().name
    place = out or Path(f"{name}.parquet" if kind == "parquet" else f"{name}-{kind}")
    lines = console(stderr=is_standard_stream(place))
    said, unreadable = export_records(kind, results, place, lambda trial: lines.say(f"  {trial}"))
    for fault in unreadable:
        lines.say(f"left out: {fault}", style="red")
    lines.say(said)
    raise typer.Exit(1 if unreadable else 0)


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


def verify(
    results: Annotated[Path, typer.Argument(help="Results folder of earlier runs, one record, or a card.")],
    rerun: Annotated[
        str | None,
        typer.Option(help="Train first steps again, too, as audit --levels begun --only, which adds to audit.json."),
    ] = None,
    data: Data = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Name planned trials that have not begun.")] = False,
) -> None:
    """Check every record: digests, completeness, that history, scores and status agree."""
    from gan_bench.records.folders import existing
    from gan_bench.records.layout import TRIAL
    from gan_bench.records.verify import verify as verify_records

    out = console()
    bad = count = planned = withdrawn = partial = 0
    folder = results if (results / TRIAL).is_file() else existing(results)  # one record, or a card, is no such folder
    for check in verify_records(folder):
        bad += bool(check.faults)
        count += check.checked
        planned += check.planned and not check.withdrawn
        withdrawn += check.withdrawn
        partial += check.partial
        if check.planned and not verbose:
            continue
        for fault in check.faults:
            out.say(f"{check.name}: {fault}", style="red")
        for remark in check.remarks:
            out.say(f"{check.name}: {remark}", style="yellow")
    if not verbose:
        _count_not_begun(out, planned, "planned and not begun")
        _count_not_begun(out, withdrawn, "no longer planned and never began")
    if not count and not bad:
        raise UserError(f"{results} holds no trial records; name the results folder of an earlier run")
    whole = "what is there is as it was saved" if partial else "every record is whole"
    out.say(f"{count} checked: {f'{bad} invalid' if bad else whole}")
    if rerun:
        try:
            audit(results, levels="begun", only=rerun, data=data)
        except typer.Exit as end:
            bad += end.exit_code
    raise typer.Exit(min(bad, 1))


def _count_not_begun(out: PlainConsole, trials: int, how: str) -> None:
    if trials:
        are = "is" if trials == 1 else "are"
        out.say(f"{plural(trials, 'trial')} {are} {how} (--verbose names them)", style="yellow")


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
    only: Annotated[
        str | None, typer.Option(help="Glob or part of the names of trials, or values, such as 'lr 1e-3'.")
    ] = None,
    further: Annotated[int, typer.Option(min=1, max=100, help="Seeds of each setting that are drawn again.")] = 1,
    data: Data = None,
    device: Device = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would do and cost.")] = False,
    allow_plugins: AllowArchitecture = False,
) -> None:
    """Train and score records of others again, level by level; exit code 1 when something does not follow."""
    from gan_bench.audit.plan import AuditOptions, plan_audit
    from gan_bench.cli.audit import levels_of, run_audit, say_plan
    from gan_bench.execution.trial.environment import choose_device, fix_bits

    where = choose_device(device)
    fix_bits(where)
    options = AuditOptions(
        results=results,
        data=data_root(data),
        device=where,
        nonce=secrets.token_hex(8) if nonce is None else nonce,
        levels=levels_of(levels),
        budget=seconds_of(budget, "--budget") if budget else None,
        only=only,
        further=further,
        allow_plugins=allow_plugins,
    )
    plan, lines = plan_audit(options), console()
    say_plan(plan, options, lines)
    if not dry_run:
        raise typer.Exit(0 if run_audit(plan, options, lines) else 1)


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
