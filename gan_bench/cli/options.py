"""Options that several commands have, and the values some of them take."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gan_bench.core.errors import UserError


class ProfileChoice(StrEnum):
    """Values of ``--profile``."""

    AUTO = "auto"
    FULL = "full"
    QUICK = "quick"


class EngineChoice(StrEnum):
    """Values of ``--engine``."""

    AUTO = "auto"
    REFERENCE = "reference"
    FAST = "fast"


class ExecutorChoice(StrEnum):
    """Values of ``--executor``."""

    AUTO = "auto"
    INLINE = "inline"
    PROCESSES = "processes"
    RAY = "ray"


class TablesChoice(StrEnum):
    """Values of ``--tables``."""

    RANKING = "ranking"
    ALL = "all"


class FormatChoice(StrEnum):
    """Values of ``--format``."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


class MatchChoice(StrEnum):
    """Values of ``compare --match``."""

    TRIALS = "trials"
    SETTINGS = "settings"


class Kind(StrEnum):
    """What ``list`` can list."""

    SUITES = "suites"
    RECIPES = "recipes"
    DATASETS = "datasets"
    ARCHITECTURES = "architectures"
    LOSSES = "losses"
    EXTRACTORS = "extractors"
    MEASURES = "measures"


Results = Annotated[Path, typer.Option("--results", help="Folder for records.")]
Data = Annotated[
    Path | None, typer.Option("--data", help="Folder of the datasets \\[default: $GAN_BENCH_DATA, else data].")
]
Tables = Annotated[TablesChoice, typer.Option("--tables", help="Which tables are printed; the files hold all.")]

AllowArchitecture = Annotated[
    bool, typer.Option("--allow-plugins", help="Run the Python file that the generator's architecture is of.")
]
AllowPlugins = Annotated[
    bool, typer.Option("--allow-plugins", help="Run the Python files that the suite names under plugins.")
]


def _refuse_password(context: typer.Context, parameter: typer.CallbackParam, value: str | None) -> str | None:
    """Refuse a location with a password on the command line; the environment may hold one."""
    from gan_bench.tracking.uri import check_no_password

    source = context.get_parameter_source(str(parameter.name))
    if value and source is not None and source.name == "COMMANDLINE":
        check_no_password(value)
    return value


TrackingUri = Annotated[
    str | None,
    typer.Option(
        "--tracking-uri",
        envvar="MLFLOW_TRACKING_URI",
        callback=_refuse_password,
        help="MLflow \\[default: SQLite beside the results].",
    ),
]
ExperimentPrefix = Annotated[
    str,
    typer.Option(
        "--experiment-prefix", envvar="GAN_BENCH_EXPERIMENT_PREFIX", help="Put before the names of MLflow experiments."
    ),
]


def seeds_of(text: str | None) -> tuple[int, ...] | None:
    """Read ``--seeds``.

    Raises:
        UserError: It is no list of seeds.
    """
    if text is None:
        return None
    try:
        seeds = tuple(seed for part in text.split(",") for seed in _range(part))
    except ValueError:
        raise UserError(f'--seeds takes whole numbers and ranges, such as 0,1,2 or 0-4, not "{text}"') from None
    if any(not 0 <= seed < 2**31 for seed in seeds):
        raise UserError(f"--seeds must lie between 0 and {2**31 - 1}, got {text}")
    return tuple(dict.fromkeys(seeds))


MAX_SEEDS = 10_000
"""Most seeds of one range."""


def _range(part: str) -> range:
    """Read a whole number, or the first and the last of several.

    Raises:
        ValueError: It is neither.
    """
    first, dash, last = part.strip().partition("-")
    start = int(first)
    stop = int(last) if dash else start
    if not 0 <= stop - start < MAX_SEEDS:
        raise ValueError(part)
    return range(start, stop + 1)
