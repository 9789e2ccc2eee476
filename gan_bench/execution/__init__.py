"""Who carries trials out: executors, workers, and one trial's run."""
