"""Batches in a settled order, read ahead by one thread while the device works."""

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

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

    A `with` block, so that the thread ends with it however it is left. An error while reading is raised in the caller.
    """
    ready: queue.Queue[Tensor | BaseException] = queue.Queue(maxsize=_AHEAD)
    stop = threading.Event()
    pin = device.type == "cuda"

    def read() -> None:
        try:
            for rows in batches:
                batch = torch.from_numpy(images[rows])
                if not _put(ready, batch.pin_memory() if pin else batch, stop):
                    return
        except BaseException as error:  # handed to the caller, who raises it
            _put(ready, error, stop)

    def deliver() -> Iterator[Tensor]:
        for _ in batches:
            item = ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item.to(device, non_blocking=pin)

    thread = threading.Thread(target=read, name="ichnos-read-ahead", daemon=True)
    thread.start()
    try:
        yield deliver()
    finally:
        stop.set()
        thread.join()


def in_batches(rows: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """Rows in their order, cut into batches of nearly equal size, none above `batch_size`."""
    return np.array_split(rows, max(1, -(-len(rows) // batch_size))) if len(rows) else []


def _put(ready: queue.Queue[Tensor | BaseException], item: Tensor | BaseException, stop: threading.Event) -> bool:
    """Wait for room, but not once the reader of the queue has gone."""
    while not stop.is_set():
        try:
            ready.put(item, timeout=0.1)
        except queue.Full:
            continue
        return True
    return False
