"""MONAI's classification pipeline: its reader and transforms, its DataLoader, its EfficientNetBN in eager PyTorch.

As MONAI's classification tutorials have it: LoadImage, EnsureChannelFirst, windows by ScaleIntensityRange, Resize,
batches by DataLoader in the same process (workers take longer to begin than an exam takes). Weights are drawn anew, as
speed does not depend on them. Each network has its own pipeline, so the files are read once a network. It gives
probabilities alone: no choice of series, no checks, no class maps.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import monai
import torch
from monai.data import DataLoader, Dataset, PydicomReader
from monai.networks.nets.efficientnet import EfficientNetBN
from monai.transforms import (
    Compose,
    ConcatItemsd,
    CopyItemsd,
    EnsureChannelFirstd,
    LoadImaged,
    Resized,
    ScaleIntensityRanged,
)
from pydicom import dcmread

CHANNELS = 3
BATCH_SIZE = 4
"""The best of 1, 4, 12 and 36 for eager PyTorch here (predict_eager_torch_in_fours.py)."""


def pipeline(recipe: dict[str, Any]) -> Compose:
    """From a path to (channels, size, size)."""
    windows, size = recipe["input"]["windows"], recipe["input"]["size"]
    shown = [windows[min(k, len(windows) - 1)] for k in range(CHANNELS)]
    names = [f"window {k}" for k in range(CHANNELS)]
    scaled = [
        ScaleIntensityRanged(
            name, a_min=w["level"] - w["width"] / 2, a_max=w["level"] + w["width"] / 2, b_min=0, b_max=1, clip=True
        )
        for name, w in zip(names, shown, strict=True)
    ]
    return Compose(
        [
            LoadImaged("image", reader=PydicomReader(swap_ij=False)),
            EnsureChannelFirstd("image"),
            CopyItemsd("image", times=CHANNELS, names=names),
            *scaled,
            ConcatItemsd(names, "input"),
            Resized("input", spatial_size=(size, size), mode="bilinear", anti_aliasing=True),
        ]
    )


@torch.inference_mode()
def logits_of(files: list[Path], network: torch.nn.Module, transform: Compose, *, mirrored: bool) -> torch.Tensor:
    """(slices, classes); mirrored: the mean of each slice and its mirror image."""
    loader = DataLoader(Dataset([{"image": path} for path in files], transform), batch_size=BATCH_SIZE)
    logits = []
    for batch in loader:
        planes = batch["input"].as_tensor()
        logits.append((network(planes) + network(planes.flip(-1))) / 2 if mirrored else network(planes))
    return torch.cat(logits)


def from_foot_to_head(folder: Path) -> list[Path]:
    """The exam's files."""
    return sorted(folder.iterdir(), key=lambda path: float(dcmread(path, stop_before_pixels=True)[0x00200032].value[2]))


def is_mirrored(recipe: dict[str, Any]) -> bool:
    """Whether the network sees each slice's mirror image too. Another network or other views end this peer."""
    if recipe["network"]["backbone"] != "efficientnet-b0" or recipe["input"].get("neighbours", 0):
        sys.exit("this peer is EfficientNet-B0 on single slices; the bundle has another network")
    views = recipe.get("test_time") or {}
    if views.get("zooms") or views.get("rotations"):
        sys.exit("this peer knows mirror images alone; the bundle zooms or turns its slices too")
    return bool(views.get("horizontal_flip"))


def main() -> None:
    work = json.loads(Path(sys.argv[1]).read_bytes())
    classes = work["recipes"][0]["classes"]
    mirrored = [is_mirrored(recipe) for recipe in work["recipes"]]
    networks = [
        EfficientNetBN("efficientnet-b0", pretrained=False, num_classes=len(classes)).eval() for _ in work["recipes"]
    ]
    transforms = [pipeline(recipe) for recipe in work["recipes"]]
    about = {
        "title": "MONAI's transforms, DataLoader and EfficientNetBN",
        "versions": {"monai": monai.__version__, "torch": torch.__version__},
        "threads": torch.get_num_threads(),
        "same_weights": False,
    }
    print(json.dumps(about), flush=True)
    for _ in sys.stdin:
        begun = time.perf_counter()
        files = from_foot_to_head(Path(work["exam"]))
        answers = [
            logits_of(files, network, transform, mirrored=both)
            for network, transform, both in zip(networks, transforms, mirrored, strict=True)
        ]
        probabilities = torch.stack(answers).mean(dim=0).sigmoid().tolist()
        seconds = time.perf_counter() - begun
        slices = [dict(zip(classes, each, strict=True)) for each in probabilities]
        print(json.dumps({"seconds": seconds, "slices": slices}), flush=True)


if __name__ == "__main__":
    main()
