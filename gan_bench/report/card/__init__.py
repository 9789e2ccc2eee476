"""A model card of one setting."""
