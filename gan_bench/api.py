"""The Python interface: what the commands do, as functions. ``import gan_bench as gb`` loads it when it is used.

>>> import tempfile
>>> import gan_bench as gb
>>> folder = tempfile.mkdtemp()
>>> run = gb.run("digits", results=folder, only="mlp", seeds=[0], epochs=2, samples=64, executor="inline")
>>> run.statuses()
{'done': 1}
>>> tables = run.load()
>>> tables.scores.query("metric == 'fid'")[["epoch", "extractor", "generated"]].to_dict("records")[-1]
{'epoch': 2, 'extractor': 'lenet-mnist-v1', 'generated': 64}
>>> generator = gb.generator(tables.trials["path"][0])
>>> generator.images(2, seed=7).shape
torch.Size([2, 1, 28, 28])
>>> scores = gb.score(generator, "digits", samples=64).set_index("metric")
>>> bool(scores.loc["fid", "value"] > 0)
True
>>> gb.compare(folder, folder).exit_code
0
"""

from __future__ import annotations

import inspect
import io
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import pandas as pd

from gan_bench.config.image_folder import data_root
from gan_bench.core.caller import warn_caller
from gan_bench.core.errors import UserError
from gan_bench.core.fields import checked_argument
from gan_bench.core.registry import did_you_mean
from gan_bench.core.text import at_home, plural, with_article
from gan_bench.records.folders import existing, fault_of, scan
from gan_bench.records.layout import RecordDirectory
from gan_bench.records.plan import declare_foreign_measures
from gan_bench.records.reader import StoredTrial
from gan_bench.records.record import split_name
from gan_bench.records.schema import STATISTICS
from gan_bench.records.summary import answer_file
from gan_bench.report.compare.comparison import Comparison
from gan_bench.report.compare.comparison import compare as compare_folders
from gan_bench.report.study.frame import build_frames
from gan_bench.run_options import RunOptions, declared

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import nn

    from gan_bench.sampling import Generator

PathLike = str | Path
P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, repr=False)
class ResultTables:
    """The records of a results folder as tidy frames; ``trial`` joins them.

    Attributes:
        trials: One row per planned trial: trial, name, setting, every field of its config, drawn (the fields that were
            drawn at random), status, reason, epochs_done, the final means ``loss_d``, ``loss_g``, ``d_real`` and
            ``d_fake``, train_seconds, evaluate_seconds, images_per_second, peak_megabytes, kilojoules, device,
            device_name, threads, path as text.
        epochs: One row per trial and finished epoch: trial, epoch, the last batch's ``loss_d``, ``loss_g``, ``d_real``
            and ``d_fake``, the same as ``mean_…`` over the epoch, train_seconds so far.
        steps: One row per trial and logged step: trial, epoch, step, and the four values.
        scores: One row per trial, evaluation and measure: trial, epoch, metric, value, std, extractor, split, real,
            generated, weights (``ema`` for those of the moving average), protocol.
        images: One row per sample grid: trial, epoch, path as text.
        unreadable: One sentence for every record that could not be read or is not what was saved.
    """

    trials: pd.DataFrame
    epochs: pd.DataFrame
    steps: pd.DataFrame
    scores: pd.DataFrame
    images: pd.DataFrame
    unreadable: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        """Return how many rows each frame has."""
        frames = {name: frame for name, frame in vars(self).items() if name != "unreadable"}
        counts = ", ".join(f"{name} ({len(frame):,} rows)" for name, frame in frames.items())
        return f"ResultTables with the frames {counts}; {plural(len(self.unreadable), 'record')} left out"


