"""The independent oracle: every linear layer as a dense matrix, every rule in a few lines from its equation.

Imports nothing from refcrp, and works on one sample at a time: a (inputs,), R (outputs,), W (outputs, inputs)
with b (outputs,), C (outputs, inputs) telling what is connected. Any numbers will do, floats or Fractions.
The stabilizer is z + eps where z >= 0, z - eps elsewhere.
"""

import itertools

import numpy as np

EPS = 1e-9


def pos(x):
    return np.maximum(x, 0)


def neg(x):
    return np.minimum(x, 0)


def divide(c, bias, R, eps):
    """R_i = Σ_j c_ij / stabilize(Σ_i c_ij + bias_j) · R_j, for contributions c (outputs, inputs)."""
    z = c.sum(axis=1) + bias
    z = z + np.where(z < 0, -eps, eps)
    return (c / z[:, None] * R[:, None]).sum(axis=0)


def zero(W, C, b, a, R, eps=EPS):
    return divide(W * a, b, R, eps)


def epsilon(W, C, b, a, R, eps):
    return divide(W * a, b, R, eps)


def gamma(W, C, b, a, R, g, eps=EPS):
    return divide((W + g * pos(W)) * a, b + g * pos(b), R, eps)


def generalized_gamma(W, C, b, a, R, g, eps=EPS):
    z = (W * a).sum(axis=1) + b
    up = pos(a) * (W + g * pos(W)) + neg(a) * (W + g * neg(W))
    down = pos(a) * (W + g * neg(W)) + neg(a) * (W + g * pos(W))
    R_up = divide(up, b + g * pos(b), np.where(z > 0, R, 0 * R), eps)
    return R_up + divide(down, b + g * neg(b), np.where(z < 0, R, 0 * R), eps)


def zplus(W, C, b, a, R, eps=EPS):
    return divide(pos(W * a), pos(b), R, eps)


def alphabeta(W, C, b, a, R, alpha, beta, eps=EPS):
    return alpha * divide(pos(W * a), pos(b), R, eps) - beta * divide(neg(W * a), neg(b), R, eps)


def wsquare(W, C, b, a, R, eps=EPS):
    return divide(W * W, 0 * b, R, eps)


def flat(W, C, b, a, R, eps=EPS):
    return divide(C + 0 * W, 0 * b, R, eps)


def zbox(W, C, b, a, R, low, high, eps=EPS):
    return divide(W * a - pos(W) * low - neg(W) * high, b - pos(b) - neg(b), R, eps)


# Layers as matrices -----------------------------------------------------------------------------------------


def places(length, kernel, stride, padding, dilation):
    """For each place of a window along one axis: the (kernel position, pixel) pairs inside the image."""
    first = range(-padding, length + padding - dilation * (kernel - 1), stride)
    return [[(i, p + i * dilation) for i in range(kernel) if 0 <= p + i * dilation < length] for p in first]


def conv_matrix(weight, image, stride, padding, dilation, groups):
    """Give (W, C, output shape) of a convolution on images (channels, height, width)."""
    out, per_group, kh, kw = weight.shape
    channels, height, width = image
    rows = places(height, kh, stride[0], padding[0], dilation[0])
    columns = places(width, kw, stride[1], padding[1], dilation[1])
    shape = (out, len(rows), len(columns))
    W = np.zeros((*shape, *image), dtype=weight.dtype)
    C = np.zeros(W.shape, dtype=int)
    for o, (y, seen_y), (q, seen_x) in itertools.product(range(out), enumerate(rows), enumerate(columns)):
        group = o // (out // groups)
        for c, (i, r), (j, s) in itertools.product(range(per_group), seen_y, seen_x):
            W[o, y, q, group * per_group + c, r, s] = weight[o, c, i, j]
            C[o, y, q, group * per_group + c, r, s] = 1
    size = (int(np.prod(shape)), channels * height * width)
    return W.reshape(size), C.reshape(size), shape


def avgpool_matrix(image, kernel, stride, padding, count_padding=True, one=1.0):
    """Give (W, C, output shape) of average pooling."""
    channels, height, width = image
    rows = places(height, kernel[0], stride[0], padding[0], 1)
    columns = places(width, kernel[1], stride[1], padding[1], 1)
    shape = (channels, len(rows), len(columns))
    W = np.zeros((*shape, *image), dtype=type(one) if isinstance(one, float) else object)
    for c, (y, seen_y), (q, seen_x) in itertools.product(
        range(channels), enumerate(rows), enumerate(columns)
    ):
        n = kernel[0] * kernel[1] if count_padding else len(seen_y) * len(seen_x)
        for (_, r), (_, s) in itertools.product(seen_y, seen_x):
            W[c, y, q, c, r, s] = one / n
    W = W.reshape(int(np.prod(shape)), channels * height * width)
    return W, (W != 0).astype(int), shape


def maxpool(x, kernel, stride, padding):
    """Give (output, flat index of the winner) of max pooling one image; first one on ties."""
    channels, height, width = x.shape
    rows = places(height, kernel[0], stride[0], padding[0], 1)
    columns = places(width, kernel[1], stride[1], padding[1], 1)
    z = np.zeros((channels, len(rows), len(columns)), dtype=x.dtype)
    winner = np.zeros(z.shape, dtype=int)
    for c, (y, seen_y), (q, seen_x) in itertools.product(
        range(channels), enumerate(rows), enumerate(columns)
    ):
        pixels = [(r, s) for (_, r), (_, s) in itertools.product(seen_y, seen_x)]
        best = max(pixels, key=lambda p: (x[c, p[0], p[1]], -p[0] * width - p[1]))
        z[c, y, q], winner[c, y, q] = x[c, best[0], best[1]], best[0] * width + best[1]
    return z, winner


def maxpool_relevance(x, R, kernel, stride, padding, eps=EPS):
    """Give the relevance of max pooling's input, one image."""
    z, winner = maxpool(x, kernel, stride, padding)
    R_in = np.zeros((len(x), x.shape[1] * x.shape[2]), dtype=np.result_type(x, R))
    stabilized = z + np.where(z < 0, -eps, eps)
    for c, y, q in np.ndindex(*z.shape):
        R_in[c, winner[c, y, q]] += z[c, y, q] / stabilized[c, y, q] * R[c, y, q]
    return R_in.reshape(x.shape)
