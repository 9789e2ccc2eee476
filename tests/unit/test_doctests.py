"""The examples in docstrings work."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = ("gan_bench.execution.workers.inline", "gan_bench.report.findings.tuning", "gan_bench.api")


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted
    assert not found.failed
