"""What follows from a study: comparisons that count the noise, standings, factors, the answer."""
