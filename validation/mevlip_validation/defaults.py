"""Defaults of the bootstrap, in a module of its own because the commands' help needs them without NumPy."""

RESAMPLES = 1000
"""Number of bootstrap resamples."""
SEED = 2025
"""Random seed."""
