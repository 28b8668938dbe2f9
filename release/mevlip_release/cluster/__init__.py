"""Answering one input folder on many GPUs, with Ray."""
