"""``mlflow`` whose server is this process, and none that it starts: ``python -m support.mlflow_server WORDS...``.

A fork has what a server imports, so that it answers within a second or two.
"""

import os
import runpy
import sys
import warnings

import uvicorn
from mlflow import server

_start = server._exec_cmd


def _serve(command, extra_env, **options):
    """Stand for the start of ``python -m uvicorn``, where there is one worker."""
    if command[1:3] != ["-m", "uvicorn"] or command[command.index("--workers") + 1] != "1":
        return _start(command, extra_env=extra_env, **options)
    os.environ.update(extra_env)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what libraries say of each other
        return uvicorn.main(command[3:])


server._exec_cmd = _serve
sys.argv[0] = "mlflow"
runpy.run_module("mlflow", run_name="__main__", alter_sys=True)
