"""Who carries trials out: this process or several, job after job, alone or in groups."""
