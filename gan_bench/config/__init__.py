"""What is trained: recipes, trials, suites and the names of measures. No torch."""
