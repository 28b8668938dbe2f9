"""The offline predictor: a FLARE input folder goes in, a complete predictions.json comes out."""

__version__ = "0.1.0"
