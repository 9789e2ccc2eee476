"""``python -m gan_bench``: the command line."""

from gan_bench.cli import main

main()
