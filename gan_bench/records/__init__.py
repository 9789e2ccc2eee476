"""What a trial leaves on disk: the truth about it. No torch, no mlflow."""
