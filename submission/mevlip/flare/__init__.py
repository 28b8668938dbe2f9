"""The challenge's files: question lists, images and predictions."""
