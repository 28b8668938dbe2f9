"""Scripts and manifests that run the predictor on clusters and container engines."""
