"""The same update in less time, one optimisation per module."""
