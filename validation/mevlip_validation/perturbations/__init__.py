"""Forty perturbations of pictures, their severity, and where boxes go.

`perturbed.perturb` is the way in: a picture, a perturbation and a level to a `Perturbed`. It needs the extra `robust`.
"""
