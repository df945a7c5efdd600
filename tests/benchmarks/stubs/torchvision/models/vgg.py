"""VGG, as a name."""


class VGG:
    """No model is of this class."""
