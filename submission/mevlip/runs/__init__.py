"""A run over an input folder, and what stands around it: settings, journal, explanations, doctor."""
