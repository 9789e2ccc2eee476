"""Several trials that take their steps together."""
