"""The options of a run, declared once for the flags of ``gan-bench run`` and the arguments of ``gan_bench.run``."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import KW_ONLY, MISSING, dataclass, field, fields
from functools import cached_property
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin, get_type_hints

from gan_bench.config.design import FEWEST
from gan_bench.core.errors import UserError
from gan_bench.core.fields import as_python, checked_argument, short, whole_number
from gan_bench.core.text import as_argument, as_typed, at_home, seconds_of
from gan_bench.records.layout import SUITE

if TYPE_CHECKING:
    from gan_bench.config.cuts import PlanOptions


@dataclass(frozen=True)
class Option:
    """The flag of an option and its help.

    Attributes:
        help: What it does.
        flag: Its name on the command line, where it is not that of the field.
        parsed: Whether the command line takes one text, which code of its own parses.
        otherwise: What happens without it, where the default does not say it.
        variable: The environment variable that sets it on the command line.
        least: The least value.
        same_trials: Whether a command must have it to run the same trials again, into the same experiments.
        shell: Whether the command line has it at all; it may have others in its place.
        panel: Under which head of the help it stands.
        python: What it does as an argument, where that is not ``help``.
    """

    help: str
    flag: str | None = None
    parsed: bool = False
    otherwise: str | None = None
    variable: str | None = None
    least: float | None = None
    same_trials: bool = False
    shell: bool = True
    panel: str = "How it goes on"
    python: str = ""

    @property
    def explained(self) -> str:
        """Its help as an argument of ``gan_bench.run``, with the default."""
        text = self.python or self.help
        return text if self.otherwise is None else f"{text[:-1]}; by default {self.otherwise}."


_WHAT, _WHERE, _MLFLOW = "What is trained", "Where", "MLflow"
EXPERT = "For clusters and experts"
"""The last section of the help."""


@dataclass(frozen=True)
class RunOptions:
    """The options of ``gan_bench.run`` and of ``gan-bench run``.

    A new one is a line here: both have it, it is checked, and ``command`` repeats it where it must.

    Raises:
        UserError: A value is none of its choices, or no whole number where one is needed.
    """

    suite: str | Path | Mapping[str, object]
    _: KW_ONLY
    results: Annotated[str | Path, Option("Folder for records.", same_trials=True, panel=_WHERE)] = "results"
    data: Annotated[
        str | Path | None, Option("Folder of the datasets.", otherwise="$GAN_BENCH_DATA, else data", panel=_WHERE)
    ] = None
    device: Annotated[str, Option("auto, cpu, cuda or cuda:N.", same_trials=True, panel=_WHERE)] = "auto"
    engine: Annotated[
        Literal["auto", "reference", "fast"], Option("Training engine.", same_trials=True, panel=EXPERT)
    ] = "auto"
    profile: Annotated[
        Literal["auto", "full", "quick"],
        Option("auto is full on a GPU, quick on a CPU.", same_trials=True, panel=_WHAT),
    ] = "auto"
    epochs: Annotated[int | None, Option("Cap on the epochs.", least=1, same_trials=True, panel=_WHAT)] = None
    train_limit: Annotated[
        int | None, Option("Cap on the training images.", least=2, same_trials=True, panel=_WHAT)
    ] = None
    samples: Annotated[
        int | None, Option("Generated images per evaluation.", least=2, same_trials=True, panel=_WHAT)
    ] = None
    seeds: Annotated[
        Iterable[int] | None,
        Option(
            "Seeds, such as 0,1,2 or 0-4.",
            python="Seeds instead of the suite's.",
            parsed=True,
            same_trials=True,
            panel=_WHAT,
        ),
    ] = None
    until: Annotated[
        Literal["look", "decided"],
        Option(
            "decided goes on from look to look, with the next seeds for settings in an open question alone.",
            same_trials=True,
            panel=_WHAT,
        ),
    ] = "look"
    budget: Annotated[
        str | float | None,
        Option(
            "Time after which --until decided ends, such as 2h or 90min.",
            python='Time after which ``until="decided"`` ends: seconds, or text such as "2h".',
            parsed=True,
            panel=_WHAT,
        ),
    ] = None
    max_seeds: Annotated[
        int | None, Option("Seeds at which --until decided ends.", least=FEWEST, same_trials=True, panel=_WHAT)
    ] = None
    only: Annotated[
        str | None,
        Option(
            "Run only trials whose names match this glob or contain it, or that have values, such as 'lr 1e-3'.",
            same_trials=True,
            panel=_WHAT,
        ),
    ] = None
    changes: Annotated[
        Mapping[str, object],
        Option(
            "Set a value in every trial, such as lr=1e-4, or sweep some: lr=1e-4,3e-4; may be repeated.",
            flag="--set",
            python='Values set in every trial: {"lr": 1e-4, "loss": "hinge"}; a list is swept.',
            same_trials=True,
            panel=_WHAT,
        ),
    ] = field(default_factory=dict)
    precision: Annotated[
        Literal["auto", "default", "tf32", "bf16"],
        Option(
            "Number format in which a GPU multiplies; auto is the suite's. Such trials are kept as SUITE+set.",
            same_trials=True,
            panel=EXPERT,
        ),
    ] = "auto"
    extractors: Annotated[
        Iterable[str],
        Option(
            "Score with this extractor; may be repeated.",
            python="Names of extractors instead of the suite's.",
            flag="--extractor",
            same_trials=True,
            panel=_WHAT,
        ),
    ] = ()
    executor: Annotated[
        Literal["auto", "inline", "processes", "ray"],
        Option("Where trials run; auto is processes where several can run at a time.", same_trials=True, panel=_WHERE),
    ] = "auto"
    workers: Annotated[
        int | None, Option("Processes.", otherwise="one per core or GPU", least=1, same_trials=True, panel=_WHERE)
    ] = None
    ray_address: Annotated[
        str | None,
        Option("Ray's head.", otherwise="$RAY_ADDRESS, else one on this machine", same_trials=True, panel=EXPERT),
    ] = None
    gpus_per_trial: Annotated[
        float | None,
        Option(
            "GPU of a task on Ray, such as 0.25.",
            otherwise="1 where there are any",
            least=0,
            same_trials=True,
            panel=EXPERT,
        ),
    ] = None
    cpus_per_trial: Annotated[
        float, Option("CPU cores of a task on Ray, and its threads.", least=0.01, same_trials=True, panel=EXPERT)
    ] = 1.0
    group: Annotated[
        int | None,
        Option(
            "Trials that train together.", otherwise="what is fastest on a GPU", least=1, same_trials=True, panel=EXPERT
        ),
    ] = None
    time_limit: Annotated[float | None, Option("Seconds one trial may take.", least=1)] = None
    retry_failed: Annotated[bool, Option("Run failed trials again.")] = False
    fail_fast: Annotated[bool, Option("Skip the rest after a bad trial.")] = False
    tracking: Annotated[
        bool | str, Option("Whether MLflow is kept, in SQLite beside the results, or its tracking URI.", shell=False)
    ] = False
    experiment_prefix: Annotated[
        str,
        Option(
            "Put before the names of MLflow experiments.",
            variable="GAN_BENCH_EXPERIMENT_PREFIX",
            same_trials=True,
            panel=_MLFLOW,
        ),
    ] = ""
    join: Annotated[
        bool,
        Option(
            "Share the suite with other processes, such as those of a Slurm array: no report, no MLflow.", panel=EXPERT
        ),
    ] = False
    fresh: Annotated[
        bool, Option("Delete earlier records of these trials, each when its trial starts, and train them again.")
    ] = False
    allow_plugins: Annotated[
        bool, Option("Run the Python files that the suite names under plugins.", same_trials=True, panel=_WHAT)
    ] = False
    no_estimate: Annotated[
        bool,
        Option(
            "Start at once, without measuring how long it takes, nor on a GPU how many trials to train together.",
            variable="GAN_BENCH_NO_ESTIMATE",
        ),
    ] = False
    dry_run: Annotated[bool, Option("Print the plan and the expected time.")] = False
    quiet: Annotated[bool, Option("Print nothing.", shell=False)] = True

    def __post_init__(self) -> None:
        from gan_bench.config.changes import as_changes

        suite = self.suite if isinstance(self.suite, (str, Path, Mapping)) else ""
        if not (isinstance(suite, Mapping) or str(suite).strip()):
            raise UserError(f"suite must be a name, a path or a suite as a dict, not {short(self.suite)}")
        defaults = {each.name: {} if each.default is MISSING else each.default for each in fields(self)}
        for name, (kind, option) in declared().items():
            value = getattr(self, name)
            value = checked_argument(name, defaults[name] if value is None else value, kind, least=option.least)
            if isinstance(value, str) and not value.strip() and defaults[name] != "":  # as from an unset variable
                raise UserError(f"{name} is empty; leave it out where nothing is meant")
            object.__setattr__(self, name, value)
        if self.seeds is not None:
            object.__setattr__(self, "seeds", _seeds(self.seeds))
        self._check_together()
        object.__setattr__(self, "extractors", tuple(self.extractors))
        object.__setattr__(self, "changes", as_changes({n: _python_value(value) for n, value in self.changes.items()}))

    def _check_together(self) -> None:
        """Refuse options that exclude each other."""
        if self.until == "decided" and self.seeds is not None:
            raise UserError("--seeds and --until decided do not go together: looks say which seeds come next")
        if self.until == "decided" and self.fresh:
            raise UserError("--fresh and --until decided do not go together; choose another folder with --results")
        if self.join and self.fresh:
            raise UserError(
                "--join and --fresh do not go together: each process would train again what others finished"
            )
        if self.until != "decided" and (self.budget, self.max_seeds) != (None, None):
            raise UserError("--budget and --max-seeds need --until decided")
        if "precision" in self.changes and self.precision != "auto":
            raise UserError("--precision and --set precision do not go together: they set the same value")

    @cached_property
    def folder(self) -> Path:
        """The results folder.

        Raises:
            UserError: No file system has such a name.
        """
        path = Path(at_home(str(self.results)))
        try:
            if "\0" in str(path):
                raise ValueError("it has a character of number 0")
            with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                path.lstat()  # a run reports what is wrong with an existing path
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise UserError(f"results: {as_typed(str(path)[:80])} cannot be a folder ({why}); name another") from None
        return path

    @cached_property
    def plan(self) -> PlanOptions:
        """The plan's options: caps, seeds and a filter; its profile is chosen later.

        Raises:
            UserError: A number is outside its limits, or no field of a trial can be changed so.
        """
        from gan_bench.config.cuts import PlanOptions

        return PlanOptions(
            epochs=self.epochs,
            train_limit=self.train_limit,
            samples=self.samples,
            seeds=None if self.seeds is None else tuple(self.seeds),
            only=self.only,
            changes={**self.changes, **({} if self.precision == "auto" else {"precision": self.precision})},
            extractors=tuple(self.extractors) or None,
            allow_plugins=self.allow_plugins,
        )

    @cached_property
    def seconds(self) -> float | None:
        """The budget in seconds.

        Raises:
            UserError: It is no duration.
        """
        return None if self.budget is None else seconds_of(self.budget, "budget")

    @property
    def tracking_uri(self) -> str | None:
        """MLflow's location: empty for SQLite beside the results, None for no tracking."""
        if self.join or self.tracking is False:
            return None
        return "" if self.tracking is True else self.tracking

    def command(self) -> str:
        """Return the command that runs the same trials again into MLflow's same experiments.

        Where data and MLflow's server lie is left out: files that are shared hold it.
        """
        words = ["gan-bench", "run", self._suite_word()]
        defaults = {each.name: each.default for each in fields(self)}
        for name, (_, option) in declared().items():
            value = getattr(self, name)
            is_empty = value is None or value is False or (isinstance(value, Sized) and not len(value))
            has_none = name == "experiment_prefix" and self.tracking_uri is None
            if not option.same_trials or has_none or is_empty or str(value) == str(defaults[name]):
                continue
            flag = option.flag or f"--{name.replace('_', '-')}"
            words += [flag] if value is True else [word for text in _argument_texts(value) for word in (flag, text)]
        return shlex.join(words if self.tracking or self.join else [*words, "--no-tracking"])

    def _suite_word(self) -> str:
        """Return the suite's word on the command line; for a suite made by a program, the file that a run keeps."""
        if not isinstance(self.suite, Mapping):
            return as_argument(self.suite)
        from gan_bench.config.suite import results_name

        kept = results_name(str(self.suite.get("suite")), self.plan)
        return as_argument(self.folder / kept / SUITE)


