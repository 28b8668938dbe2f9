"""Checkpoint folders: their manifest, their routes, and the proof that nothing in them was altered."""
