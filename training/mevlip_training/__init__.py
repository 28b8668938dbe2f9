"""From FLARE data to a checkpoint; never in the image."""
