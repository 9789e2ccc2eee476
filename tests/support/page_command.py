"""``gan-bench`` as it runs on a page of the documentation: on little data, for one epoch, without tracking."""

import os
import sys

from typer.main import get_command

from gan_bench.cli.app import app, main
from gan_bench.data import datasets
from gan_bench.metrics import reference

FEW = {"mlp": "*mlp-z100*,seed=[01]", "dcgan": "*dcgan,seed=0"}
"""Fewer trials than what pages choose with ``--only``."""
SWEPT = {"mnist": "*mlp-z100,seed=[01]", "quickstart": "*lr=0.001,*seed=[01]"}
"""Fewer still of suites that sweep a setting."""

_of_all = reference.compute


def _of_few(images, held_out, *more):
    """Stand for the statistics of all real images: those of MNIST's 60,000 take ten seconds."""
    return _of_all(images[:2000], None if held_out is None else held_out[:500], *more)


_whole = datasets.read_split


def _beginning(dataset, folder, split):
    """Stand for all images of a split: MNIST's 60,000 are brought to their size and digested by every command."""
    images, labels = _whole(dataset, folder, split)
    return images[:4000], labels if labels is None else labels[:4000]


reference.compute = _of_few
datasets.read_split = _beginning
os.environ["GAN_BENCH_CACHE"] = f"{os.environ['GAN_BENCH_TEMPLATES']}/of-few"  # nobody takes them for those of all
words = sys.argv[1:]
if words[0] == "ui" or "ray" in words:  # a server, a cluster: they have tests of their own
    get_command(app).commands[words[0]].make_context(words[0], words[1:])
    sys.exit()
if words[0] == "run":
    words += ["--epochs", "1", "--train-limit", "200", "--samples", "64", "--no-tracking"]
    if not words[1].endswith(".yaml") and "--only" not in words:
        words += ["--only", "mlp"]
    few = {**FEW, **({"mlp": SWEPT[words[1]]} if words[1] in SWEPT and "--set" not in words else {})}
    words = [few.get(word, word) for word in words]
    if "--executor" not in words:
        words += ["--executor", "inline"]
main(words)
