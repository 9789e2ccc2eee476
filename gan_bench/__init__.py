"""gan_bench trains the GANs of five tutorial articles in one harness, measures them and compares the settings."""

__version__ = "0.1.0"
