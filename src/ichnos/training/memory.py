"""Where a device's memory runs out: how large a batch it has room for."""

from collections.abc import Callable

import torch

from ichnos.errors import TrainingError

_FEWEST = 2
"""BatchNorm measures nothing on one image."""


def too_large(step: Callable[[int], object], batch_size: int, device: torch.device) -> TrainingError:
    """What to tell of a batch that memory had no room for. step: learns from the first n slices of it; what it changes
    is thrown away, as the run ends here."""
    fits = largest_that_fits(step, batch_size)
    said = f"out of memory on {device.type} with batches of {batch_size} slices"
    if fits is None:
        return TrainingError(
            f"{said}, and {_FEWEST} do not fit either: choose a smaller input.size or network, free the device's "
            "memory, or use --device cpu"
        )
    return TrainingError(
        f"{said}; {fits} fit: give --set fit.batch_size={fits} and another folder, since that is another training, or "
        "free the device's memory and give the same command again"
    )


def largest_that_fits(step: Callable[[int], object], batch_size: int) -> int | None:
    """The first of a half, a quarter, ... of the batch that memory has room for; None where none has."""
    size = batch_size // 2
    while size >= _FEWEST:
        if _fits(step, size):
            return size
        size //= 2
    return None


def _fits(step: Callable[[int], object], size: int) -> bool:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    try:
        step(size)
    except torch.OutOfMemoryError:
        return False
    return True
