"""gan_bench trains the GANs of five tutorials under one roof, measures them and compares the settings."""

__version__ = "0.1.0"
