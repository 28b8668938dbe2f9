"""The demo: a synthetic FLARE-like data set and the small checkpoint made from it."""
