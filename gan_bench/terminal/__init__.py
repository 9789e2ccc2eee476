"""What people see of a run: the console, its progress, the tables."""
