"""Options shared by several commands, and the values of some."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from gan_bench.core.errors import UserError
from gan_bench.core.text import as_typed, is_utf8
from gan_bench.run_options import EXPERT, Option, RunOptions, declared

TablesChoice = Literal["ranking", "all"]
FormatChoice = Literal["text", "json", "markdown"]
ExportKind = Literal["parquet", "tensorboard", "wandb"]
NewKind = Literal["architecture", "loss", "dataset", "measure", "extractor", "suite"]
Kind = Literal["suites", "recipes", "datasets", "architectures", "losses", "extractors", "measures"]

Results = Annotated[Path, typer.Option("--results", help="Folder for records.")]
Data = Annotated[
    Path | None, typer.Option("--data", help="Folder of the datasets \\[default: $GAN_BENCH_DATA, else data].")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
Tables = Annotated[TablesChoice, typer.Option("--tables", help="Which tables are printed; the files hold all.")]

AllowPlugins = Annotated[
    bool, typer.Option("--allow-plugins", help="Run the Python files that a suite names under plugins.")
]
AllowArchitecture = Annotated[
    bool, typer.Option("--allow-plugins", help="Run the Python file that the generator's architecture is of.")
]


def _checked_uri(context: typer.Context, parameter: typer.CallbackParam, value: str | None) -> str | None:
    """Refuse a location without a scheme or in memory, or a password that the environment does not hold."""
    from gan_bench.tracking.server import check_no_password, refuse_memory

    source = context.get_parameter_source(str(parameter.name))
    if value and not is_utf8(value):
        raise UserError("--tracking-uri has bytes that are not UTF-8, which MLflow cannot take; name another place")
    if value and source is not None and source.name == "COMMANDLINE":
        check_no_password(value)
    if value and re.fullmatch(r"[\w.-]+:\d+(/.*)?", value.strip()):
        raise UserError(f"--tracking-uri {as_typed(value)} lacks its scheme; write http://{as_typed(value)}")
    refuse_memory(value or "")
    return (value or "").strip() or None


TrackingUri = Annotated[
    str | None,
    typer.Option(
        "--tracking-uri",
        envvar="MLFLOW_TRACKING_URI",
        callback=_checked_uri,
        help="MLflow \\[default: SQLite beside the results].",
        rich_help_panel="MLflow",
    ),
]
ExperimentPrefix = Annotated[
    str,
    typer.Option(
        "--experiment-prefix", envvar="GAN_BENCH_EXPERIMENT_PREFIX", help="Put before the names of MLflow experiments."
    ),
]


def with_run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Replace ``**asked`` of a command by a flag for every run option of the command line."""
    own = inspect.signature(command, eval_str=True).parameters.values()
    flags = [
        (option.panel, _flag(name, option, _shown(kind, option)))
        for name, (kind, option) in declared().items()
        if option.shell
    ]
    common = [flag for panel, flag in flags if panel != EXPERT]
    rare = [flag for panel, flag in flags if panel == EXPERT]
    kept = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own if each.kind is not each.VAR_KEYWORD]
    command.__signature__ = inspect.Signature([*kept[:1], *common, *kept[1:], *rare])  # type: ignore[attr-defined]
    command.__annotations__ = {}
    return command


def _flag(name: str, option: Option, shown: Any) -> inspect.Parameter:  # noqa: ANN401 - types
    flag = typer.Option(
        option.flag or f"--{name.replace('_', '-')}",
        help=_help(option),
        min=option.least,
        envvar=option.variable,
        rich_help_panel=option.panel,
    )
    default = _default(name, shown)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[shown, flag])


def _default(name: str, shown: Any) -> Any:  # noqa: ANN401 - of any option
    default = next(each.default for each in fields(RunOptions) if each.name == name)
    if shown is Path:
        return Path(str(default))
    return None if default is MISSING or default == () else default


def _help(option: Option) -> str:
    return option.help if option.otherwise is None else f"{option.help[:-1]} \\[default: {option.otherwise}]."


def _shown(kind: Any, option: Option) -> Any:  # noqa: ANN401 - types
    """Return the command-line type of an option."""
    if get_origin(kind) is Literal or kind in (bool, str, float):
        return kind
    if option.parsed:
        return str | None
    if kind == str | Path:
        return Path
    if kind == str | Path | None:
        return Path | None
    return kind if int in get_args(kind) or float in get_args(kind) or kind == str | None else list[str] | None