def _as_in_a_command(work: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function to compute with the torch settings of a command and to restore the caller's."""

    @wraps(work)
    def changed(*arguments: P.args, **named: P.kwargs) -> R:
        from gan_bench.execution.trial.environment import as_in_a_command

        with as_in_a_command():
            return work(*arguments, **named)

    return changed


def load(results: PathLike) -> ResultTables:
    """Read the records of a results folder, or of one suite's folder in it.

    Raises:
        UserError: There is no such folder, or it is one trial's, or it holds no trial records, neither planned nor
            damaged ones.
    """
    folder = existing(_path(results)).absolute()  # paths in frames lead there from any folder
    declare_foreign_measures(folder)
    found = list(scan(folder))
    if not found:
        raise UserError(f"{folder} holds no trial records; run a suite first, for example `gan-bench run quickstart`")
    stored = [item for item in found if isinstance(item, StoredTrial)]
    frames = build_frames(stored)
    sound = [item for item in stored if not item.fault]
    grids = {
        (item.trial["id"], epoch): path for item in sound for epoch, path in RecordDirectory(item.path).grids.items()
    }
    return ResultTables(
        trials=frames.trials.drop(
            columns=["config", "group", "probabilities", "made_of", "held_out", "parts", "withdrawn"], errors="ignore"
        )
        .rename(columns={"suite_setting": "setting"})
        .assign(path=_texts(frames.trials["path"])),
        epochs=frames.history,
        steps=pd.DataFrame(
            [
                {"trial": item.trial["id"], **{key: line.get(key) for key in ("epoch", "step", *STATISTICS)}}
                for item in sound
                for line in item.steps
            ],
            columns=["trial", "epoch", "step", *STATISTICS],
        ),
        scores=_scores(sound),
        images=pd.DataFrame(list(grids), columns=["trial", "epoch"]).assign(path=_texts(grids.values())),
        unreadable=list(dict.fromkeys(str(each) for item in found if (each := fault_of(item)))),
    )


_SCORE = ("metric", "value", "std", "extractor", "split", "real", "generated", "weights")


def _texts(paths: Iterable[Path]) -> pd.Series[str]:
    """Return paths as text; bytes that are not UTF-8 are kept, so that the paths work."""
    return pd.Series([str(path) for path in paths], dtype=object)


def _scores(stored: Sequence[StoredTrial]) -> pd.DataFrame:
    rows = [
        {
            "trial": item.trial["id"],
            "epoch": line["epoch"],
            **{key: score.get(key) for key in _SCORE},
            "protocol": str(split_name(score["name"])[1]),
        }
        for item in stored
        for line, score in item.scores()
    ]
    frame = pd.DataFrame(rows, columns=["trial", "epoch", *_SCORE, "protocol"])
    return frame.astype({"value": float, "std": float})


@dataclass(frozen=True)
class RunResult:
    """The result of running a suite.

    Attributes:
        exit_code: 0 when no trial failed or diverged; 1 when one did or cannot be read. Trials that another thread or
            process was training are its own to speak of: ``statuses`` counts what is not done.
        folder: The suite's folder in the results folder.
        has_report: Whether it made a report; a plan alone makes none, nor does a run whose budget does not suffice, and
            one that lies there is of another run.
    """

    exit_code: int
    folder: Path
    has_report: bool = True

    @property
    def answer(self) -> str:
        """The report's answer for the suite as Markdown; empty if no report was made."""
        if not self.has_report:
            return ""
        try:
            return answer_file(self.folder.parent, self.folder.name, "md").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def _repr_markdown_(self) -> str | None:
        return self.answer or None  # notebooks show the plain text then

    @property
    def page(self) -> Path:
        """The report's page."""
        return self.folder.parent / "report" / "report.html"

    def load(self) -> ResultTables:
        """Read the records of the suite."""
        return load(self.folder)

    def statuses(self) -> dict[str, int]:
        """Count the suite's trials by status."""
        return dict(Counter(map(str, self.load().trials["status"])))


def _taking(make: Callable[P, RunOptions]) -> Callable[[Callable[[RunOptions], RunResult]], Callable[P, RunResult]]:
    """Decorate a function of options to take their fields as keyword arguments, so that each is declared once."""

    def changed(work: Callable[[RunOptions], RunResult]) -> Callable[P, RunResult]:
        @wraps(work)
        def run(*arguments: P.args, **named: P.kwargs) -> RunResult:
            if unknown := [name for name in named if name not in asked.parameters]:
                hint = did_you_mean(unknown[0], asked.parameters)
                raise TypeError(f'run() has no argument "{unknown[0]}" ({hint})')
            run.__signature__.bind(*arguments, **named)  # type: ignore[attr-defined]  # errors name this function
            return work(make(*arguments, **named))

        asked, kinds = inspect.signature(make), {name: kind for name, (kind, _) in declared().items()}
        plain = [each.replace(annotation=kinds.get(name, each.annotation)) for name, each in asked.parameters.items()]
        run.__signature__ = inspect.Signature(plain, return_annotation=RunResult)  # type: ignore[attr-defined]
        listed = "\n".join(f"        {name}: {option.explained}" for name, (_, option) in declared().items())
        run.__doc__ = str(work.__doc__).replace("        options: Them.", listed)
        run.__annotations__ = {each.name: each.annotation for each in plain} | {"return": RunResult}
        del run.__wrapped__  # else inspect would show the wrapped signature
        return run

    return changed


@_taking(RunOptions)
@_as_in_a_command
def run(options: RunOptions) -> RunResult:
    """Train and score the trials of a suite, as ``gan-bench run`` does; finished ones are skipped.

    No signal handler is installed. An interrupted run raises KeyboardInterrupt, as any function does; the same call
    continues: trials under way from their last checkpoint, at most a minute old where checkpoints are cheap.

    Args:
        suite: Name of a suite, path of its file, or what would stand in it, as a dict: ``{"suite": "mine",
            "version": 1, "trials": [{"recipe": "mnist-dcgan", "sweep": {"lr": [1e-4, 2e-4]}}]}``. Relative paths in
            a dict start at the current folder.
        options: Them.

    Raises:
        UserError: Something asked for cannot be.
        KeyboardInterrupt: It was interrupted.
    """
    from gan_bench.config.suite import find_suite, results_name
    from gan_bench.config.suite_file import read
    from gan_bench.terminal.console import console
    from gan_bench.terminal.run_suite import run_suite

    name = results_name(read(find_suite(options.suite))[0].suite, options.plan)  # the file may be edited meanwhile
    folder = options.folder.absolute() / name
    result = RunResult(0, folder)
    before = _file_state(result.page)
    code = run_suite(options, console(file=io.StringIO()) if options.quiet else console(), signals=False)
    return replace(result, exit_code=code, has_report=_file_state(result.page) not in (None, before))


def _file_state(file: Path) -> tuple[int, int] | None:
    """Return the state that changes when a file is replaced, or None if there is no file."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def compare(
    old: PathLike, new: PathLike, tolerance: float | None = None, *, match: str = "auto", margin: float | None = None
) -> Comparison:
    """Compare two results folders, as ``gan-bench compare`` does.

    Args:
        old: The older folder.
        new: The folder that may be worse.
        tolerance: Relative change of FID that passes where seeds are too few for a test; by default what their spread
            makes of chance in so many settings.
        match: ``trials``, ``settings``, fields of trials such as ``recipe,lr``, or ``auto``.
        margin: Of settings: relative difference of FID that counts as none; None for 0.1.

    Raises:
        UserError: They have nothing in common, or a field is unknown or does not tell settings apart.
    """
    tolerance = checked_argument("tolerance", tolerance, float | None, least=0)
    margin = checked_argument("margin", margin, float | None, least=0.001, most=1)
    return compare_folders(_path(old), _path(new), tolerance, checked_argument("match", match, str), margin)


@_as_in_a_command
def generator(path: PathLike, *, average: bool = False, allow_plugins: bool = False, device: str = "cpu") -> Generator:
    """Load the generator of a finished trial: an ``nn.Module`` in eval mode.

    Args:
        path: A record directory, or a ``generator.safetensors`` in one.
        average: Whether the moving average of G is wanted.
        allow_plugins: Whether the local file that the architecture is of may run.
        device: Where it will run.

    Raises:
        UserError: There is none.
    """
    from gan_bench.execution.trial.environment import choose_device
    from gan_bench.sampling import load_generator

    where = choose_device(checked_argument("device", device, str))
    return load_generator(_path(path), average=average, allow_plugins=allow_plugins, device=where)


@_as_in_a_command
def score(
    generated: PathLike | NDArray[Any] | torch.Tensor | Sequence[Any] | nn.Module,
    reference: PathLike,
    *,
    value_range: tuple[float, float] | None = None,
    size: int | None = None,
    extractors: Iterable[str] = (),
    samples: int | None = None,
    data: PathLike | None = None,
    device: str = "auto",
    allow_plugins: bool = False,
) -> pd.DataFrame:
    """Score images from any source, as ``gan-bench score`` does.

    Args:
        generated: A folder or zip of images; a ``generator.safetensors`` in its record; images (N, C, H, W), or a list
            of them or of PIL images: uint8, other whole numbers from 0 to 255, truth values, or floats in [-1, 1]; or
            a generator that ``gan_bench.generator`` returned.
        reference: A dataset with or without its split (``mnist``, ``mnist:test``), a folder or zip of images, or an
            ``.npz`` with ``mu`` and ``sigma``.
        value_range: Values of arrays and PIL images that are black and white, such as (0, 1) or (0, 65535); None for
            the above.
        size: Height and width to which images of files are scaled and cropped, as ``run`` does; None takes them as
            they are, all of one size. Of arrays and generators it is their own, to which files they are compared with
            are brought.
        extractors: Names; when empty, the shipped one for the images' channels.
        samples: Images to score: drawn from a generator, of the noise that its trial was scored on, or picked at
            random from the others. None draws 10,000, or takes all that there are.
        data: Folder of the datasets; None for ``$GAN_BENCH_DATA``, else ``data``.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        allow_plugins: Whether the local file that a generator's architecture is of may run.

    Returns:
        One row per score: metric, value, std, extractor, split, real, generated, note.

    Raises:
        UserError: Something named is not there or does not fit.

    Warns:
        UserWarning: Files of a folder were left out or repeat; or these scores say little, as the extractor is made for
            images of other channels, or the two sides have images of different sizes, or the same files.
    """
    import torch

    from gan_bench import scoring
    from gan_bench.execution.trial.environment import choose_device, fix_bits
    from gan_bench.sampling import Generator

    where = choose_device(checked_argument("device", device, str))
    fix_bits(where)
    names = checked_argument("extractors", extractors, Iterable[str])
    samples = checked_argument("samples", samples, int | None, least=2)
    size = checked_argument("size", size, int | None, least=8, most=1024)
    value_range = checked_argument("value_range", value_range, tuple[float, float] | None)
    if isinstance(generated, os.PathLike):
        generated = os.fsdecode(generated)
    is_array = not isinstance(generated, (str, Generator))
    if value_range is not None and not is_array:
        raise UserError("value_range is of arrays and PIL images; leave it out for files and generators")
    if not isinstance(reference, (str, os.PathLike)):
        raise UserError(
            f"the reference is the name of a dataset, or the path of a folder, a zip or an .npz, not "
            f"{with_article(type(reference).__name__)}; save its images in a folder"
        )
    given = at_home(generated) if isinstance(generated, str) else _images(generated, value_range)
    if isinstance(given, torch.Tensor):
        given = scoring.without_equal_channels(given)
    root = data_root(None if data is None else _path(data))
    against = at_home(os.fsdecode(reference))
    found = scoring.prepare(given, against, list(names), root, where, samples, size=size, allow_plugins=allow_plugins)
    for remark in found.remarks:
        warn_caller(remark)
    rows = [each.to_json() for each in found.scores()]
    columns = ["metric", "value", "std", "extractor", "split", "real", "generated", "note"]
    return pd.DataFrame(rows)[columns].astype({"value": float, "std": float})


def _path(given: PathLike) -> Path:
    if not isinstance(given, (str, PurePath)) or not str(given).strip():
        raise UserError(f"a path is needed, not {given!r:.200}")
    return Path(at_home(str(given)))


def _images(generated: Any, value_range: tuple[float, float] | None) -> torch.Tensor | Generator:  # noqa: ANN401
    """Return images as (N, C, H, W) uint8, or a generator as it is.

    Raises:
        UserError: They are no images, or it cannot be told which of their values are black and white.
    """
    import torch

    from gan_bench.data.arrays import as_uint8
    from gan_bench.sampling import Generator

    if isinstance(generated, Generator):
        return generated
    if isinstance(generated, torch.nn.Module):
        raise UserError("a module of your own does not say what it draws from; pass its images, (N, C, H, W)")
    return as_uint8(generated, value_range)
