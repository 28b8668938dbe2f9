"""Defaults and choices of the commands, in a module of its own because their help needs them without NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mevlip.routing.policy import Routing

RESAMPLES = 1000
"""Number of bootstrap resamples."""
SEED = 2025
"""Random seed."""
REFERENCE = "macro"
"""The protocol by which models are compared: gains, ablations and ranks are under it."""
SYSTEMS: Mapping[str, Routing] = MappingProxyType({"base": "none", "multi_task": "generalist", "routed": "router"})
"""What can be put to a test of robustness: the base without an adapter, the generalist, and the task's own adapter."""
LEVELS = (1, 2, 3, 4, 5)
"""Severities of a perturbation, weakest first; 0 is the clean picture."""
CLEAN = "clean"
"""Stands where a perturbation's name would, at level 0."""
