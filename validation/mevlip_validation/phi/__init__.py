"""Finding what may identify a patient in files, before they are shared."""
