"""The perturbations, by kind of picture. A module here is found by being there."""
