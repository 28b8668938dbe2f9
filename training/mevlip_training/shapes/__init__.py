"""Checkpoints of a wanted shape with untrained weights: InternVL3's true one, and a thin one with its true vocabulary.

They answer nothing of use. They exist because some faults only show at the real vocabulary, tile size and number of
parameters, where the real weights are not at hand.
"""
