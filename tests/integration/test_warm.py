"""Commands that tests fork from a warm process behave as those that a user starts."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from mlflow.store.db import utils
from support import warm
from support.commands import gan_bench, python_module, wait_for
from support.needs import slow

from gan_bench.tracking.database import prepare_database


@pytest.mark.ci
@pytest.mark.parametrize(
    "command",
    ["run quickstart --dry-run", "nonsense", "--help", *slow("list", "show inception", "score", "report /no")],
)
def test_a_forked_command_says_and_returns_what_a_started_one_does(command):
    forked, started = gan_bench(*command.split()), gan_bench(*command.split(), cold=True)
    assert (forked.returncode, forked.stdout, forked.stderr) == (started.returncode, started.stdout, started.stderr)


@pytest.fixture
def script(tmp_path):
    """Runs a module of this text in a forked and in a started process."""

    def run(text, **options):
        (tmp_path / "probe.py").write_text(text)
        here = {"cwd": tmp_path, **options}
        return [python_module("probe", "a", "b c", **here, cold=cold) for cold in (False, True)]

    return run


PROBES = {
    "its folder and arguments": "import os, sys; print(os.getcwd(), sys.argv, __name__)",
    "its environment": "import os; print(sorted(os.environ))",
    "a status": "raise SystemExit(7)",
    "a status of text": "raise SystemExit('gone')",
    "an error": "import sys\nprint('before')\n1 / 0",
    "a signal that ends it": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "default signals": "from signal import *; print([getsignal(n) for n in (SIGINT, SIGTERM, SIGCHLD, SIGPIPE)])",
    "an end of standard input": "print(repr(input()))",
    "its streams": "import sys; print([(s.isatty(), s.encoding) for s in (sys.stdin, sys.stdout, sys.stderr)])",
    "threads that end first": "from threading import *; Timer(.2, print, ['end']).start()",
    "what runs at exit": "import atexit; atexit.register(print, 'at exit')",
    "text as it is": "print('αβγ\\x00\\x1b[1m')",
    "warnings": "import warnings; warnings.warn('careful')",
}


@pytest.mark.parametrize("probe", PROBES)
def test_a_forked_process_is_as_a_started_one(script, probe):
    forked, started = script(PROBES[probe])
    assert forked.returncode == started.returncode
    assert forked.stdout == started.stdout
    assert forked.stderr.splitlines()[-1:] == started.stderr.splitlines()[-1:]


@pytest.mark.skipif(sys.platform != "linux", reason="commands are forked on Linux alone")
def test_commands_are_forked_here():
    assert warm.place()


def test_where_nothing_can_be_forked_commands_are_started(monkeypatch, tmp_path):
    monkeypatch.setattr(warm, "place", lambda: None)
    monkeypatch.setattr(warm, "run", lambda *_, **__: pytest.fail("forked"))
    (tmp_path / "probe.py").write_text("print('here')")
    assert python_module("probe", cwd=tmp_path).stdout == "here\n"


def test_commands_share_no_random_numbers_and_keep_nothing_of_each_other(script):
    text = "import os, random, numpy\nprint(random.random(), numpy.random.rand())\nos.environ['LEFT'] = '1'"
    first, second = script(text)[0], script(text)[0]
    assert not set(first.stdout.split()) & set(second.stdout.split())
    assert "LEFT" not in script("import os; print(sorted(os.environ))")[0].stdout


def test_two_commands_run_beside_each_other(tmp_path):
    (tmp_path / "probe.py").write_text(
        "import os, pathlib, sys, time\n"
        "pathlib.Path(sys.argv[1]).touch()\n"
        "while len(list(pathlib.Path('.').glob('*.on'))) < 2: time.sleep(.01)\n"
    )
    done = []

    def probe(name):
        done.append(python_module("probe", name, cwd=tmp_path))

    threads = [threading.Thread(target=probe, args=(name,)) for name in ("1.on", "2.on")]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [each.returncode for each in done] == [0, 0]


def test_one_that_hangs_is_killed(tmp_path):
    (tmp_path / "probe.py").write_text("import os, time\nopen('pid', 'w').write(str(os.getpid()))\ntime.sleep(9999)")
    with pytest.raises(subprocess.TimeoutExpired):
        python_module("probe", cwd=tmp_path, timeout=3)
    wait_for(lambda: not (tmp_path / "pid").exists() or not alive(int((tmp_path / "pid").read_text())))


def test_other_starts_are_not_forked():
    here = dict(os.environ)
    assert warm.is_same_start(here)
    assert warm.is_same_start({**here, "TORCHINDUCTOR_CACHE_DIR": "set by torch", "MLFLOW_TRACKING_URI": "x"})
    for name in ("PYTHONPATH", "PYTHONHASHSEED", "LC_ALL", "OMP_NUM_THREADS"):
        assert not warm.is_same_start({**here, name: "another"})


CHILD = """
import os, sys
from pathlib import Path
from gan_bench.core.channel import spawn
with open("errors", "wb") as errors:
    process, lines = spawn("gan_bench.execution.workers.worker", (), errors, os.environ)
process.stdin.write("no job\\n")
process.stdin.flush()
print(Path(sys.executable).parent.name.startswith("warm"))
print(lines.readlines(), process.wait(), Path("errors").read_text().splitlines()[-1])
"""


@pytest.mark.ci
@pytest.mark.parametrize("started", [False, pytest.param(True, marks=[pytest.mark.starts_children, pytest.mark.slow])])
def test_children_of_a_command_are_forked_where_no_test_is_about_them(script, started):
    done, _ = script(CHILD)
    is_forked, said = done.stdout.splitlines()
    assert is_forked == str(not started)
    assert said == script(CHILD.replace("print(Path(", "(Path("))[1].stdout.strip(), done.stderr


def test_a_forked_process_ends_with_the_one_that_stands_for_it(tmp_path):
    (tmp_path / "probe.py").write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(9999)")
    command = [sys.executable, "-I", "-S", Path(warm.__file__).with_name("warm_client.py"), warm.place(), "probe"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    pid = int(process.stdout.readline())
    assert alive(pid)
    process.kill()
    wait_for(lambda: not alive(pid))
    process.communicate()


def alive(pid):
    """True if a process runs: not if it waits for its parent to ask how it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_the_warm_process_ends_with_the_one_that_started_it():
    text = (
        "import os, sys; from support import warm\n"
        "warm.run('gan_bench', ['list'], env=os.environ, timeout=600); print(warm._server.process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), warm.SHARED: ""},
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    wait_for(lambda: not alive(int(done.stdout)))


@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_a_new_database_is_a_copy_of_one(tmp_path, monkeypatch):
    def make(name):
        file = tmp_path / name
        list(prepare_database(f"sqlite:///{file}", file, is_ours=True))
        assert is_sound(file)

    make("the first may be the one that is copied")
    monkeypatch.setattr(utils, "_initialize_tables", lambda _: pytest.fail("migrated"))
    make("another")


def is_sound(file):
    with contextlib.closing(sqlite3.connect(file)) as database:
        return database.execute("SELECT count(*) FROM experiments").fetchone() == (1,)
