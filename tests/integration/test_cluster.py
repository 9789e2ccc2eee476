"""Ray clusters whose nodes, processes and drivers are lost: every trial is done, with the bits of one process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from support import warm
from support.clusters import LocalCluster, can_stand_alone, kill_all
from support.commands import HANG, gan_bench, wait_for
from support.records import assert_whole, bits

from gan_bench.records.layout import RecordDirectory

EPOCHS = 50
SUITE = f"""\
suite: far
version: 1
trials:
  - recipe: mnist-mlp-z100
    set: {{dataset: digits, epochs: {EPOCHS}, log_every: 4}}
seeds: [0, 1, 2]
evaluate: {{samples: 64, epochs: [{EPOCHS // 2}, {EPOCHS}], extractors: [lenet-mnist-v1]}}
"""
ENVIRONMENT = {**os.environ, "RAY_AUTH_MODE": "disabled", "OMP_NUM_THREADS": "1"}


pytestmark = [pytest.mark.ray, pytest.mark.starts_children]


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    path = tmp_path_factory.mktemp("suite") / "far.yaml"
    path.write_text(SUITE)
    return path


@pytest.fixture(scope="module")
def undisturbed(suite, tmp_path_factory):
    """What one process makes of the suite, on one thread as the tasks of a cluster have."""
    results = tmp_path_factory.mktemp("inline") / "results"
    done = gan_bench("run", suite, "--results", results, "--no-tracking", "--executor", "inline", env=ENVIRONMENT)
    assert done.returncode == 0, done.stdout + done.stderr
    return results


@pytest.fixture(scope="module")
def head():
    made = LocalCluster()
    yield made
    made.close()


@pytest.fixture
def cluster(head):
    yield head
    head.clear()


@pytest.fixture
def start(cluster, suite, tmp_path):
    """Starts drivers, and kills what a failed test leaves of them."""
    started = []

    def begin(*arguments, program=(sys.executable, "-m", "gan_bench")):
        command = [*program, "run", str(suite), "--results", str(tmp_path / "results")]
        command += ["--no-tracking", "--executor", "ray", "--ray-address", cluster.address, *arguments]
        path = tmp_path / f"out-{len(started)}"
        with path.open("w") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out, env=ENVIRONMENT, start_new_session=True)
        process.said = path.read_text
        started.append(process)
        return process

    yield begin
    for process in started:
        kill_all(process)


def pids(results):
    """The processes that own trials now, by trial."""
    found = {}
    for path in results.glob("*/.locks/????????.owner"):
        try:
            found[path.stem] = json.loads(path.read_text())["pid"]
        except (OSError, ValueError):
            continue
    return found


def ends(results):
    return [json.loads(path.read_text())["status"] for path in results.glob("*/*/record.json")]


def assert_same(results, undisturbed):
    assert_whole(results)
    for path in undisturbed.glob("*/*--*"):
        assert bits(RecordDirectory(results / path.relative_to(undisturbed))) == bits(RecordDirectory(path))


def at_a_time(said):
    """Count how many trials ran at the same time, at most, as long as nothing was lost."""
    running, most = set(), 0
    for line in said.splitlines():
        if line.startswith("["):
            running.add(line.partition("] ")[2].partition(":")[0])
        elif ": done after" in line or ": interrupted after" in line:
            running.discard(line.strip().partition(":")[0])
        most = max(most, len(running))
    return most


def checkpoints(results):
    return list(results.glob("*/*/checkpoint.pt"))


@pytest.mark.slow
def test_lost_processes_nodes_and_drivers_cost_no_trial(cluster, start, tmp_path, undisturbed):
    results = tmp_path / "results"
    nodes = [cluster.add(), cluster.add()]
    first = start()
    wait_for(lambda: len(checkpoints(results)) == 2, first)
    wait_for(lambda: at_a_time(first.said()) == 2, first)  # nodes write records before the driver hears of them
    gone = pids(results).values()
    kill_all(first)
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in gone))  # noqa: PTH110
    assert ends(results) == []

    second = start()
    wait_for(lambda: second.said().count("resumed after epoch") == 2, second)
    victim = max(pids(results).values())
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: second.said().count("resumed after epoch") == 3, second)
    cluster.lose(nodes.pop())
    assert second.wait(timeout=HANG) == 0, second.said()
    said = second.said()
    assert "2 nodes" not in said.splitlines()[0]
    assert "3 nodes; 2 trials at a time" in said
    assert sorted(ends(results)) == ["done"] * 3
    assert len(list(results.glob(".*shared*"))) == 1  # of the killed driver, which a run of another day removes
    assert_same(results, undisturbed)


@pytest.mark.slow
@pytest.mark.skipif(not can_stand_alone(), reason="this system lets nobody unshare its mounts")
@pytest.mark.parametrize("is_late", [False, True])
def test_a_node_that_does_not_see_the_results_folder_is_named(cluster, start, tmp_path, is_late):
    """Its trials' records would lie on that machine alone, and nobody would report them."""
    results = tmp_path / "results"
    cluster.add()
    if is_late:
        first = start()
        wait_for(lambda: checkpoints(results), first)
        cluster.add_apart(results)
    else:
        cluster.add_apart(results)
        first = start()
    assert first.wait(timeout=HANG) == 2, first.said()
    assert f"does not see the results folder {results}; mount it on every node" in first.said()
    assert is_late == ("the same command continues" in first.said())
    assert "failed" not in ends(results)


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["full profile", "[2/3]"])
def test_a_signal_to_a_driver_and_its_cluster_ends_all_of_it(suite, tmp_path, phase):
    """As Slurm, systemd and containers send it: to every process, so that parts of the cluster are gone at once.

    The driver used to die of it and leave its cluster to itself for a minute, or to wait as long for what was gone.
    """
    command = [sys.executable, "-m", "gan_bench", "run", str(suite), "--results", str(tmp_path / "results")]
    path = tmp_path / "out"
    with path.open("w") as out:
        process = subprocess.Popen(
            [*command, "--no-tracking", "--executor", "ray", "--ray-address", "local"],  # no cluster of another test
            stdout=out,
            stderr=out,
            env=ENVIRONMENT,
            start_new_session=True,
        )
    wait_for(lambda: phase in path.read_text(), process)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(timeout=HANG) == 130, path.read_text()
    announced = "within 5 s" if phase == "full profile" else "within 30 s"
    assert announced in path.read_text()
    wait_for(lambda: not group_of(process.pid))
    again = gan_bench(
        "run", suite, "--results", tmp_path / "results", "--no-tracking", "--executor", "inline", env=ENVIRONMENT
    )
    assert again.returncode == 0, again.stdout + again.stderr
    assert_whole(tmp_path / "results")


def group_of(group):
    """The processes of a group that live."""
    found = subprocess.run(["ps", "-A", "-o", "pgid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=2) for line in found.splitlines()]
    return [row for row in rows if row[0] == str(group) and not row[1].startswith("Z")]


@pytest.mark.ci
def test_what_a_cluster_cannot_do_is_said_at_once(cluster, start):
    """The head has no GPU. The node says that it has one, and torch sees none there, which the head cannot know."""
    cluster.add(num_gpus=1)
    process = start(program=warm.command("gan_bench"))
    assert process.wait(timeout=HANG) == 2, process.said()
    assert "torch sees no CUDA device" in process.said()
