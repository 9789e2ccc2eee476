"""Before a suite runs: what would stop it, what it costs and where it goes."""
