"""Breaking runs on purpose; see `__main__`."""
