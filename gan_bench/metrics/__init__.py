"""How generated images are scored: extractors, distances, reference statistics."""
