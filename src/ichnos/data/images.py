"""Images as training asks for them, by rows: a cache as it lies, or each slice with its neighbours."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Images(Protocol):
    """(N, planes, S, S) uint8, of which any rows can be had. Arrays and memory maps are such."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, planes, S, S)."""
        ...

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """uint8."""
        ...

    def __len__(self) -> int:
        """N."""
        ...

    def __getitem__(self, rows: NDArray[np.int64] | np.int64, /) -> NDArray[np.uint8]:
        """The images of those rows, (n, planes, S, S); of one row (planes, S, S)."""
        ...


class StackedImages:
    """Each slice's planes with its neighbours', put together when they are asked for: a cache serves any neighbours."""

    def __init__(self, images: Images, stacks: NDArray[np.int64]) -> None:
        """images: (N, planes, S, S). stacks: (N, slices shown with each) rows of `images`, from foot to head."""
        self._images = images
        self._stacks = stacks
        self.shape = (len(stacks), stacks.shape[1] * images.shape[1], *images.shape[2:])
        self.dtype = images.dtype

    def __len__(self) -> int:
        return len(self._stacks)

    def __getitem__(self, rows: NDArray[np.int64] | np.int64, /) -> NDArray[np.uint8]:
        gathered = self._images[self._stacks[rows]]
        return gathered.reshape(*gathered.shape[:-4], self.shape[1], *self.shape[2:])


class JoinedImages:
    """Several arrays of images of one shape, one behind the other."""

    def __init__(self, parts: Sequence[Images]) -> None:
        """parts: (N, planes, S, S) each, of any N."""
        self._parts = parts
        self._starts = np.cumsum([0, *(len(part) for part in parts)])
        self.shape = (int(self._starts[-1]), *parts[0].shape[1:])
        self.dtype = parts[0].dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: NDArray[np.int64] | np.int64, /) -> NDArray[np.uint8]:
        wanted = np.asarray(rows)
        gathered = np.empty((*wanted.shape, *self.shape[1:]), self.dtype)
        for part, start, stop in zip(self._parts, self._starts[:-1], self._starts[1:], strict=True):
            here = (wanted >= start) & (wanted < stop)
            if here.any():
                gathered[here] = part[wanted[here] - start]
        return gathered
