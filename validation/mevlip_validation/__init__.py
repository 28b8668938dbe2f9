"""What a team runs before it uploads; never in the image."""
