"""Batches in a settled order, read and brought to the device ahead by one thread while the device works."""

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ichnos.data.images import Images

_AHEAD = 4
"""Batches read in advance: enough to hide a slow disk's hiccups, a few MB."""


@contextmanager
def read_ahead(
    images: Images, batches: Sequence[NDArray[np.int64]], device: torch.device
) -> Iterator[Iterator[Tensor]]:
    """Give an iterator of uint8 tensors (n, planes, S, S) on the device, one for each list of rows, in order.

    To a CUDA device they are copied from pinned memory on a stream of their own, beside whatever it reckons just then.
    A `with` block, so that the thread ends with it however it is left. An error while reading is raised in the caller.
    """
    ready: queue.Queue[Tensor | _Arriving | BaseException] = queue.Queue(maxsize=_AHEAD)
    stop = threading.Event()
    lane = _Lane(device) if device.type == "cuda" else None

    def read() -> None:
        try:
            for rows in batches:
                batch = torch.from_numpy(images[rows])
                if not _put(ready, batch if lane is None else lane.send(batch), stop):
                    return
        except BaseException as error:  # handed to the caller, who raises it
            _put(ready, error, stop)

    def deliver() -> Iterator[Tensor]:
        for _ in batches:
            item = ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item.arrived() if isinstance(item, _Arriving) else item.to(device)

    thread = threading.Thread(target=read, name="ichnos-read-ahead", daemon=True)
    thread.start()
    try:
        yield deliver()
    finally:
        stop.set()
        thread.join()


@dataclass(frozen=True, eq=False)
class _Arriving:
    """A tensor on its way to a CUDA device."""

    tensor: Tensor
    copied: Any
    """A CUDA event."""

    def arrived(self) -> Tensor:
        """The tensor, for use on the current stream, which waits for the copy; nobody else does."""
        stream = torch.cuda.current_stream(self.tensor.device)
        stream.wait_event(self.copied)
        self.tensor.record_stream(stream)  # else its memory might be given to the next copy while it is still read
        return self.tensor


class _Lane:
    """A stream that copies to a CUDA device and does nothing else."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._stream = device, torch.cuda.Stream(device)

    def send(self, batch: Tensor) -> _Arriving:
        """Begin to copy; returns at once. torch keeps the pinned memory until it has been read."""
        with torch.cuda.stream(self._stream):
            tensor = batch.pin_memory().to(self._device, non_blocking=True)
            return _Arriving(tensor, self._stream.record_event())


def onto(device: torch.device, tensor: Tensor) -> Tensor:
    """A tensor of the CPU on the device, without waiting until the device has done what it was given before."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def in_batches(rows: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """Rows in their order, cut into batches of nearly equal size, none above `batch_size`."""
    return np.array_split(rows, max(1, -(-len(rows) // batch_size))) if len(rows) else []


def _put(
    ready: queue.Queue[Tensor | _Arriving | BaseException],
    item: Tensor | _Arriving | BaseException,
    stop: threading.Event,
) -> bool:
    """Wait for room, but not once the reader of the queue has gone."""
    while not stop.is_set():
        try:
            ready.put(item, timeout=0.1)
        except queue.Full:
            continue
        return True
    return False
