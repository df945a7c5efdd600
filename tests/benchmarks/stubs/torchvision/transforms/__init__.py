"""Names that zennit-crp imports."""
