"""What everything else stands on: errors, atomic files, registries, canonical text. Standard library only."""
