"""Which adapter answers a question."""
