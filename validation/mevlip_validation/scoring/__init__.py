"""Scores of predictions against the truth."""

RESAMPLES = 1000
"""Drawings of a bootstrap."""
SEED = 2025
"""Its seed."""
