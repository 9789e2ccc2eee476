"""``python -m gan_bench.report RESULTS``: the same as ``gan-bench report RESULTS``."""

import sys

from gan_bench.__main__ import main

main(["report", *sys.argv[1:]])
