"""Generators, discriminators, their losses and initial weights."""
