"""Where a device's memory runs out: how large a batch it has room for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from ichnos.errors import TrainingError

_FEWEST = 2
"""BatchNorm measures nothing on one image."""


@contextmanager
def told_without_room(work: str, asked: str, device: torch.device, otherwise: str = "") -> Iterator[None]:
    """Raise TrainingError where the device's memory runs out in the block, for which no trial says what would fit.

    work: what it does, as "validation"; asked: how much at once, as "batches of 64 slices"; otherwise: what else helps.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"out of memory on {device.type} in {work}, with {asked}: free the device's memory (other processes may "
            f"hold some), {otherwise}or use --device cpu"
        ) from error


def too_large(
    step: Callable[[int], object], batch_size: int, device: torch.device, pieces: int = 1, *, splits: bool = True
) -> TrainingError:
    """What to tell of a batch that memory had no room for. step: learns from the first n slices of it at once; what it
    changes is thrown away, as the run ends here.

    pieces: in which the batch was learnt from. splits: whether it may be learnt from in (more) pieces.
    """
    fits = largest_that_fits(step, -(-batch_size // pieces))
    said = f"out of memory on {device.type} with {_batches(batch_size, pieces)}"
    if fits is None:
        return TrainingError(
            f"{said}, and {_FEWEST} do not fit either: choose a smaller input.size or network, free the device's "
            "memory, or use --device cpu"
        )
    in_pieces = (
        f"the same command with --accumulate {-(-batch_size // fits)}, which learns from the same batches in pieces "
        "(BatchNorm then measures each by itself), or "
    )
    return TrainingError(
        f"{said}; {fits} fit: give --set fit.batch_size={fits} and another folder, since that is another training, or "
        f"{in_pieces if splits else ''}free the device's memory and give the same command again"
    )


def too_large_for_share(share: int, pieces: int, device: torch.device) -> TrainingError:
    """The same of one process's share of a batch, where no trial says what fits."""
    return TrainingError(
        f"out of memory on {device.type} with {_batches(share, pieces)} on each process: give "
        f"--accumulate {2 * pieces}, more processes, or a smaller fit.batch_size and another folder, since that is "
        "another training"
    )


def _batches(size: int, pieces: int) -> str:
    return f"batches of {size} slices" + (f" in {pieces} pieces" if pieces > 1 else "")


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
