"""FLARE trees in; audited, split and counted FLARE trees or LLaMA-Factory data out."""
