"""Turns a checkpoint into a release: the Docker image, the archive to upload, and a zip of predictions."""
