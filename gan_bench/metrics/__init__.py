"""What pictures are scored with: distances between feature distributions, and feature extractors."""
