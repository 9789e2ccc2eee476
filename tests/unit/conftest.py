"""Tests of this folder stay small: they start no browser, no LaTeX and no worker."""

from __future__ import annotations

import subprocess

import pytest

_BELONG_TO_INTEGRATION = ("chrom", "pdflatex", "gan_bench.execution.workers.worker", "gan_bench.tracking", "mlflow")


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """Fail a test that starts what only tests/integration may."""
    start = subprocess.Popen.__init__

    def checked(self, arguments, *others, **options):
        words = [arguments] if isinstance(arguments, str) else list(map(str, arguments))
        for word in words[:3]:
            assert not word.startswith(_BELONG_TO_INTEGRATION), f"{word} is started; this belongs to tests/integration"
        start(self, arguments, *others, **options)

    monkeypatch.setattr(subprocess.Popen, "__init__", checked)
