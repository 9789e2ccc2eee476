"""The contract of every kind of part, for those that gan_bench ships and for a user's own."""
