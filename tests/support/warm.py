"""Commands in processes that are forked from one which has imported what they import: seconds of start-up less each.

``run`` behaves as ``subprocess.run`` with captured text does: a command has a process, a working folder, an
environment, signals and random states of its own. Imports are all that it shares with others, and the seed of
hashes. Commands that depend on how Python starts (``PYTHON...`` variables) are not for it.

The mirrors and workers that such a command starts are forked from the warm process too (``warm_client.py`` stands for
each: what it is told, it tells on), unless ``starts_children`` is asked for, as tests that are about them do. Pages of
reports take seconds, and are left empty unless ``draws_pages`` is asked for, and have no plots unless ``draws_plots``
is; so do the forty migrations with which MLflow makes a database, and new ones are copies of one unless
``makes_databases`` is asked for; and the speed of training is measured for a tenth of its half second unless
``measures_speed`` is asked for, and Git asked once for the code of a process's trials unless ``asks_git`` is.
"""

from __future__ import annotations

import atexit
import ctypes
import importlib
import io
import json
import os
import pkgutil
import random
import runpy
import secrets
import select
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import warnings
import weakref
from contextlib import redirect_stderr, suppress
from functools import cache, cached_property
from pathlib import Path

SLOW = bool(os.environ.get("GAN_BENCH_SLOW"))
CHANNEL = "GAN_BENCH_CHANNEL"
"""Names the descriptor on which a child of a command sends (``gan_bench.core.channel``)."""
_COLD = ("gan_bench.execution.cluster", "gan_bench.__main__", "gan_bench.report.__main__")
"""Import Ray, whose threads no fork survives, or run when they are imported."""
_LAZY = (
    "torchmetrics", "scipy.stats", "matplotlib.backends.backend_svg", "sklearn.datasets", "safetensors.torch",
    "torchvision.utils", "rich.progress", "mlflow.tracking",
    "mlflow.store.tracking.sqlalchemy_store", "mlflow.pyfunc", "mlflow.models", "alembic.command",
    "sqlalchemy.dialects.sqlite", "tabulate", "pyarrow.parquet", "pandas.io.formats.csvs", "email.policy",
)  # fmt: skip
"""What modules of gan_bench, or libraries, import where they use it."""


# ------------------------------------------------------------------------------------------- the server


def _preload():
    import gan_bench

    with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")  # what imports warn of is no test's, however they say it
        for found in pkgutil.walk_packages(gan_bench.__path__, "gan_bench.", onerror=lambda _: None):
            if not found.name.startswith(_COLD):
                importlib.import_module(found.name)
        for name in _LAZY:
            importlib.import_module(name)
        importlib.import_module("PIL.Image").init()  # readers and writers of all formats
        importlib.import_module("gan_bench.data.readers")._digits()
        _be_quick(())
        _git_once()
        sys.modules["mlflow.store.db.utils"]._get_latest_schema_revision()
    os.fsync = lambda _: None  # as in conftest.py


def _receive(connection):
    """Return a request and the file descriptors that are its standard streams, and its channel where it has one.

    Raises:
        ValueError: If the process that asks ends before it has asked; its descriptors are closed.
    """
    head, streams, _, _ = socket.recv_fds(connection, 4, 4)
    size = struct.unpack("!I", head)[0] if len(head) == 4 else 0
    with connection.makefile("rb") as sent:
        text = sent.read(size)
    if size and len(text) == size:
        return json.loads(text), streams
    for given in streams:
        os.close(given)
    raise ValueError("a request without its end")


_NEW_MOUNTS = 0x00020000
"""CLONE_NEWNS of ``unshare(2)``."""


def _be_another(user, mounts):
    """Be a user without groups, in mounts of its own."""
    assert ctypes.CDLL(None, use_errno=True).unshare(_NEW_MOUNTS) == 0, os.strerror(ctypes.get_errno())
    subprocess.run(["sh", "-c", mounts], check=True)
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def _become(request, streams):
    """Be the command of a request, for good."""
    for number, action in ((signal.SIGINT, signal.default_int_handler), (signal.SIGCHLD, signal.SIG_DFL)):
        signal.signal(number, action)
    *streams, channel = streams if len(streams) == 4 else (*streams, None)
    for target, given in enumerate(streams):
        os.dup2(given, target)
        os.close(given)
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115
    if request["user"]:
        _be_another(request["user"], request["mounts"])
    os.environ.clear()
    os.environ.update(request["env"])
    if channel is not None:
        os.setsid()
        os.environ[CHANNEL] = str(channel)
    sys.executable = request["python"]
    _be_quick(request["asked"])
    sys.modules.pop(request["module"], None)  # it is imported anew, as its own process does
    time.tzset()
    os.chdir(request["cwd"])
    random.seed()
    sys.modules["numpy"].random.seed()
    sys.path[0] = str(Path.cwd())
    sys.argv = ["", *request["arguments"]]
    code = 1
    try:
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
        if isinstance(stop.code, str):
            sys.stderr.write(f"{stop.code}\n")
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        threading._shutdown()  # as the interpreter does: threads that are no daemons end first
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


