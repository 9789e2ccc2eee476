"""A static board of published folders: settings of several machines side by side, and what auditors say of them."""
