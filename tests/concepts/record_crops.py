"""Run zennit-crp's crops of reference samples on the built-in LeNet-5, and store them beside this file.

Needs torchvision besides what `record_zennit_crp.py` asks for; `test_crops_recorded.py` compares, and needs none
of the libraries. zennit-crp's own loop over channels and samples is gone through by hand here, because it gives
pictures and not the boxes that it cuts.
"""

import tempfile
from importlib.metadata import version
from pathlib import Path

import h5py
import numpy as np
import torch
from crp.attribution import CondAttribution
from crp.concepts import ChannelConcept
from crp.helper import max_norm
from crp.image import gaussian_blur, get_crop_range
from crp.visualization import FeatureVisualization
from record_zennit_crp import network
from zennit.composites import EpsilonPlus

import refcrp as rc

vars(np)["int"] = int  # which crp.helper still uses

FILE = Path(__file__).with_name("zennit_crp_crops.h5")
CHANNELS = {"conv1": (0, 3, 5), "conv2": (0, 3, 7, 15)}
TOP = 4


def crop(heatmap, image):
    """What `crp.image.vis_img_heatmap` cuts, as (top, bottom, left, right)."""
    smooth = max_norm(gaussian_blur(heatmap.unsqueeze(0), kernel_size=19)[0])
    row1, row2, col1, col2 = (int(v) for v in get_crop_range(smooth, 0.1))
    cut, heat = image[..., row1:row2, col1:col2], heatmap[row1:row2, col1:col2]
    if cut.sum() != 0 and heat.sum() != 0:
        rows, columns = range(28)[row1:row2], range(28)[col1:col2]
        return rows.start, rows.stop, columns.start, columns.stop
    return 0, 28, 0, 28


def record():
    """Write the file."""
    digits, labels = rc.load_digits()
    data = [(torch.tensor(x, dtype=torch.float64), int(y)) for x, y in zip(digits, labels, strict=True)]
    with tempfile.TemporaryDirectory() as folder, h5py.File(FILE, "w") as file:
        for name in ("torch", "torchvision", "zennit", "zennit-crp"):
            file.attrs[name] = version(name)
        concepts = dict.fromkeys(CHANNELS, ChannelConcept())
        attribution = CondAttribution(network(rc.load_model("lenet5")))
        fv = FeatureVisualization(attribution, data, concepts, abs_norm=False, path=folder)
        fv.run(EpsilonPlus(), 0, len(data), batch_size=25)
        for layer, channels in CHANNELS.items():
            for mode, sub in (("relevance", "RelMax"), ("activation", "ActMax")):
                for channel in channels:
                    folder_of = Path(folder) / f"{sub}_sum_unnormed"
                    samples, positions = (
                        np.load(folder_of / f"{layer}_{what}.npy")[:TOP, channel] for what in ("data", "rf")
                    )
                    images, heatmaps = fv.get_max_reference(
                        channel, layer, mode, (0, TOP), EpsilonPlus(), rf=True, plot_fn=None
                    )[channel]
                    boxes = [crop(h, image) for h, image in zip(heatmaps, images, strict=True)]
                    group = file.create_group(f"{layer}/{mode}/{channel}")
                    group["samples"], group["positions"] = samples, positions
                    group["boxes"] = np.array(boxes, dtype=np.uint8)
                    group.create_dataset(
                        "heatmaps", data=heatmaps.numpy().astype(np.float32), compression="gzip", shuffle=True
                    )


if __name__ == "__main__":
    record()
