"""What was measured: trials as frames, settings, one study, its tables in every form."""