_replaced = {}
"""What stands elsewhere in the place of slow functions, by module and name."""


def _be_quick(asked):
    """Let this process do what is asked for by its marker, or something quick instead."""
    for module, name, quick, marker in (
        ("gan_bench.report.build", "_add_page", _no_page, "draws_pages"),
        ("gan_bench.report.page.page", "study_plots", _no_plots, "draws_plots"),
        ("gan_bench.tracking.database", "open_database", _open_copy, "makes_databases"),
        ("gan_bench.execution.preflight.estimate", "_seconds_per_step", _seconds_of_few_steps, "measures_speed"),
        ("gan_bench.execution.trial.environment", "_git", _git_once, "asks_git"),
    ):
        place = importlib.import_module(module)
        slow = _replaced.setdefault(name, getattr(place, name))
        setattr(place, name, slow if SLOW or marker in asked else quick)
    _remember_revision()


def _remember_revision():
    """Let MLflow find its newest migration once a process: it reads all seventy for every database that it opens."""
    utils = sys.modules.get("mlflow.store.db.utils")
    found = getattr(utils, "_get_latest_schema_revision", None)
    if found and not hasattr(found, "cache_info"):
        utils._get_latest_schema_revision = cache(found)


def do_as_asked(asked):
    """Do in this process and its commands what costs seconds if it is asked for by one of the names in ``MARKERS``."""
    global _asked  # noqa: PLW0603 - one a process
    _asked = asked
    _be_quick(asked)


def copy_database(file):
    """Make a new database of MLflow's as a copy of one that is made once a test session."""
    from gan_bench.tracking.database import _let_go

    made = TEMPLATES / "mlflow.db"
    if not made.exists():
        aside = made.with_name(secrets.token_hex(4))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow's own
            _replaced["open_database"](f"sqlite:///{aside}")
        _let_go(f"sqlite:///{aside}")
        aside.replace(made)
    shutil.copyfile(made, file)


def _open_copy(uri):
    """Stand for ``open_database`` of the mirror."""
    from gan_bench.tracking.database import database_file

    file = database_file(uri)
    if file and not (file.exists() and file.stat().st_size):  # an empty one was made to have its rights
        copy_database(file)
    _replaced["open_database"](uri)


def _no_page(files, *_):
    """Stand for ``_add_page`` of a report."""
    return files.add("report.html", "<p>This test draws no pages.</p>")


def _no_plots(_study):
    """Stand for ``study_plots`` of a page, nearly all of whose time is Matplotlib's."""
    return []


@cache
def _git_once():
    """Stand for ``_git`` of an environment, which starts three programs for every trial."""
    return _replaced["_git"]()


def _seconds_of_few_steps(config, context, budget=0.5):
    """Stand for ``_seconds_per_step`` of the estimate."""
    return _replaced["_seconds_per_step"](config, context, budget / 10)


def _start(connection, others):
    """Fork the command that a connection asks for; return its process. ``others`` are descriptors that it closes."""
    request, streams = _receive(connection)
    pid = os.fork()
    if not pid:
        for other in (*others, connection.fileno()):
            os.close(other)
        _become(request, streams)
    for given in streams:
        os.close(given)
    with suppress(OSError):
        connection.sendall(struct.pack("!i", pid))
    return pid


def _end(connection, pid, *, is_awaited):
    """Answer with the exit status of a command; it is killed where the process that asked for it is gone."""
    if not is_awaited:
        os.kill(pid, signal.SIGKILL)  # not waited for yet, so the number is still its own
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(OSError):
        connection.sendall(struct.pack("!i", code))
    connection.close()


