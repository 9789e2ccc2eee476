"""A package outside gan_bench with one part of each kind."""
