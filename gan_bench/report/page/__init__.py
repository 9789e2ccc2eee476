"""The HTML page: plots, curves, sample grids, trial by trial."""
