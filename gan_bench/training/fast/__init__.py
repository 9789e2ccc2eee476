"""The same update in less time, one trick a module."""
