"""Execution of trials: executors, workers, and the run of one trial."""
