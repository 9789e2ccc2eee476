"""The command in ``audit.json``: what is typed from it is the same audit."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import torch
from typer.main import get_command

from gan_bench.audit.plan import AuditOptions
from gan_bench.cli.app import app
from gan_bench.core.text import seconds_of


@pytest.mark.parametrize(
    ("name", "budget"), [("-x", 2e6), ("a b", 1_234_567.0), ("results", 0.00004), ("results", 90.5), ("results", 60.0)]
)
def test_the_command_of_an_audit_can_be_typed(tmp_path, name, budget):
    """Seconds were written as no duration is, and a folder as an option."""
    options = AuditOptions(
        results=tmp_path / name, data=None, device=torch.device("cpu"), nonce="-n", levels=("begun",), budget=budget,
        only="-lr 2e-4", further=2, allow_plugins=True,
    )  # fmt: skip
    words = shlex.split(options.command())
    context = get_command(app).commands["audit"].make_context("audit", words[2:])
    assert context.params["results"] == Path(name)
    assert seconds_of(context.params["budget"], "--budget") == budget
    assert (context.params["nonce"], context.params["only"]) == ("-n", "-lr 2e-4")
    assert context.params["further"] == 2
