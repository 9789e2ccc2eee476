"""What follows from a study: comparisons that count the noise, leaders, factors, the answer."""
