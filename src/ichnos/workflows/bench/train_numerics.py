"""Whether training as a device gains by it (half precision, compiled) learns what single precision does."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichnos.recipe import SliceRecipe
from ichnos.training import Execution, TrainingSlices, train

EPOCHS, STEPS, LARGEST_BATCH = 6, 8, 32
"""Of each of the two runs: a batch is the recipe's, or so large where that is larger."""

_PLACES = ((0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75), (0.5, 0.5))
"""Of a bright spot, one for each subtype: rows and columns, as shares of the image."""

Tree = dict[str, Any]


def learnt_both_ways(recipe: SliceRecipe, device: str, execution: Execution, out: Path) -> Tree:
    """Train the recipe's network twice on slices that it can learn from; losses of every epoch, and how far apart.

    Weights, order and dropout are drawn from the same seed; nothing is augmented. out: a folder that is emptied.
    """
    size = min(recipe.fit.batch_size, LARGEST_BATCH)
    fit = {"epochs": EPOCHS, "steps_per_epoch": None, "batch_size": size}
    recipe = recipe.derive(augmentation=None, sampling="natural", **{f"fit.{name}": each for name, each in fit.items()})
    images, labels = spots(recipe, STEPS * size)
    slices = TrainingSlices(images, np.arange(len(images)), labels)

    def losses(name: str, how: Execution) -> tuple[list[float], Tree]:
        shutil.rmtree(out / name, ignore_errors=True)
        journal = train(recipe, slices, None, out / name, device=device, execution=how).journal
        told = json.loads((out / name / "environment.json").read_text(encoding="utf-8"))
        return [each["training"]["loss_mean"] for each in journal], told

    usual, told = losses("usual", execution)
    single, _ = losses("single", Execution(precision="32-true", compile=False))
    return {
        "precision": told["precision"],
        "compiled": told["compiled"],
        "epochs": EPOCHS,
        "slices": len(images),
        "batch_size": size,
        "losses": usual,
        "single": single,
        "largest_difference": max(abs(one - other) / other for one, other in zip(usual, single, strict=True)),
    }


def spots(recipe: SliceRecipe, count: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """uint8 (count, planes, size, size) and labels (count, classes): noise with a bright spot where a class has it."""
    rng, size = np.random.default_rng(0), recipe.input.size
    images = rng.integers(0, 60, (count, recipe.input.stacked, size, size), dtype=np.uint8)
    labels = np.zeros((count, len(recipe.classes)), dtype=np.bool_)
    y, x = np.mgrid[:size, :size] / size
    for image, label in zip(images, labels, strict=True):
        for k in set(rng.integers(len(_PLACES), size=2).tolist()):
            row, column = np.asarray(_PLACES[k]) + rng.normal(0, 0.03, 2)
            image[:, (y - row) ** 2 + (x - column) ** 2 < 0.08**2] += 120
            label[k] = True
    return images, labels
