"""BatchNorm statistics measured afresh before an evaluation, for short runs whose running averages lag behind.

MONAI's EfficientNet moves its running statistics by 1 % a step: after a hundred steps from scratch a third of them is
still the initial 0 and 1, and the network evaluates as noise although it has learnt.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from lightning_fabric import Fabric
from torch import nn

from ichnos.training.batches import in_batches, read_ahead
from ichnos.training.slices import TrainingSlices, spread

_Norm = nn.BatchNorm2d | nn.BatchNorm3d

_IMAGES = 1024
"""Training images to measure on: the statistics no longer move with more (Izmailov et al. 2018 use a whole pass)."""


def reestimate_batchnorm(fabric: Fabric, module: nn.Module, training: TrainingSlices, batch_size: int) -> None:
    """Set BatchNorm's statistics to their plain average over up to 1,024 training images, evenly spread.

    Without augmentation, dropout and drop-connect; a function of the weights and images alone, so a resumed run gets
    the same. `module` is as Fabric wrapped it. A frozen backbone keeps the statistics that it came with.
    """
    _measure(fabric, module, [norm for norm in _norms(module) if norm.weight.requires_grad], training, batch_size)


def measure_batchnorm(fabric: Fabric, module: nn.Module, training: TrainingSlices, batch_size: int) -> int:
    """The same for a network that is adapted to other images, whether it was frozen or not; returns how many layers."""
    norms = _norms(module)
    _measure(fabric, module, norms, training, batch_size)
    return len(norms)


def _norms(module: nn.Module) -> list[_Norm]:
    return [norm for norm in module.modules() if isinstance(norm, _Norm)]


def _measure(fabric: Fabric, module: nn.Module, norms: list[_Norm], training: TrainingSlices, batch_size: int) -> None:
    if not norms:
        return
    batches = in_batches(training.rows[spread(len(training), _IMAGES)], batch_size)
    with (
        torch.no_grad(),
        _averaging(module, norms),
        read_ahead(training.images, batches, fabric.device) as images,
    ):
        for planes in images:
            module(planes)


@contextmanager
def _averaging(module: nn.Module, norms: Sequence[_Norm]) -> Iterator[None]:
    """Only BatchNorm in training mode, its statistics reset and averaged; mode and momentum come back after."""
    was_training = module.training
    momenta = [norm.momentum for norm in norms]
    module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's way to say: cumulative average
        norm.train()
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        module.train(was_training)