def _forget_ends():
    """Forget what libraries do at the end of a process: it costs each command 50 ms and means nothing to it."""
    atexit.unregister(sys.modules["torch._dynamo.utils"].dump_compile_times)
    weakref.finalize._registry.clear()


def serve(place):
    """Answer requests until standard input ends."""
    import gc

    _preload()
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        sys.exit("tests start their commands: a library runs threads, which no fork takes along")
    _forget_ends()
    gc.collect()
    gc.freeze()  # collections in children need not copy what they never free
    gc.set_threshold(20_000, 10, 10)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(place)
    listener.listen()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the end of what it writes says that it answers
    running = {}  # the connection and the process of each command, by the descriptor that is ready when it ends
    while True:
        ready, _, _ = select.select([listener, sys.stdin, *running, *(asked for asked, _ in running.values())], [], [])
        for end, (connection, pid) in list(running.items()):
            if end in ready or connection in ready or sys.stdin in ready:
                _end(connection, pid, is_awaited=end in ready)
                os.close(end)
                del running[end]
        if sys.stdin in ready:
            os._exit(0)  # what was loaded has nothing to say at its end
        if listener in ready:
            connection, _ = listener.accept()
            kept = (listener.fileno(), *running, *(asked.fileno() for asked, _ in running.values()))
            try:
                pid = _start(connection, kept)
                running[os.pidfd_open(pid)] = connection, pid
            except (ValueError, ConnectionError):
                connection.close()


# ------------------------------------------------------------------------------------------- the client


_PYTHON = """\
#!/bin/sh
if [ "$1" = -c ] && [ "${{OMP_NUM_THREADS:-1}}" = 1 ]; then
  case "$3" in gan_bench.*) shift 2; exec {python} -I -S {client} {place} "$@";; esac
fi
exec {python} "$@"
"""
"""The Python of forked commands: modules of gan_bench that it starts are forked as well."""


SHARED = "GAN_BENCH_WARM"
"""Names the folder of the warm process that the test processes of a session share."""


