"""The kinds of synthesized rows; each module registers its own."""
