"""captum: relevance by hooks that change gradients, with one rule for every layer."""

import torch
from captum.attr import LRP
from captum.attr._utils.lrp_rules import EpsilonRule
from networks import torch_network
from torch import nn


def epsilon_lrp(model, x, neurons, epsilon=1e-6):
    """A function that explains `neurons` of the images `x` with the epsilon rule in every layer."""
    network = torch_network(model)
    linear = [module for module in network if not isinstance(module, nn.ReLU)]
    analyzer = LRP(network)
    images, targets = torch.from_numpy(x), torch.from_numpy(neurons)

    def explain():
        for module in linear:
            module.rule = EpsilonRule(epsilon)  # every time: captum takes the rules off again
        return analyzer.attribute(images.clone().requires_grad_(), target=targets).detach().numpy()

    return explain
