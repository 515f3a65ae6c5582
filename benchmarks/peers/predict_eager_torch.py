"""Eager PyTorch behind a plain pydicom loop, as most code that reads head CT has it. Needs ichnos[train].

The same network with the same weights (drawn anew where the bundle's are not at hand: speed does not depend on them),
float32, torch's own number of threads, the whole exam as one batch. Each file by `dcmread`, slope and intercept, then
windows and torch's antialiased resize; slices and their mirror images where the bundle sees both. It gives
probabilities alone: no choice of series, no checks, no class maps.
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydicom import dcmread
from torch import Tensor
from torch.nn import functional

from ichnos.models import SliceClassifier, load_classifier
from ichnos.recipe import InputSpec, SliceRecipe, WindowMerge


def networks_of(work: dict[str, Any]) -> list[SliceClassifier]:
    """The bundle's, or as many of the same recipes."""
    if work["checkpoint"]:
        return [load_classifier(Path(work["checkpoint"]))[0].eval()]
    recipes = [SliceRecipe.model_validate(recipe) for recipe in work["recipes"]]
    return [SliceClassifier.seeded(recipe, seed).eval() for seed, recipe in enumerate(recipes)]


def read_hu(folder: Path) -> tuple[Tensor, np.ndarray]:
    """HU (slices, rows, columns), from foot to head, and where the slices lie, in mm."""
    slices = [dcmread(path) for path in sorted(folder.iterdir())]
    slices.sort(key=lambda each: float(each.ImagePositionPatient[2]))
    hu = [each.pixel_array * float(each.RescaleSlope) + float(each.RescaleIntercept) for each in slices]
    places = np.array([float(each.ImagePositionPatient[2]) for each in slices])
    return torch.from_numpy(np.stack(hu)).float(), places


def planes_of(spec: InputSpec, hu: Tensor) -> Tensor:
    """Windows, then the resize: whole numbers 0-255, (slices, planes, size, size)."""
    windowed = torch.stack([((hu - w.lower) / w.width).clamp(0, 1) for w in spec.windows], dim=1)
    if spec.merge is WindowMerge.MEAN:
        windowed = windowed.mean(dim=1, keepdim=True)
    size = (spec.size, spec.size)
    resized = functional.interpolate(windowed, size=size, mode="bilinear", antialias=True)
    return (resized * 255).round()


def with_neighbours(planes: Tensor, places: np.ndarray, spec: InputSpec) -> Tensor:
    """The planes of the slices nearest to so many steps below and above, beside each slice's own."""
    steps = np.arange(-spec.neighbours, spec.neighbours + 1) * spec.neighbour_spacing
    nearest = np.abs(places[:, None, None] + steps[:, None] - places).argmin(axis=2)
    return planes[torch.from_numpy(nearest)].flatten(1, 2)


@torch.inference_mode()
def exam(folder: Path, networks: list[SliceClassifier], batch_size: int | None) -> Tensor:
    """Probabilities (slices, classes)."""
    hu, places = read_hu(folder)
    answers = [logits_of(network, hu, places, batch_size) for network in networks]
    return torch.stack(answers).mean(dim=0).sigmoid()


def logits_of(network: SliceClassifier, hu: Tensor, places: np.ndarray, batch_size: int | None) -> Tensor:
    """One network's, the mean over its views."""
    planes = with_neighbours(planes_of(network.recipe.input, hu), places, network.recipe.input)
    views = [planes, planes.flip(-1)] if is_mirrored(network.recipe) else [planes]
    logits = [torch.cat([network(batch) for batch in view.split(batch_size or len(view))]) for view in views]
    return torch.stack(logits).mean(dim=0)


def is_mirrored(recipe: SliceRecipe) -> bool:
    """Whether the network sees each slice's mirror image too. Other views end this peer."""
    if recipe.test_time is None:
        return False
    if recipe.test_time.zooms or recipe.test_time.rotations:
        sys.exit("this peer knows mirror images alone; the bundle zooms or turns its slices too")
    return recipe.test_time.horizontal_flip


def main(title: str = "eager PyTorch, plain pydicom loop", batch_size: int | None = None) -> None:
    """Say what this is, then read the exam once for every line of standard input (benchmarks/README.md).

    batch_size: slices at once, None for the whole exam.
    """
    work = json.loads(Path(sys.argv[1]).read_bytes())
    networks = networks_of(work)
    for network in networks:
        is_mirrored(network.recipe)  # what this peer does not know ends it here
    about = {
        "title": title,
        "versions": {"torch": version("torch")},
        "threads": torch.get_num_threads(),
        "same_weights": work["checkpoint"] is not None,
    }
    print(json.dumps(about), flush=True)
    for _ in sys.stdin:
        begun = time.perf_counter()
        probabilities = exam(Path(work["exam"]), networks, batch_size).tolist()
        seconds = time.perf_counter() - begun
        classes = networks[0].recipe.classes
        slices = [dict(zip(classes, each, strict=True)) for each in probabilities]
        print(json.dumps({"seconds": seconds, "slices": slices}), flush=True)


if __name__ == "__main__":
    main()
