"""Python code in a process that can be forked: ``python -m support.code TEXT ARGUMENTS...`` is ``python -c``."""

import sys

del sys.argv[0]
exec(compile(sys.argv[0], "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102
