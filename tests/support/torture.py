"""Run a suite again and again, killing it with SIGKILL, until it has been killed often enough; then let it finish.

    python torture.py SUITE RESULTS SEED KILLS TRACKED GROUP

Every run is a fork of this process, which has loaded everything and computed nothing, so that a run costs a second and
not ten. A run is killed at a file operation below RESULTS, the n-th one, or after a time; which, is drawn from SEED.
Prints where it struck as JSON.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

import torch

from gan_bench import bench
from gan_bench.config.trial import Trial
from gan_bench.execution.preflight.estimate import Pace, TimeEstimate
from gan_bench.execution.trial import checkpoints
from gan_bench.execution.workers.job import shape_key
from gan_bench.run_options import RunOptions
from gan_bench.terminal.console import console
from gan_bench.terminal.run_suite import run_suite

torch.set_num_threads(1)  # a fork does not take thread pools along
PLACES = {"": 45, "checkpoint": 12, "history": 20, "evaluations": 4, "epoch-": 6}
"""Part of a file's name, and how many operations on such files a death may wait for."""
KINDS = ("time", *PLACES, "two names", "time", "")
"""What decides each death in turn."""
LONGEST = 2.5


def options(suite: Path, results: Path, seeds: tuple[int, ...], *, tracked: bool) -> RunOptions:
    return RunOptions(
        suite, results=results, device="cpu", profile="quick", seeds=seeds, executor="inline", tracking=tracked
    )


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(results: Path, where: Path, kind: str, draw: random.Random) -> None:
    """Choose the instant of death.

    Args:
        results: Where operations on files count.
        where: Is told what was about to happen.
        kind: ``time``, ``two names`` (when both checkpoints are names of one file), or a part of a file's name.
        draw: How long, or how many operations.
    """
    if kind == "time":
        seconds = draw.uniform(0.05, LONGEST)

        def later() -> None:
            time.sleep(seconds)
            where.write_text("time")
            die()

        threading.Thread(target=later, daemon=True).start()
        return
    left = [draw.randrange(1, PLACES.get(kind, 3))]
    renamed = [kind != "two names"]

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event not in ("open", "os.rename", "os.remove", "os.link", "os.truncate", "os.utime"):
            return
        names = [str(a) for a in arguments[:2] if isinstance(a, (str, os.PathLike))]
        mine = [name for name in names if name.startswith(str(results)) and "/." not in name.rsplit("/", 1)[0]]
        if not mine or not left[0]:
            return
        name = Path(mine[-1]).name
        if not renamed[0]:
            renamed[0] = event == "os.rename" and name == "checkpoint.pt.previous"
            return
        if ("checkpoint" if kind == "two names" else kind) not in name:
            return
        left[0] -= 1
        if not left[0]:
            where.write_text(f"{event} {name}")
            die()

    sys.addaudithook(hook)


def run(
    suite: Path, results: Path, seeds: tuple[int, ...], tracked: bool, fatal: tuple[str, random.Random] | None
) -> str | None:
    """Run the suite in a fork; return where it was killed, or None when it came to its end."""
    where = results.parent / "where"
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            if fatal:
                arm(results, where, *fatal)
            with Path(os.devnull).open("w") as null:
                code = run_suite(options(suite, results, seeds, tracked=tracked), console(file=null))
        except BaseException:
            traceback.print_exc()
        os._exit(code)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return where.read_text()
    assert os.WEXITSTATUS(status) == 0, f"the suite ended with {os.WEXITSTATUS(status)}"
    return None


def main() -> None:
    suite, results, seed, kills, tracked, group = Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:7])

    def expected(trials: list[Trial], **_: object) -> TimeEstimate:  # the estimate is not what is tortured
        return TimeEstimate(0.0, {shape_key(trial.config): Pace(group) for trial in trials})

    bench.estimate = expected
    checkpoints.CHECKPOINT_SHARE = 5  # more checkpoints than a run would write
    results.mkdir(parents=True, exist_ok=True)
    struck: list[str] = []
    rounds = 0
    while len(struck) < kills:  # a new seed of the trials whenever everything is done
        rounds += 1
        while len(struck) < kills:
            follow = bool(tracked) and len(struck) % tracked == tracked - 1
            kind = KINDS[len(struck) % len(KINDS)]
            draw = random.Random(f"{seed}/{len(struck)}/{rounds}")
            place = run(suite, results, (rounds,), follow, (kind, draw))
            if place is None:
                break
            struck.append(place)
    for each in range(1, rounds + 1):
        assert run(suite, results, (each,), False, None) is None
    sys.stdout.write(json.dumps({"struck": struck, "seeds": rounds}) + "\n")


if __name__ == "__main__":
    main()
