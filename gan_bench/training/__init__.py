"""The update, the engines that execute it, and the state they carry."""
