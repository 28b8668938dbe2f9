"""Recipes: what a team decides for each adapter, in one YAML file, and four that come with the package."""
