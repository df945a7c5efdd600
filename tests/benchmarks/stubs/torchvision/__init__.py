"""Stands in for torchvision, of which zennit and zennit-crp import names that no benchmark uses."""
