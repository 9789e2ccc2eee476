"""Servers for tests: MLflow's own, and PostgreSQL, each with a port and a folder of its own."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from support import warm
from support.commands import wait_for
from support.needs import postgres_program

QUIET = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _paths():
    """Return where Python finds ``support``, as a variable, for a process that is not forked."""
    return os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]))


@contextlib.contextmanager
def mlflow_server(folder, *, backend=None, port=None, arguments=(), environment=None):
    """Run a tracking server, MLflow's own program in a forked process.

    Yields:
        Its address.
    """
    port = port or free_port()
    folder.mkdir(parents=True, exist_ok=True)
    if not backend:
        backend = f"sqlite:///{folder / 'server.db'}"
        warm.copy_database(folder / "server.db")
    command = [
        *warm.command("support.mlflow_server"), "server", "--workers", "1", "--host", "127.0.0.1", "--port", str(port),
        "--backend-store-uri", backend, "--artifacts-destination", str(folder / "artifacts"), *arguments,
    ]  # fmt: skip
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            cwd=folder,
            env={**os.environ, **QUIET, "PYTHONPATH": _paths(), **(environment or {})},
        )
    try:
        wait_for(lambda: listens(port) or process.poll() is not None)
        assert process.poll() is None, (folder / "server.log").read_text()[-2000:]
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()  # and the forked one with it
        process.wait()


@contextlib.contextmanager
def postgres():
    """Run PostgreSQL in a folder of its own.

    Yields:
        The location of an empty database.
    """
    initdb, program = postgres_program("initdb"), postgres_program("postgres")
    port, data = free_port(), Path(tempfile.mkdtemp(prefix="gan_bench-pg-"))
    as_other = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root, and others may not enter pytest's folders
        as_other = ["runuser", "-u", "postgres", "--"]
        shutil.chown(data, "postgres", "postgres")
    subprocess.run(
        [*as_other, initdb, "-D", str(data), "-A", "trust", "-U", "postgres"], check=True, capture_output=True
    )
    command = [*as_other, program, "-D", str(data), "-p", str(port), "-c", "listen_addresses=127.0.0.1",
               "-c", f"unix_socket_directories={data}", "-c", "fsync=off"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_for(lambda: listens(port))
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)  # a fast shutdown
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(data, ignore_errors=True)


@contextlib.contextmanager
def proxy(uri, spoil):
    """Stand before a server as a network that fails does.

    Args:
        uri: The server's address.
        spoil: Called with the path of a request and how many of that path have come. It may wait; where it answers
            "lose", the request is carried out and its answer lost; a number is a status that is answered at once.

    Yields:
        The proxy's address.
    """
    seen, there = Counter(), urlsplit(uri)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            """Say nothing."""

        def pass_on(self):
            with contextlib.suppress(OSError):  # a side is gone
                self.carry()

        def carry(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = urlsplit(self.path).path
            seen[path] += 1
            how = spoil(path, seen[path])
            if isinstance(how, int):
                self.answer(how, b"", {"Retry-After": "3600"})
                return
            with contextlib.closing(http.client.HTTPConnection(there.hostname, there.port)) as connection:
                connection.request(self.command, self.path, body, dict(self.headers))
                found = connection.getresponse()
                content = found.read()
            if how == "lose":
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.answer(found.status, content, {"Content-Type": found.getheader("Content-Type", "")})

        def answer(self, status, content, headers):
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on  # noqa: N815 - names of http.server

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
