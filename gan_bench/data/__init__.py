"""Datasets as uint8 tensors, and the files they come from."""
