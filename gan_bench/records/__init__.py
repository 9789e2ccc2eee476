"""Records: what a trial leaves on disk. No torch, no mlflow."""
