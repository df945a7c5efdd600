"""What zennit-crp imports to draw pictures."""


def gaussian_blur(image, kernel_size, sigma=None):
    """Only torchvision itself can."""
    raise NotImplementedError("install torchvision")
