"""Keras 3 on TensorFlow behind a plain pydicom loop: the study's stack, `keras.applications.EfficientNetB0`.

Weights are drawn anew, as speed does not depend on them. Windows by NumPy, the resize by OpenCV, the whole exam as one
batch through a compiled graph (`predict_on_batch`). It gives probabilities alone: no choice of series, no checks, no
class maps. Needs tensorflow-cpu, pydicom and opencv-python-headless (README.md: in an environment of its own).
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import keras
import numpy as np
import tensorflow as tf
from pictures import cores
from pydicom import dcmread

CHANNELS = 3
"""What EfficientNetB0 of keras.applications takes."""


def model_of(recipe: dict[str, Any]) -> keras.Model:
    """As the study built it: the backbone, global average pooling, dense layers (128, then one output a class)."""
    size = recipe["input"]["size"]
    backbone = keras.applications.EfficientNetB0(
        include_top=False, weights=None, input_shape=(size, size, CHANNELS), pooling="avg"
    )
    hidden = keras.layers.Dense(128, activation="relu")(backbone.output)
    return keras.Model(backbone.input, keras.layers.Dense(len(recipe["classes"]))(hidden))


def read_hu(folder: Path) -> list[np.ndarray]:
    """HU of each slice, from foot to head."""
    slices = [dcmread(path) for path in sorted(folder.iterdir())]
    slices.sort(key=lambda each: float(each.ImagePositionPatient[2]))
    return [
        each.pixel_array.astype(np.float32) * float(each.RescaleSlope) + float(each.RescaleIntercept) for each in slices
    ]


def pictures(volume: list[np.ndarray], recipe: dict[str, Any]) -> np.ndarray:
    """Windowed slices from foot to head, (slices, size, size, channels), 0-255."""
    size, windows = recipe["input"]["size"], recipe["input"]["windows"]
    batch = np.empty((len(volume), size, size, CHANNELS), np.float32)
    for k, hu in enumerate(volume):
        planes = [np.clip((hu - w["level"] + w["width"] / 2) / w["width"], 0, 1) for w in windows]
        if recipe["input"]["merge"] == "mean":
            planes = [np.mean(planes, axis=0)] * CHANNELS
        for channel, plane in enumerate(planes):
            batch[k, ..., channel] = cv2.resize(plane, (size, size), interpolation=cv2.INTER_AREA) * 255
    return batch


def answer(model: keras.Model, batch: np.ndarray, *, mirrored: bool) -> np.ndarray:
    """Logits (slices, classes), the mean over both views where the network sees both."""
    plain = model.predict_on_batch(batch)
    return (plain + model.predict_on_batch(batch[:, :, ::-1])) / 2 if mirrored else plain


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
    mirrored = [is_mirrored(recipe) for recipe in work["recipes"]]
    models = [model_of(recipe) for recipe in work["recipes"]]
    versions = {"keras": keras.__version__, "tensorflow": tf.__version__}
    about = {"title": "Keras, plain pydicom loop", "versions": versions, "threads": cores()}
    print(json.dumps(about | {"same_weights": False}), flush=True)
    for _ in sys.stdin:
        begun = time.perf_counter()
        volume = read_hu(Path(work["exam"]))
        answers = [
            answer(model, pictures(volume, recipe), mirrored=both)
            for model, recipe, both in zip(models, work["recipes"], mirrored, strict=True)
        ]
        probabilities = 1 / (1 + np.exp(-np.mean(answers, axis=0)))
        seconds = time.perf_counter() - begun
        slices = [dict(zip(work["recipes"][0]["classes"], each, strict=True)) for each in probabilities.tolist()]
        print(json.dumps({"seconds": seconds, "slices": slices}), flush=True)


if __name__ == "__main__":
    main()
