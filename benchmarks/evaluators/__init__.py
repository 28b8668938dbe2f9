"""Oracles of two public evaluators, and a fuzz that compares this package's scores with theirs.

`flare25` and `flare26` score whole files as the public evaluators of FLARE 2025 and 2026 do. They restate their rules
in plain loops and import nothing of `mevlip_validation`, so that where both agree, two independent readings of
the rules agree. `python -m benchmarks.evaluators` compares them on small random files.
"""

from __future__ import annotations


class Undefined(Exception):
    """The evaluator gives no score that could be compared: it stops with an error, or the score depends on chance."""
