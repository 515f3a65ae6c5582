"""Where a device's memory runs out: how large a batch it has room for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from ichnos.errors import TrainingError

_FEWEST = 2
"""BatchNorm measures nothing on one image."""


_OF_HOST = ("DefaultCPUAllocator: can't allocate memory", "std::bad_alloc")
"""What torch says in a plain RuntimeError where the computer's own memory runs out: it has no class for that."""

_OF_DEVICE = (
    *("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED"),
    *("Cuda failure 2 'out of memory'", "MPS backend out of memory"),
)
"""The same of a device whose memory its libraries took, past torch's own allocator."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch or numpy found no room, on any device."""
    return (
        isinstance(error, torch.OutOfMemoryError)
        or _is_of_host(error)
        or (isinstance(error, RuntimeError) and any(words in str(error) for words in _OF_DEVICE))
    )


def _is_of_host(error: BaseException) -> bool:
    words = isinstance(error, RuntimeError) and any(words in str(error) for words in _OF_HOST)
    return isinstance(error, MemoryError) or words


@contextmanager
def told_without_room(work: str, asked: str, device: torch.device, otherwise: str = "") -> Iterator[None]:
    """Raise TrainingError where the device's memory runs out in the block, for which no trial says what would fit.

    work: what it does, as "validation"; asked: how much at once, as "batches of 64 slices"; otherwise: what else helps.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        place = torch.device("cpu") if _is_of_host(error) else device
        raise TrainingError(
            f"out of memory on {place.type} in {work}, with {asked}: free {_memory_of(place)} (other processes may "
            f"hold some), {otherwise}or {_elsewhere(place)}"
        ) from error


def _memory_of(device: torch.device) -> str:
    return "the computer's memory" if device.type == "cpu" else "the device's memory"


def _elsewhere(device: torch.device) -> str:
    return "take a computer that has more" if device.type == "cpu" else "use --device cpu"


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
        return _hopeless(said, f"{_FEWEST} do not fit", device)
    in_pieces = f"the same command with {_accumulate(-(-batch_size // fits))}, or "
    return TrainingError(
        f"{said}; {fits} fit: give --set fit.batch_size={fits} and another folder, since that is another training, or "
        f"{in_pieces if splits else ''}free {_memory_of(device)} and give the same command again"
    )


def too_large_for_share(
    step: Callable[[int], object], batch_size: int, processes: int, device: torch.device, pieces: int = 1
) -> TrainingError:
    """The same of one process's share of a batch. step: as above, and without a word to the others, which wait in the
    midst of theirs for one that will not go on; so each tells what fits where it ran out itself."""
    share = -(-batch_size // processes)
    fits = largest_that_fits(step, -(-share // pieces), fewest=1)  # BatchNorm measures what all of them have
    said = f"out of memory on {device.type} with {_batches(share, pieces)} on each process"
    if fits is None:
        return _hopeless(said, "one slice does not fit", device)
    wanted = -(-share // fits)
    # no process may have fewer slices than pieces: see Session
    in_pieces = f"the same command with {_accumulate(wanted)}, or " if wanted <= batch_size // processes else ""
    return TrainingError(
        f"{said}; {fits} {'fits' if fits == 1 else 'fit'} on this one: give {in_pieces}--set "
        f"fit.batch_size={fits * processes} and another folder, since that is another training, or more processes that "
        "have memory of their own"
    )


def _hopeless(said: str, found: str, device: torch.device) -> TrainingError:
    return TrainingError(
        f"{said}, and {found} either: choose a smaller input.size or network, free {_memory_of(device)}, or "
        f"{_elsewhere(device)}"
    )


def _accumulate(pieces: int) -> str:
    return (
        f"--accumulate {pieces}, which learns from the same batches in pieces (BatchNorm then measures each by itself)"
    )


def _batches(size: int, pieces: int) -> str:
    return f"batches of {size} slices" + (f" in {pieces} pieces" if pieces > 1 else "")


def largest_that_fits(step: Callable[[int], object], batch_size: int, fewest: int = _FEWEST) -> int | None:
    """The first of a half, a quarter, ... of the batch that memory has room for; None where none has."""
    size = batch_size // 2
    while size >= fewest:
        if _fits(step, size):
            return size
        size //= 2
    return None


def _fits(step: Callable[[int], object], size: int) -> bool:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    try:
        step(size)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True
