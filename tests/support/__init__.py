"""What several test modules share."""

import os

for _name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "PYTHONWARNINGS"):
    # Lines of commands end nowhere, however narrow and coloured the terminal is that tests start from; and libraries of
    # others may warn when they are imported.
    os.environ.pop(_name, None)