def declared() -> dict[str, tuple[Any, Option]]:
    """Return every option except the suite by name: its type and flag."""
    hints = get_type_hints(RunOptions, include_extras=True)
    return {name: get_args(hint) for name, hint in hints.items() if get_origin(hint) is Annotated}


def _seeds(given: Iterable[int]) -> tuple[int, ...]:
    found = tuple(whole_number("seed", seed) for seed in given)
    if not found:
        raise UserError("seeds is empty; leave it out for the suite's own")
    if min(found) < 0:
        raise UserError(f"seeds must be whole numbers from 0 on, not {min(found)}")
    return found


def _python_value(value: Any) -> Any:  # noqa: ANN401 - of any field
    """Return a value of a field as Python's own types, of which NumPy's numbers are none."""
    value = as_python(value)
    if isinstance(value, (list, tuple)):
        return type(value)(map(_python_value, value))
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    return float(value) if isinstance(value, Real) and not isinstance(value, (bool, int)) else value


def _change_text(value: Any) -> str:  # noqa: ANN401 - of any field
    from gan_bench.config.changes import Several

    if isinstance(value, Several):
        return ",".join(map(_change_text, value))
    return json.dumps(value) if isinstance(value, (list, tuple, bool)) else str(value)


def _argument_texts(value: Any) -> list[str]:  # noqa: ANN401 - of any option
    """Write a value as words of the command line: one, or one per item."""
    if isinstance(value, Mapping):
        return [f"{name}={_change_text(each)}" for name, each in value.items()]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return list(value) if isinstance(value[0], str) else [",".join(map(str, value))]
    return [str(value)]
