"""The way of one trial: its claim, its run, what it writes and says."""
