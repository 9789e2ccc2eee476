"""Two results folders, or the settings of both."""
