"""ResNet's blocks, as names."""


class Bottleneck:
    """No block is of this class."""


class BasicBlock:
    """No block is of this class."""
