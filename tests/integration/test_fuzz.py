"""A few inputs of every kind; ``python tests/fuzz.py --seconds 3600`` does an hour of them."""

from __future__ import annotations

import json
import os

import pytest
from support.commands import python_module
from support.needs import SLOW

pytestmark = [pytest.mark.draws_pages, pytest.mark.draws_plots]


@pytest.mark.parametrize(("target", "inputs"), [("suites", 150), ("records", 5), ("commands", 10), ("images", 50)])
def test_no_input_gives_a_traceback(tmp_path, target, inputs):
    """Three times as many at night."""
    inputs *= 3 if SLOW else 1
    environment = {**os.environ, "GAN_BENCH_CACHE": str(tmp_path)}
    done = python_module("fuzz", "--inputs", inputs, "--target", target, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {target: {"inputs": inputs, "tracebacks": 0}}
