"""Measurements against named baselines, run by hand; no test depends on a clock."""
