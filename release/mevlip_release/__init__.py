"""What becomes of a checkpoint: an image that organisers run, an archive that is uploaded, a zip of predictions."""
