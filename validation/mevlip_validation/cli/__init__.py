"""Commands of the validation package, one file each; pyproject.toml announces them."""