class _Server:
    """A warm process, which ends with the process that starts it."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="warm")
        self.place = str(Path(self.folder.name) / "socket")
        threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
        threads["MLFLOW_DISABLE_TELEMETRY"] = "true"  # whose thread starts with the first import
        threads["JE_ARROW_MALLOC_CONF"] = "background_thread:false"  # of pyarrow, which pandas imports
        # Where no home can be written, Matplotlib makes a folder that the first command to end would remove.
        threads.setdefault("MPLCONFIGDIR", _environ_at_start.get("MPLCONFIGDIR", f"{self.folder.name}/matplotlib"))
        self.env = {**_environ_at_start, **threads, "PYTHONPATH": os.pathsep.join(filter(None, _paths()))}
        command = [sys.executable, "-c", "from support.warm import serve; import sys; serve(sys.argv[1])", self.place]
        self.python = Path(self.folder.name) / "python"
        client = Path(__file__).with_name("warm_client.py")
        words = {"python": sys.executable, "client": str(client), "place": self.place}
        self.python.write_text(_PYTHON.format(**{name: shlex.quote(word) for name, word in words.items()}))
        self.python.chmod(0o700)
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self.env)
        (Path(self.folder.name) / "pid").write_text(str(self.process.pid))
        atexit.register(self.stop)

    @cached_property
    def is_there(self):
        """Whether it listens, once it has loaded everything."""
        with self.process.stdout as ready:
            ready.read()
        return Path(self.place).exists()

    def stop(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()
        self.folder.cleanup()


class _Shared:
    """The warm process that another test process has started."""

    def __init__(self, folder):
        self.place, self.python, self._pid = (str(Path(folder) / name) for name in ("socket", "python", "pid"))

    @cached_property
    def is_there(self):
        """Whether it listens, once it has loaded everything."""
        stat = Path(f"/proc/{Path(self._pid).read_text()}/stat")
        while True:
            with socket.socket(socket.AF_UNIX) as connection, suppress(FileNotFoundError, ConnectionRefusedError):
                connection.connect(self.place)
                return True
            if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
                return False
            time.sleep(0.05)


def share():
    """Start the warm process of all test processes that this one is about to start."""
    global _server  # noqa: PLW0603 - one a process
    if sys.platform == "linux":
        _server = _Server()
        os.environ[SHARED] = _server.folder.name


_AT_START = ("PYTHON", "LANG", "LC_", "LD_", "OMP_", "MKL_", "OPENBLAS_", "CUDA_", "TRITON_INTERPRET", "ARROW_", "JE_")
"""Variables that Python or a library reads once, when it starts."""


def is_same_start(env):
    """True if a process with this environment would start as the warm one did."""

    def read_at_start(variables):
        return {name: value for name, value in variables.items() if name.startswith(_AT_START)}

    return read_at_start(env) == read_at_start(_environ_at_start)


TEMPLATES = Path(os.environ.get("GAN_BENCH_TEMPLATES") or tempfile.mkdtemp(prefix="templates"))
"""The folder of what is made once for a test session and copied; the first process makes and removes it."""
if os.environ.setdefault("GAN_BENCH_TEMPLATES", "") == "":
    os.environ["GAN_BENCH_TEMPLATES"] = str(TEMPLATES)
    TEMPLATES.chmod(0o777)  # commands of another user take copies too
    atexit.register(shutil.rmtree, TEMPLATES, ignore_errors=True)
_environ_at_start = dict(os.environ)


def _paths():
    return [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]


_server = None
MARKERS = ("starts_children", "draws_pages", "draws_plots", "makes_databases", "measures_speed", "asks_git")
"""Names of what costs time: mirrors and workers of commands start as a user's do; pages and plots are drawn; MLflow
makes its databases; the speed of training is measured; Git is asked for the code of each trial, not of each process."""
_asked = ()
"""Those of them that this test asks for."""


def place():
    """Return where the warm process of this test process listens, or None where there can be none.

    It is started at the first call, unless there is one that test processes share. There is none but on Linux, nor
    where a library starts threads with its import.
    """
    global _server  # noqa: PLW0603 - one a process
    if sys.platform != "linux":
        return None
    if not _server:
        _server = _Shared(os.environ[SHARED]) if os.environ.get(SHARED) else _Server()
    return _server.place if _server.is_there else None


def python():
    """Return the Python of forked commands, which forks modules of gan_bench; the own one where nothing is forked."""
    return str(_server.python) if place() else sys.executable


def command(module):
    """Return the words of a command that is ``python -m MODULE`` in a forked process; arguments come after it."""
    if not place():
        return [sys.executable, "-m", module]
    return [sys.executable, "-I", "-S", str(Path(__file__).with_name("warm_client.py")), place(), module]


def run(module, arguments, *, cwd=None, env, timeout, user=0, mounts=""):
    """Run ``python -m MODULE ARGUMENTS`` in a forked process.

    Args:
        module: Of Python.
        arguments: Of its command line.
        cwd: Working folder; that of this process where none is given.
        env: Its whole environment.
        timeout: Seconds after which it is killed.
        user: Number of the user that it becomes, or 0.
        mounts: Shell commands that are done before, as root and in mounts of their own.

    Returns:
        What ``subprocess.run`` returns, with text.
    """
    where = place()
    started = "starts_children" in _asked or user  # who may not enter the folder of the warm process
    request = {
        "module": module, "arguments": list(arguments), "cwd": str(cwd or Path.cwd()), "env": dict(env),
        "user": user, "mounts": mounts, "python": sys.executable if started else str(_server.python),
        "asked": list(_asked),
    }  # fmt: skip
    text = json.dumps(request).encode()
    pipes = [os.pipe(), os.pipe()]
    with socket.socket(socket.AF_UNIX) as connection, Path(os.devnull).open() as nothing:
        connection.connect(where)
        streams = [nothing.fileno(), pipes[0][1], pipes[1][1]]
        socket.send_fds(connection, [struct.pack("!I", len(text))], streams)
        connection.sendall(text)
        for _, written in pipes:
            os.close(written)
        found = ["", ""]

        def read(index):
            with os.fdopen(pipes[index][0], encoding="utf-8", errors="replace") as stream:
                found[index] = stream.read()

        readers = [threading.Thread(target=read, args=(index,), daemon=True) for index in range(2)]
        for reader in readers:
            reader.start()
        pid = struct.unpack("!i", connection.recv(4))[0]
        connection.settimeout(timeout)
        try:
            code = struct.unpack("!i", connection.recv(4))[0]
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired([module, *arguments], timeout) from None
        for reader in readers:
            reader.join()
    return subprocess.CompletedProcess([sys.executable, "-m", module, *arguments], code, *found)
