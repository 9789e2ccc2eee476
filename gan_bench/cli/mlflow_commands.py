"""``sync`` and ``ui``: MLflow beside a results folder, or elsewhere."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import webbrowser
from pathlib import Path

from gan_bench.core.errors import StopProcess, UserError
from gan_bench.core.text import as_argument, plural
from gan_bench.records.folders import existing, suite_folders
from gan_bench.records.layout import PLAN
from gan_bench.terminal.console import PlainConsole
from gan_bench.tracking.server import DATABASE, check_no_password, default_uri, is_default, server_page, shown

MAYBE_ELSEWHERE = "where runs of these records kept MLflow elsewhere, name that place with --tracking-uri"
"""Hint for records mirrored elsewhere: they name no server, as its address may hold a password."""
WAIT_SECONDS = 90.0
_SERVER = """import os, runpy, signal, threading

def end():
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)

threading.Thread(target=end, daemon=True).start()
runpy.run_module("mlflow", run_name="__main__", alter_sys=True)"""
"""Runs MLflow as ``python -m`` does, until standard input ends, as it does however this process ends: its server, which
leads a group of its own, would keep the port of a process that was killed."""
LOCK_SECONDS = 10.0
"""Seconds that the page waits for the process that creates or upgrades its database."""
END_SECONDS = 5.0
"""Seconds that MLflow's server has to shut down."""


def sync_results(
    results: Path, tracking_uri: str | None, prefix: str, console: PlainConsole, *, register: bool
) -> bool:
    """Replay records into MLflow, and register models if requested.

    Returns:
        Whether every record could be read and is what was saved, and MLflow took every model.

    Raises:
        UserError: There are no records, or MLflow cannot be reached or refuses.
    """
    from gan_bench.report.build import refresh_report
    from gan_bench.tracking.replay import replay

    results = _beside_database(existing(results))
    if not suite_folders(results):
        raise UserError(f"{results} holds no trial records; run a suite first, for example `gan-bench run quickstart`")
    uri = tracking_uri or default_uri(results)
    is_new = not tracking_uri and not (results / DATABASE).exists()
    said = [*refresh_report(results), *([f"{results / DATABASE} is new: {MAYBE_ELSEWHERE}"] if is_new else [])]
    answer = replay(results, uri, prefix)
    for notice in (*said, *answer.notices):
        console.say(notice, style="yellow")
    for suite in answer.busy:
        console.say(f"{suite}: left to the run that mirrors it right now", style="yellow")
    for message in answer.unreadable:
        console.say(message, style="yellow")
    console.say(f"{plural(answer.runs, 'run')} up to date in MLflow at {shown(uri)}")
    is_registered = not register or _register(results, uri, prefix, console)
    base = server_page(uri)
    if base:
        from gan_bench.tracking.views import link

        for suite, views in answer.views.items():
            for view in reversed(views):
                console.say(f"{suite}: {view.name}: {link(answer.experiments[suite], view, base)}")
    return is_registered and not answer.unreadable


def _beside_database(results: Path) -> Path:
    """Return the results folder, which has MLflow's default database, even if the folder of a suite is given."""
    return results.resolve().parent if (results / PLAN).exists() else results


def _register(results: Path, uri: str, prefix: str, console: PlainConsole) -> bool:
    """Register the decided best setting of every suite; return whether none failed."""
    from gan_bench.report.findings.find_setting import champions
    from gan_bench.tracking.registration import ALIAS, earlier_champion, register, registry_elsewhere

    is_whole = True
    for champion in champions(results):
        if champion.path is None:
            stays = earlier_champion(uri, prefix, champion.suite, champion.apart)
            why = "; ".join(filter(None, [champion.why, stays]))
            console.say(f"{champion.title}: not registered: {why}", style="yellow")
            continue
        try:
            model = register(results, uri, prefix, champion.path, champion.apart)
        except UserError as error:  # other suites may still be registered
            console.say(f"{champion.title}: not registered: {error}", style="red")
            is_whole = False
            continue
        name = model.removeprefix("models:/").rpartition("/")[0]
        console.say(f"{champion.title}: {champion.setting} is {model}; load it with")
        console.say("  import mlflow")
        console.say(f"  mlflow.set_tracking_uri({json.dumps(shown(uri), ensure_ascii=False)})")
        if elsewhere := registry_elsewhere(uri):
            console.say(f"  mlflow.set_registry_uri({json.dumps(shown(elsewhere), ensure_ascii=False)})")
        where = json.dumps(f"models:/{name}@{ALIAS}", ensure_ascii=False)
        console.say(f"  mlflow.pyfunc.load_model({where}).predict(16)")
    return is_whole


