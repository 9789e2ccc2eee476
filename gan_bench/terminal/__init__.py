"""The terminal output of a run: console, progress, tables."""
