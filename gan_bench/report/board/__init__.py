"""A static board of published folders: settings of several machines side by side, with audits."""
