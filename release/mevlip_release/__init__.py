"""What becomes of a checkpoint: an image that organizers run, an archive that is uploaded, a zip of predictions."""
