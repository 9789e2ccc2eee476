"""What everything else stands on: errors, atomic files, registries, canonical text. Standard library only."""

__version__ = "0.1.0"
"""The version of the package; a test compares it with pyproject.toml."""
