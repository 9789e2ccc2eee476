"""The command line. Heavy libraries load where they are used, so that help and reports are quick."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, NoReturn, cast

import typer
from typer.core import TyperGroup

from gan_bench.cli import images
from gan_bench.cli import part_commands as parts
from gan_bench.cli import record_commands as records
from gan_bench.cli.doctor import doctor
from gan_bench.cli.options import Results, Tables, TrackingUri, with_run_options
from gan_bench.core import GARBAGE_THRESHOLD, __version__
from gan_bench.core.cache import ensure_home
from gan_bench.core.errors import FULL, UserError, brief, is_of_cuda, is_out_of_memory
from gan_bench.core.preparing import progress_listener
from gan_bench.core.text import as_argument, at_home
from gan_bench.run_options import RunOptions
from gan_bench.terminal.console import PreparationLines, console, write_any_text

UsageError = cast("type[Exception]", typer.BadParameter.__base__)
"""The exception for a wrong command line: click's class, or typer's own in newer versions."""

HELP = ("-h", "--help")


class _Commands(TyperGroup):
    """Ends a command at Ctrl-C with a word; `run` says more, and returns."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - click's, or typer's own in newer versions
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _exit_with(130, "interrupted")


app = typer.Typer(
    name="gan-bench",
    cls=_Commands,
    help="Train the GANs of five tutorials, measure them, and say which settings are really better.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": list(HELP)},
    pretty_exceptions_enable=False,
)

