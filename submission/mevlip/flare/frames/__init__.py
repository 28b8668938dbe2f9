"""From one image file to its frames: pages, slices or moments, as 8-bit RGB pictures."""
