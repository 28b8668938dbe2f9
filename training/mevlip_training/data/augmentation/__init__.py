"""Further training rows from those that there are: one module for each kind, in `kinds/`."""
