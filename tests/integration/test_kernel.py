"""``gb.run`` in a real IPython kernel: Ctrl-C is the caller's, and the same call continues."""

from __future__ import annotations

import os

import pytest
from jupyter_client.manager import KernelManager
from support.commands import HANG, wait_for
from support.records import assert_whole, bits

import gan_bench as gb
from gan_bench.records.layout import RecordDirectory

PARTS = '''
"""A network whose steps wait, in the middle, from the first checkpoint on until a file is there."""
import os
import time
from pathlib import Path

import gan_bench as gb
from torch import nn


class Generator(nn.Sequential):
    def __init__(self, latent_dim):
        super().__init__(nn.Linear(latent_dim, 784), nn.Tanh(), nn.Unflatten(1, (1, 28, 28)))


class Discriminator(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 1), nn.Flatten(0))

    def forward(self, images):
        here = Path(os.environ["HERE"])
        while any(here.glob("results/*/*/checkpoint*")) and not (here / "go").exists():
            (here / "waits").touch()
            time.sleep(0.01)
        return super().forward(images)


gb.ARCHITECTURES.register("waits", gb.Architecture(
    description="waits", image_shape=(1, 28, 28), generator=Generator, discriminator=Discriminator))
'''
SUITE = """
suite: waits
version: 1
plugins: [./parts.py]
trials:
  - recipe: mnist-mlp-z100
    set: {architecture: waits, dataset: digits, epochs: 3, batch_size: 300}
seeds: [0, 1]
evaluate: {epochs: [3], samples: 64}
"""


@pytest.fixture
def here(tmp_path):
    (tmp_path / "parts.py").write_text(PARTS)
    (tmp_path / "waits.yaml").write_text(SUITE)
    return tmp_path


@pytest.fixture
def kernel(here):
    """A kernel with its client, in the folder of the suite."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(here), env={**os.environ, "HERE": str(here), "IPYTHONDIR": str(here / "ipython")})
    client = manager.blocking_client()
    client.start_channels()
    client.wait_for_ready(timeout=HANG)
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def ask(client, code):
    return reply_to(client, client.execute(code))


def reply_to(client, asked):
    """Wait for the reply to a request. A slow kernel answers later what ``wait_for_ready`` asked it, more than once."""
    while True:
        message = client.get_shell_msg(timeout=HANG)
        if message["parent_header"]["msg_id"] == asked:
            return message["content"]


def shown_by(client):
    """Return what a kernel has displayed or printed."""
    shown = []
    while client.iopub_channel.msg_ready():
        message = client.get_iopub_msg()
        shown += [message["content"]] if message["msg_type"] in ("display_data", "stream") else []
    return shown


OPTIONS = "profile='full', executor={executor!r}, workers=2, allow_plugins=True"
CALL = f"made = gb.run('waits.yaml', results='results', {OPTIONS})"
CHECK = "handlers == [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]"


@pytest.mark.ci
@pytest.mark.parametrize("executor", ["inline", pytest.param("processes", marks=pytest.mark.slow)])
def test_an_interrupt_reaches_the_caller_and_the_same_call_continues(here, kernel, executor, monkeypatch):
    manager, client = kernel
    call = CALL.format(executor=executor)
    begin = "import signal, gan_bench as gb\nhandlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]"
    assert ask(client, begin)["status"] == "ok"
    asked = client.execute(call, stop_on_error=False)  # else the kernel drops what comes soon after the interrupt
    wait_for(lambda: (here / "waits").exists() or client.shell_channel.msg_ready())
    assert (here / "waits").exists(), reply_to(client, asked)
    manager.interrupt_kernel()
    if executor == "processes":  # their steps cannot be interrupted; they save a checkpoint after the one under way
        (here / "go").touch()
    reply = reply_to(client, asked)
    assert (reply["status"], reply.get("ename")) == ("error", "KeyboardInterrupt")
    (here / "go").touch()
    assert list(here.glob("results/*/*/checkpoint*")), "what was trained before is kept"

    assert manager.is_alive()
    assert ask(client, f"assert {CHECK}")["status"] == "ok"
    while client.iopub_channel.msg_ready():
        client.get_iopub_msg()
    again = ask(client, f"{call}\nassert made.exit_code == 0 and {CHECK}")
    assert again["status"] == "ok", again
    assert not shown_by(client), "a call is quiet"
    assert_whole(here / "results")

    monkeypatch.setenv("HERE", str(here))
    alone = here / "alone"
    gb.run(here / "waits.yaml", results=alone, profile="full", executor=executor, workers=2, allow_plugins=True)
    for path in sorted(alone.glob("*/*/trial.json")):
        other = here / "results" / path.relative_to(alone)
        assert bits(RecordDirectory(other.parent)) == bits(RecordDirectory(path.parent))
