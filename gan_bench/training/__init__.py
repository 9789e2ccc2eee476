"""Training of a pair of networks: the update, its state, the engines that repeat it."""
