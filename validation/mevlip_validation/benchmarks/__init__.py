"""Published benchmarks as FLARE input folders: one module for each layout, in `layouts/`."""
