"""How a pair of networks is trained: the update, its state, the engines that repeat it."""
