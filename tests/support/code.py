"""Python code in a process of its own: ``python -m support.code TEXT ARGUMENTS...`` is ``python -c``, and can be forked."""

import sys

del sys.argv[0]
exec(compile(sys.argv[0], "<string>", "exec"), {"__name__": "__main__"})
