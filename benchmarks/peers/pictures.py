"""What the peers of `ichnos bench train` read: a grey PNG a slice in one folder, which the first of them writes."""

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np

CLASSES = 5
"""Of Model 2: the subtypes."""

HIDDEN, DROPOUT, LEARNING_RATE = 128, 0.3, 1e-4
"""Of its head, and of Adam."""

AT_LEAST = 2.0
"""Seconds that reading goes on in a round, as ours does."""


def written(work: dict[str, Any]) -> list[Path]:
    """The first slices of the cache at their size, one file each: nothing is left to resize, and nothing to window."""
    folder, count, size = Path(work["pictures"]), work["pictured"], work["size"]
    paths = [folder / f"{number:06d}.png" for number in range(count)]
    folder.mkdir(exist_ok=True)
    images = np.memmap(work["cache"], dtype=np.uint8, mode="r").reshape(work["slices"], -1, size, size)
    for path, planes in zip(paths, images, strict=False):
        if not path.exists():
            cv2.imwrite(str(path), planes[0])
    return paths


def labels(count: int) -> np.ndarray:
    """(count, classes) of 0 or 1, drawn."""
    return (np.random.default_rng(1).random((count, CLASSES)) < 0.2).astype(np.float32)


def cores() -> int:
    """That the benchmark keeps to."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
