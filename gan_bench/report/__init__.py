"""Records in; tables, plots and one HTML page out. Needs neither torch nor mlflow."""
