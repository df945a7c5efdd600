"""The same work done by refcrp and by a peer, as two functions to time."""

import tempfile
from pathlib import Path

import networks
import numpy as np
from timing import Pair

import refcrp as rc

# Networks -----------------------------------------------------------------------------------------------------


def lenet_inputs(batch):
    """LeNet-5, digits, and what they show."""
    return networks.lenet5(), *networks.digits(batch)


def vgg_inputs(batch=1):
    """VGG-16, images, and their highest outputs, which both sides are then told to explain."""
    model, x = networks.vgg16(), networks.random_images(batch)
    return model, x, model.forward(x).argmax(axis=1)


def sum_over_channels(x):
    """Heatmaps (n, h, w) of relevance (n, c, h, w)."""
    return x.sum(axis=1)


def our_lrp(model, composite, x, neurons):
    """What a user of refcrp runs: the analyzer is made once."""
    lrp = rc.LRP(model, composite)
    return lambda: lrp(x, output=neurons).relevance


def our_crp(model, x, neurons, layer, channels):
    """What a user of refcrp runs: (k n, c, h, w), channel-major."""
    crp = rc.CRP(rc.LRP(model, rc.EpsilonPlusFlat()), layer=layer, features=rc.IndexedFeatures(*channels))
    return lambda: crp(x, output=neurons).relevance


# Against zennit ------------------------------------------------------------------------------------------------


def zennit_plus_flat(inputs, options):
    """EpsilonPlusFlat."""
    import peer_zennit

    model, x, neurons = inputs()
    theirs = peer_zennit.lrp(model, peer_zennit.plus_flat(), x, neurons)
    return Pair(our_lrp(model, rc.EpsilonPlusFlat(), x, neurons), theirs)


def zennit_gamma_box(inputs, options):
    """EpsilonGammaBox."""
    import peer_zennit

    model, x, neurons = inputs()
    bounds = networks.VGG16_LOW, networks.VGG16_HIGH
    theirs = peer_zennit.lrp(model, peer_zennit.gamma_box(*bounds), x, neurons)
    return Pair(our_lrp(model, rc.EpsilonGammaBox(*bounds), x, neurons), theirs)


def zennit_crp_lenet(batch, channels, options):
    """CRP of conv2; zennit-crp sums over channels and has all channels of the first image first."""
    import peer_zennit

    model, x, neurons = lenet_inputs(batch)
    ours = our_crp(model, x, neurons, "conv2", range(channels))
    theirs = peer_zennit.crp(model, peer_zennit.plus_flat(), x, neurons, "conv2", range(channels))

    def channel_major(heatmaps):
        by_sample = heatmaps.reshape(batch, channels, 1, *heatmaps.shape[1:])
        return by_sample.swapaxes(0, 1).reshape(batch * channels, 1, *heatmaps.shape[1:])

    return Pair(ours, theirs, channel_major)  # digits have one channel: its sum is itself


def zennit_crp_vgg(channels, options):
    """CRP of the last convolution, 8 channels at a time; times are for one channel."""
    import peer_zennit

    model, x, neurons = vgg_inputs()
    layer, chosen = networks.LAST_CONVOLUTION, range(0, 8 * channels, 8)
    relevance = our_crp(model, x, neurons, layer, chosen)
    theirs = peer_zennit.crp_in_batches(model, peer_zennit.plus_flat(), x, neurons[0], layer, chosen)
    warm_up = (lambda: theirs(chosen[:8])) if channels > 8 else None
    return Pair(lambda: sum_over_channels(relevance()), theirs, peer_warm_up=warm_up, parts=channels)


def zennit_crp_references(count, options):
    """Reference samples of conv2, results on disk on both sides; times are for 1000 images.

    Both give the scores of the best 40 by relevance, (40, channels). zennit-crp takes them before the ReLU, where
    relevance is the same.
    """
    import peer_zennit

    model, x, neurons = lenet_inputs(count)
    lrp = rc.LRP(model, rc.EpsilonPlus(), dialect="zennit-crp")

    def ours():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "refs.h5"
            refs = rc.ReferenceSamples.collect(lrp, (x, neurons), "conv2", path, n=40)
        channels = range(refs.table("conv2").shape[2])
        return np.stack([refs.top("conv2", channel).scores for channel in channels], axis=1)

    return Pair(ours, peer_zennit.references(model, x, neurons, "conv2"), parts=count / 1000)


# Against torch by hand, captum, the toolbox -------------------------------------------------------------------


def by_hand_lrp(inputs, options):
    """EpsilonPlusFlat in plain torch."""
    from peer_torch import HandWritten

    model, x, neurons = inputs()
    by_hand = HandWritten(model)
    return Pair(our_lrp(model, rc.EpsilonPlusFlat(), x, neurons), lambda: by_hand.lrp(x, neurons))


def by_hand_crp(inputs, layer, channels, batch_size, options):
    """CRP in plain torch; times are for one channel of VGG-16, and for all of LeNet-5."""
    from peer_torch import HandWritten

    model, x, neurons = inputs()
    by_hand = HandWritten(model)
    return Pair(
        our_crp(model, x, neurons, layer, channels),
        lambda: by_hand.crp(x, neurons, layer, channels, batch_size),
        parts=len(channels) if layer == networks.LAST_CONVOLUTION else 1,
    )


def epsilon_inputs(batch, dtype):
    """LeNet-5 and digits for peers that know the epsilon rule; they start with the output or with 1."""
    model, x, neurons = lenet_inputs(batch)
    return model.astype(dtype), x.astype(dtype), neurons


def captum_epsilon(batch, options):
    """EpsilonRule everywhere; captum starts with the output."""
    from peer_captum import epsilon_lrp

    model, x, neurons = epsilon_inputs(batch, np.float32)
    lrp = rc.LRP(model, rc.EpsilonRule(1e-6), normalize_output_relevance=False)
    return Pair(lambda: lrp(x, output=neurons).relevance, epsilon_lrp(model, x, neurons))


def toolbox_epsilon(batch, options):
    """EpsilonRule everywhere, float64; the toolbox has channels last."""
    from peer_toolbox import epsilon_lrp

    model, x, neurons = epsilon_inputs(batch, np.float64)
    theirs = epsilon_lrp(options.lrp_toolbox, model, x, neurons)
    return Pair(our_lrp(model, rc.EpsilonRule(1e-6), x, neurons), theirs, lambda R: R.transpose(0, 3, 1, 2))
