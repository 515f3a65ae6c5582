"""Probabilities of many slices by one classifier."""

from collections.abc import Callable

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import nn

from ichnos.data.images import Images
from ichnos.models.classifier import SliceClassifier
from ichnos.models.views import Viewed
from ichnos.progress import SILENT, Progress
from ichnos.training.batches import in_batches, read_ahead
from ichnos.training.devices import choose
from ichnos.training.memory import told_without_room

BATCH_SIZE = 64
"""Slices predicted at once where nobody says otherwise: larger gains nothing on a CPU and little on a GPU."""


def predict(
    classifier: SliceClassifier | Viewed,
    images: Images,
    rows: NDArray[np.int64],
    *,
    batch_size: int = BATCH_SIZE,
    device: str = "auto",
    progress: Progress = SILENT,
) -> NDArray[np.float64]:
    """Probabilities (len(rows), classes) for those rows of images (N, planes, S, S), in evaluation mode.

    In single precision, as a bundle answers: half of it makes scores tie and thresholds coarse. The classifier is moved
    to the device and its mode is given back as it was. Raises TrainingError where the device is not there, or has no
    room for a batch.
    """
    if not len(rows):
        return np.empty((0, len(classifier.recipe.classes)))
    fabric = choose(device, "32-true")
    was_training = classifier.training
    try:
        with (
            told_without_room("prediction", f"batches of {batch_size} slices", fabric.device),
            progress.task("Predicting", len(rows)) as task,
        ):
            module = fabric.setup_module(classifier)
            return probabilities_of(fabric, module, images, rows, batch_size, task.advance)
    finally:
        classifier.train(was_training)


def probabilities_of(
    fabric: Fabric,
    module: nn.Module,
    images: Images,
    rows: NDArray[np.int64],
    batch_size: int,
    tick: Callable[[int], None],
) -> NDArray[np.float64]:
    """The same for a module on Fabric's device and at least one row; the module is left in evaluation mode.

    tick(n) is called after each batch of n.
    """
    module.eval()
    batches = in_batches(rows, batch_size)
    gathered: list[torch.Tensor] = []
    with torch.inference_mode(), fabric.autocast(), read_ahead(images, batches, fabric.device) as ready:
        for planes in ready:
            gathered.append(module(planes).double().sigmoid())  # floats near 1 would tie in a ranking
            tick(len(planes))
    return torch.cat(gathered).cpu().numpy()
