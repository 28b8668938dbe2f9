"""Defaults of the commands, in a module of its own because their help needs them without NumPy."""

RESAMPLES = 1000
"""Number of bootstrap resamples."""
SEED = 2025
"""Random seed."""
REFERENCE = "macro"
"""The protocol by which models are compared: gains, ablations and ranks are under it."""
