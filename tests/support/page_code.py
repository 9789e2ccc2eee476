"""Python code as it runs on a page of the documentation: ``gb.run`` trains few trials for one epoch on little data."""

import runpy
from functools import partial

import gan_bench

few = {"epochs": 1, "train_limit": 200, "samples": 64, "tracking": False}
gan_bench.run = partial(gan_bench.run, **few)
runpy.run_module("support.code", run_name="__main__", alter_sys=True)
