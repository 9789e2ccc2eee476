"""Records in; tables out. Needs neither torch nor mlflow."""
