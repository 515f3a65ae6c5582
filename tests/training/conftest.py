"""A tiny, easy set: a bright blob in one or two of five places, one place a class."""

import numpy as np
import pytest
from numpy.typing import NDArray

from ichnos.ct.windows import BRAIN
from ichnos.recipe import Fit, InputSpec, Network, SliceRecipe
from ichnos.training import TrainingSlices

PLACES = ((0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75), (0.5, 0.5))


def blobs(n: int, size: int, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """(n, 1, size, size) images and (n, 5) labels."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 60, (n, 1, size, size), dtype=np.uint8)
    labels = np.zeros((n, 5), dtype=np.bool_)
    y, x = np.mgrid[:size, :size] / size
    for i in range(n):
        for k in {i % 5, int(rng.integers(5))}:
            cy, cx = np.asarray(PLACES[k]) + rng.normal(0, 0.03, 2)
            images[i, 0][(y - cy) ** 2 + (x - cx) ** 2 < 0.08**2] += 120
            labels[i, k] = True
    return images, labels


def parts(n_training: int, n_validation: int, size: int) -> tuple[TrainingSlices, TrainingSlices]:
    """Two parts of one array of images, whose rows are mixed."""
    images, labels = blobs(n_training + n_validation, size)
    rows = np.random.default_rng(1).permutation(len(images))
    first, second = rows[:n_training], rows[n_training:]
    return TrainingSlices(images, first, labels[first]), TrainingSlices(images, second, labels[second])


@pytest.fixture(autouse=True, scope="module")
def in_one_thread(one_thread: None) -> None:
    """All images here are small."""


@pytest.fixture(scope="session")
def tiny() -> tuple[TrainingSlices, TrainingSlices]:
    return parts(10, 6, size=32)


@pytest.fixture(scope="session")
def recipe() -> SliceRecipe:
    """Two epochs of three steps, with all that draws at random switched on."""
    return SliceRecipe(
        name="tiny",
        title="Tiny",
        input=InputSpec(windows=(BRAIN,), size=32),
        network=Network(init="random"),
        fit=Fit(learning_rate=1e-3, schedule="cosine", batch_size=4, epochs=2, reestimate_batchnorm=True, seed=3),
    ).derive(**{"augmentation.p": 0.5, "sampling": "balanced", "fit.milestones": [1]})
