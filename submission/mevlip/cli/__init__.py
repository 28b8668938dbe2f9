"""The `mevlip` command."""