_EXAMPLES = "\n\n".join(
    [
        "Examples:",
        "gan-bench run quickstart",
        "    A first answer on small digits, in two minutes.",
        "gan-bench run mnist --only dcgan --seeds 0-4 --dry-run",
        "    What would be trained, and how long it takes.",
        "gan-bench run digits --until decided --budget 2h",
        "    Seeds for what is still open, look by look.",
        "gan-bench run mnist --set lr=1e-4,3e-4 --set loss=hinge",
        "    Other values in every trial, swept where several.",
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


@with_run_options
def run(
    suite: Annotated[str, typer.Argument(help="A name in benchmarks/ or a path to a YAML file.")],
    tracking_uri: TrackingUri = None,
    no_tracking: Annotated[
        bool, typer.Option("--no-tracking", help="Leave MLflow out.", rich_help_panel="MLflow")
    ] = False,
    tables: Tables = "ranking",
    *,
    context: typer.Context,
    **asked: Any,  # noqa: ANN401 - the fields of RunOptions
) -> None:
    """Train and score the trials of a suite; finished ones are skipped, interrupted ones are resumed."""
    from gan_bench.config.changes import parse_changes
    from gan_bench.config.suite import find_suite
    from gan_bench.records.command import parse_seeds

    find_suite(suite)  # an unknown name is reported before torch is loaded
    from gan_bench.terminal.run_suite import run_suite

    for name in ("tracking_uri", "experiment_prefix") if no_tracking else ():
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":  # the environment may name what other runs use
            raise UserError(f"--no-tracking and --{name.replace('_', '-')} do not go together; leave one out")
    asked["seeds"] = None if asked["seeds"] is None else parse_seeds(asked["seeds"])
    asked["changes"] = parse_changes(asked["changes"] or ())
    asked["extractors"] = tuple(asked["extractors"] or ())
    options = RunOptions(suite, tracking=False if no_tracking else tracking_uri or True, **asked)
    raise typer.Exit(run_suite(options, console(), all_tables=tables == "all"))


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
    suite = try_folder(images, out, lines)
    if look:
        lines.say(f"train with it: `{shlex.join(['gan-bench', 'run', as_argument(suite)])}`")
        return
    from gan_bench.terminal.run_suite import run_suite

    options = RunOptions(str(suite), results=results, profile="quick", tracking=not no_tracking)
    code = run_suite(options, lines, looked_at=Path(at_home(str(images))))
    lines.say(f"The suite's whole protocol is best trained on a GPU; {suite} is yours to change.")
    if not no_open:
        open_page(results / "report" / "report.html")
    raise typer.Exit(code)


COMMANDS: tuple[tuple[Callable[..., None], str], ...] = (
    (try_, "try"),
    (records.report, "report"),
    (records.compare, "compare"),
    (records.card, "card"),
    (records.publish, "publish"),
    (records.export, "export"),
    (parts.list_, "list"),
    (parts.show, "show"),
    (parts.new, "new"),
    (parts.check, "check"),
    (images.score, "score"),
    (images.sample, "sample"),
    (records.sync, "sync"),
    (records.verify, "verify"),
    (records.audit, "audit"),
    (records.board, "board"),
    (records.ui, "ui"),
    (doctor, "doctor"),
)
"""In the order of the help, after ``run``."""
app.command(epilog=_EXAMPLES)(run)
for command, name in COMMANDS:
    app.command(name)(command)
app.add_typer(parts.data_app, name="data")


def _without_types_of_flags(command: Any, name: str | None = None, above: Any = None) -> Any:  # noqa: ANN401 - click's
    """Return a command whose help shows no type beside flags: newer versions of typer show one, as if they took it."""
    context = command.context_class(command, info_name=name, parent=above, **command.context_settings)
    for option in command.get_params(context):
        if getattr(option, "is_flag", False):
            option.metavar = ""
    for below, each in getattr(command, "commands", {}).items():
        _without_types_of_flags(each, below, context)
    return command


_commands: Any = _without_types_of_flags(typer.main.get_command(app))  # ``app`` would make all of them at each call

MAY_BE_EMPTY = ("--experiment-prefix", "--tracking-uri")
"""Options for which an empty text means something: none, and the default."""


def _check_words(words: list[str]) -> None:
    """Refuse empty words, as a shell's variable that is not set leaves them: a path of them is the current folder.

    Raises:
        UserError: A word or the value of an option is empty.
    """
    if set(HELP) & set(words):
        return
    for before, word in pairwise(["gan-bench", *words]):
        option, equals, value = word.partition("=") if word.startswith("--") else (before, "=", word)
        if equals and not value.strip() and option not in MAY_BE_EMPTY:
            told = "leave it out, or see which variable of the shell is not set"
            raise UserError(f"an empty word follows {option}; {told}")


def _usage(error: Exception, words: list[str]) -> str:
    """Return what is wrong with a command line in one sentence; empty if help was printed instead."""
    usage: Any = error  # the attributes are click's, whose class typer's own replaced
    if type(error).__name__ == "NoArgsIsHelpError":
        return ""
    text = " ".join(usage.format_message().rstrip(".").split()).replace(": Value error, ", ": ")  # pydantic's words
    text = re.sub(
        r"^Invalid value for (\S+): (.)", lambda found: f"invalid value for {found[1]}: {found[2].lower()}", text
    )
    if usage.ctx is not None and usage.ctx.info_name == "run" and (value := _named_value(error)):
        text = f"{value} is a value of trials; `--set {value}=VALUE` changes it"
    path = usage.ctx.command_path if usage.ctx else _command_path(words)
    return f"error: {text[:1].lower()}{text[1:]}; `{path} --help` lists what it takes"


def _command_path(words: list[str]) -> str:
    """Return the command that words begin with, as the error of an option without a value does not name it."""
    found, path = _commands, ["gan-bench"]
    while len(path) <= len(words) and (found := getattr(found, "commands", {}).get(words[len(path) - 1])):
        path.append(words[len(path) - 1])
    return " ".join(path)


def _named_value(error: Exception) -> str:
    """Return the trial value that an unknown option is named after, or an empty text."""
    from gan_bench.config.changes import Changes

    name = str(getattr(error, "option_name", "") or "").lstrip("-").replace("-", "_")
    return name if type(error).__name__ == "NoSuchOption" and name in Changes.model_fields else ""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors a user can act on are one sentence and exit code 2."""
    gc.set_threshold(GARBAGE_THRESHOLD)
    write_any_text()
    ensure_home()
    os.environ["MPLBACKEND"] = "agg"  # plots go to files; a name that Matplotlib does not know would end its import
    words = [at_home(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    try:
        os.getcwd()  # noqa: PTH109 - without one, torch's libraries would not load, and blame their own files
    except FileNotFoundError:
        _exit_with(2, "error: the current folder was deleted; go to one that exists (cd) and try again")
    try:
        with progress_listener(PreparationLines(console(stderr=True))), _plain_warnings():
            _check_words(words)
            sys.exit(_commands(words, prog_name="gan-bench", standalone_mode=False))
    except UserError as error:
        _exit_with(2, f"error: {error}")
    except UsageError as error:
        _exit_with(2, _usage(error, words))
    except KeyboardInterrupt:
        sys.exit(130)
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # typer exits with 1, which here means a verdict
            _exit_with(BROKEN_PIPE)
        raise
    except BrokenPipeError:
        _exit_with(BROKEN_PIPE)
    except OSError as error:
        _exit_with(2, _refusal(error, words))
    except (RuntimeError, MemoryError) as error:
        _exit_with(2, _device_fault(error))


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """Print each warning in one line, as a run does; Python would name lines of gan_bench's code."""

    def say(message: Warning | str) -> None:
        with contextlib.suppress(OSError):
            console(stderr=True).say(f"warning: {message}", style="yellow")

    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: say(message)
        yield


def _refusal(error: OSError, words: list[str]) -> str:
    """Return in one sentence what the system refused; for a full disk, that the run can be continued."""
    why, file = error.strerror or error, error.filename
    if file and error.errno in FULL:
        then = "the same command continues" if words[:1] == ["run"] else "try again"
        return f"error: {file} cannot be written ({why}); free some space; {then}"
    what = f"the file {file} cannot be used" if file else "something cannot be written"
    return f"error: {what} ({why}); check space, rights, and where output goes"


def _device_fault(error: RuntimeError | MemoryError) -> str:
    """Return in one sentence what failed while images were scored or generated outside of a trial.

    Raises:
        RuntimeError: It is neither the memory nor the GPU.
    """
    if is_out_of_memory(error):
        return f"error: memory ran out ({brief(error)}); free some, or use another --device"
    if is_of_cuda(error):
        return f"error: CUDA failed ({brief(error)}); free or repair the GPU, or use --device cpu"
    raise error


BROKEN_PIPE = 128 + 13
"""Exit code that shells show for a process ended by SIGPIPE."""


def _exit_with(code: int, text: str = "") -> NoReturn:
    """Print why, if that can be written, and exit; a closed stream does not change the exit code."""
    with contextlib.suppress(OSError):
        if text:
            console(stderr=True).say(text, style="red")
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:  # Python would try again at its end, and exit with 120
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)
