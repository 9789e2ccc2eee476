"""``gan-bench`` as it runs on a page of the documentation: on little data, for one epoch, without tracking."""

import sys

from typer.main import get_command

from gan_bench.cli.app import app, main

FEW = {"mlp": "*mlp-z100*,seed=[01]", "dcgan": "*dcgan,seed=0"}
"""Fewer trials than what pages choose with ``--only``."""

words = sys.argv[1:]
if words[0] == "ui" or "ray" in words:  # a server, a cluster: they have tests of their own
    get_command(app).commands[words[0]].make_context(words[0], words[1:])
    sys.exit()
if words[0] == "run":
    words += ["--epochs", "1", "--train-limit", "200", "--samples", "64", "--no-tracking"]
    if not words[1].endswith(".yaml") and "--only" not in words:
        words += ["--only", "mlp"]
    words = [FEW.get(word, word) for word in words]
    if "--executor" not in words:
        words += ["--executor", "inline"]
main(words)
