"""Findings of a study: comparisons with noise, standings, factors, the answer."""