def serve(
    results: Path, tracking_uri: str | None, host: str, port: int, console: PlainConsole, *, open_page: bool
) -> None:
    """Serve MLflow's page until Ctrl-C, and print the links to the views of every experiment.

    Raises:
        UserError: There is no database, it is a server's, which has a page of its own, or MLflow's server ended.
    """
    results = _beside_database(results)
    if tracking_uri is None and not (results / DATABASE).exists():
        there = results.is_dir() and suite_folders(existing(results))
        named = shlex.quote(as_argument(results))
        remedy = f"`gan-bench sync {named}` makes it from the records" if there else "run a suite first"
        raise UserError(f"{results / DATABASE} does not exist; {remedy}, or name another one with --tracking-uri")
    uri = tracking_uri or default_uri(results)
    if page := server_page(uri):
        raise UserError(f"{shown(uri)} is a server with a page of its own: open {page}")
    check_no_password(uri)
    refuse_broken(uri, results)
    found = _free_port(host, port)
    if found != port:
        console.say(f"port {port} is taken, so the page is on {found}", style="yellow")
    name = f"[{host}]" if ":" in host else host
    base = f"http://{name}:{found}{os.environ.get('MLFLOW_STATIC_PREFIX', '')}"
    links = _links(uri, base)
    ours = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONSAFEPATH": "1"}
    # MLflow's own telemetry, unless the user wants it; of ours the last: mlflow.py in this folder is not MLflow.
    notes = {"MLFLOW_LOGGING_LEVEL": "ERROR", "PYTHONWARNINGS": "ignore", "UVICORN_LOG_LEVEL": "warning"}
    environment = {**notes, **os.environ, **ours}
    command = [sys.executable, "-c", _SERVER, "ui", "--workers", "1", "--backend-store-uri", uri]
    command += ["--registry-store-uri", uri]  # else it says that it takes this one
    command += ["--host", host, "--port", str(found)]
    console.say(f"MLflow starts on {base} (Ctrl-C ends it)")
    if host not in ("127.0.0.1", "localhost", "::1") and "MLFLOW_SERVER_ALLOWED_HOSTS" not in os.environ:
        console.say(
            "MLflow answers to localhost and to private addresses; for another name set MLFLOW_SERVER_ALLOWED_HOSTS="
            f"NAME:{found} and MLFLOW_SERVER_CORS_ALLOWED_ORIGINS=http://NAME:{found}"
        )
    for text in links:
        console.say(text)
    sys.stdout.flush()
    # A session of its own: of the terminal's Ctrl-C its server would print tracebacks.
    with subprocess.Popen(  # noqa: S603
        command, env=environment, stdin=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            if open_page and _wait(base, process):
                webbrowser.open(links[0].rpartition(" ")[2] if links and "http" in links[0] else base)
            code = process.wait()
        except (KeyboardInterrupt, StopProcess):
            _end_server(process)
            raise
    raise UserError(  # also with code 0, as where another program took the port meanwhile
        f"MLflow's server on port {found} ended with exit code {code}; what it printed above says why: where that port "
        "is in use, name another with --port"
    )


def _end_server(process: subprocess.Popen[bytes]) -> None:
    """Stop a server and all processes that it started, and wait for their end."""
    try:
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(END_SECONDS)
    finally:  # also where a second signal ends the wait
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def refuse_broken(uri: str, results: Path) -> None:
    """Refuse a database that MLflow cannot open, before its server fails with pages of messages.

    Raises:
        UserError: It cannot, or there is none: MLflow would make an empty one, and its folder.
    """
    from gan_bench.tracking import server
    from gan_bench.tracking.database import check_database, database_file, probe, refused, says_broken
    from gan_bench.tracking.store import creation_lock

    server.configure()
    file = database_file(uri)
    if file is not None and not file.exists():
        raise UserError(f"{file.absolute()} does not exist; check --tracking-uri or $MLFLOW_TRACKING_URI")
    try:
        probe(uri)
        if file is not None:
            with contextlib.ExitStack() as stack:
                with contextlib.suppress(UserError):  # a read-only folder, or a stopped process that holds the lock
                    stack.enter_context(creation_lock(uri, results, LOCK_SECONDS))
                check_database(uri, file)
    except Exception as error:
        if file is not None and (why := refused(file, error)):
            raise UserError(why) from None
        remedy = server.hint(error) or (
            "; check MLflow's variables, or name another one with --tracking-uri" if file else "; check --tracking-uri"
        )
        if is_default(uri, results) and says_broken(error):
            named = shlex.quote(as_argument(results))
            remedy = f"; `gan-bench sync {named}` sets it aside and makes it again from the records"
        what = file or shown(uri)
        raise UserError(f"MLflow cannot open {what} ({server.describe_error(error, uri)}){remedy}") from None


def _free_port(host: str, port: int) -> int:
    """Return the first free port, starting at this one."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    except OSError as error:
        raise UserError(f"--host {host} is no address of this machine ({error.strerror})") from None
    for candidate in range(port, min(port + 50, 65536)):
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, candidate))
            except OSError:
                continue
            return candidate
    raise UserError(f"no port from {port} on is free on {host}; name another with --port")


def _links(uri: str, base: str) -> list[str]:
    """List the saved views of every experiment, leaderboards first."""
    from gan_bench.tracking.views import saved_views

    try:
        found = saved_views(uri, base)
    except Exception as error:  # the page says itself what is wrong with its database
        return [f"  its views are not known ({type(error).__name__})"]
    return [f"  {experiment}: {name}: {address}" for experiment, name, address in found]


def _wait(base: str, process: subprocess.Popen[bytes]) -> bool:
    """Wait until the page answers; False when its process ended or it takes too long."""
    over = time.monotonic() + WAIT_SECONDS
    while process.poll() is None and time.monotonic() < over:
        try:
            with urllib.request.urlopen(f"{base}/health", timeout=2):  # noqa: S310 - our own address
                return True
        except OSError:
            time.sleep(0.5)
    return False
