"""Who carries trials out: executors, workers, the scheduler, and one trial's run."""
