"""Measurements: trials as frames, settings, one study, its tables in every format."""
