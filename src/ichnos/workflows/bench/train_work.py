"""The work of `ichnos bench train`, for us and for peers: a made-up cache, and what is to be trained from it."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ichnos import recipes
from ichnos.errors import OutputError
from ichnos.progress import Progress
from ichnos.recipe import SliceRecipe
from ichnos.training.batches import in_batches
from ichnos.training.devices import Execution

_AT_ONCE = 256
"""Slices made up together."""

_CHECKPOINTS = 300_000_000
"""Bytes on the disk, beside the cache, of the runs that are trained: of each a `best` and a `last` of Model 2."""

PICTURES = 4096
"""Slices of the cache that peers read as single files, at most: more of them are read no faster."""

_OF_A_PICTURE = 1.1
"""Bytes of a PNG to those of its slice: noise does not shrink, and a file takes whole blocks of the disk."""

COLD = 8192
"""Slices of the cache that are read from the disk, at most: RSNA's 38 GB would take minutes a round."""

_ANOTHER_PLACE = "free some space there, give fewer --slices, or let TMPDIR name a folder on another disk"


@dataclass(frozen=True)
class TrainWork:
    """What there is to do: work.json. Paths as text."""

    cache: str
    """uint8 (slices, planes, size, size)."""
    runs: str
    device: str
    slices: int
    size: int
    steps: int
    """That are timed."""
    batch_size: int
    precision: str | None = None
    """None: what the device gains by."""
    compile: bool | None = None
    """None: on one CUDA device."""
    untimed: int = 2
    """Steps of a run before those that are timed: the first ones find caches cold and threads asleep."""
    pictures: str = ""
    """A folder in which peers keep slices of the cache as single files."""
    pictured: int = 0
    """Slices that they keep there: the first ones of the cache."""

    @property
    def execution(self) -> Execution:
        """As `ichnos train` has it by itself, where nothing else was asked for."""
        return Execution(precision=self.precision, compile=self.compile)

    @property
    def recipe(self) -> SliceRecipe:
        """The study's Model 2 from random weights, for so many steps, with nothing held back."""
        steps = self.untimed + self.steps
        fit = {"epochs": 1, "steps_per_epoch": steps, "batch_size": self.batch_size, "patience": None}
        fit |= {"milestones": ()}
        base = recipes.find("paper_model_2").of_one_model
        changes = {f"fit.{name}": value for name, value in fit.items()}
        return base.derive(**changes, **{"network.init": "random", "input.size": self.size})

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the cache."""
        return self.slices, self.recipe.input.stacked, self.size, self.size

    @property
    def bytes(self) -> int:
        """Of the cache."""
        return int(np.prod(self.shape))

    @property
    def images(self) -> NDArray[np.uint8]:
        """Mapped from the disk, as training has them."""
        return np.memmap(self.cache, dtype=np.uint8, mode="r", shape=self.shape)

    @property
    def cold(self) -> Path:
        """A file of its own: what another process has mapped stays in memory, whoever asks the system to let it go."""
        return Path(self.cache).with_name("cold.u8")

    @property
    def cold_shape(self) -> tuple[int, int, int, int]:
        """Of that file: the first slices of the cache."""
        return (min(self.slices, COLD), *self.shape[1:])

    def batches(self, rounds: int, slices: int | None = None) -> list[NDArray[np.int64]]:
        """All rows (or of the first `slices`), in an order that is another each round."""
        order = np.random.default_rng(rounds).permutation(slices or self.slices)
        return in_batches(order.astype(np.int64), self.batch_size)


def write_cache(work: TrainWork, progress: Progress) -> None:
    """Noise: no step of training asks what the pixels show. Raises OutputError where its disk has no room for it."""
    path = Path(work.cache)
    _check_room(path.parent, work)
    rng = np.random.default_rng(0)
    try:
        with path.open("wb") as file, progress.task("Making a cache", work.slices) as task:
            for start in range(0, work.slices, _AT_ONCE):
                count = min(_AT_ONCE, work.slices - start)
                file.write(rng.bytes(count * work.bytes // work.slices))
                task.advance(count)
        _write_cold(work)
    except OSError as error:
        raise OutputError(
            f"the benchmark's cache of {_size(work.bytes)} cannot be written to {path.parent}: {error.strerror}; "
            f"{_ANOTHER_PLACE}"
        ) from error


def _write_cold(work: TrainWork) -> None:
    """To the disk itself: the system lets go of nothing that it has still to write."""
    images = work.images
    with work.cold.open("wb") as file:
        for start in range(0, work.cold_shape[0], _AT_ONCE):
            file.write(images[start : min(start + _AT_ONCE, work.cold_shape[0])].tobytes())
        file.flush()
        os.fsync(file.fileno())


def _check_room(folder: Path, work: TrainWork) -> None:
    more = int(np.prod(work.cold_shape)) + work.pictured * work.bytes // work.slices * _OF_A_PICTURE
    wanted, free = work.bytes + _CHECKPOINTS + more, shutil.disk_usage(folder).free
    if free < wanted:
        raise OutputError(
            f"the benchmark's cache and checkpoints take {_size(wanted)}, and {folder.parent} has {_size(free)} free; "
            f"{_ANOTHER_PLACE}"
        )


def _size(count: float) -> str:
    return f"{count / 1e9:,.1f} GB"
