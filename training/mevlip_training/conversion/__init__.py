"""From InternVL's original layout to the one that transformers loads without code from the model's folder."""
