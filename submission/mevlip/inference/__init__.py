"""Prompts and images in, text out: batching, decoding, the model."""
