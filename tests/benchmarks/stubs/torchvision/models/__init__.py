"""The families of models that zennit knows by class."""
