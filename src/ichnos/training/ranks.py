"""The processes that train one run together: how they share batches, agree between steps, and who writes.

Torch calls their numbers ranks. Rank 0, the first, alone reads and writes the run's folder and tells people how it
goes. What can fail on one process alone (reading slices, writing a checkpoint, Ctrl-C) happens within `agree`, where
all of them learn of it: nobody is left waiting for a process that has gone.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, distributed

from ichnos.errors import FailedElsewhereError, IchnosError, WorkerError, fault_of
from ichnos.training.interruption import Interrupted

LONGEST_WAIT = timedelta(hours=2)
"""For another process, before it is taken for lost. The first one may have weights to fetch or metrics of 752,803
slices to reckon; one that was killed is noticed at once, by its closed connections."""

T = TypeVar("T")

_FINE, _STOPPED, _FAILED = 0, 1, 2
"""What a process says of its work, the worst last."""


@dataclass(eq=False)
class Ranks:
    """The processes of one training; one alone is the usual case, in which nothing here costs anything."""

    rank: int = 0
    size: int = 1
    group: Any = None
    """For words between the processes, over the network's CPU side: what they say makes no device wait."""
    parted: bool = field(default=False, init=False)
    """Whether all know that the training ends here, between two steps."""

    @classmethod
    def of(cls, fabric: Fabric) -> "Ranks":
        """Those that Fabric has launched. All of them come here, or none."""
        if fabric.world_size == 1:
            return cls()
        group = distributed.new_group(backend="gloo", timeout=LONGEST_WAIT)
        return cls(fabric.global_rank, fabric.world_size, group)

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and tells."""
        return self.rank == 0

    def shares(self, batch: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """A batch in its order, a nearly equal share a process."""
        return np.array_split(batch, self.size)

    def share(self, batch: NDArray[np.int64]) -> NDArray[np.int64]:
        """This process's."""
        return self.shares(batch)[self.rank]

    def agree(self, work: Callable[[], T]) -> T:
        """Do `work` on each, and go on where all have done it.

        Where it failed on any, its error is raised there and FailedElsewhereError on the others; where any was asked
        to stop, Interrupted is raised on all. Raises WorkerError where a process is gone.
        """
        if self.size == 1:
            return work()
        try:
            done, error = work(), None
        except (Exception, Interrupted) as raised:
            done, error = None, raised
        worst = _FINE if error is None else _STOPPED if isinstance(error, Interrupted) else _FAILED
        if self._worst(worst) == _FINE:
            return done  # pyright: ignore[reportReturnType]
        said = self._everyones(None if error is None else (worst, _words(error)))
        self.parted = True
        if worst == _FAILED and error is not None:
            raise error
        failed = [(rank, told[1]) for rank, told in enumerate(said) if told is not None and told[0] == _FAILED]
        if not failed:
            raise Interrupted
        raise self._elsewhere(*failed[0])

    def from_first(self, work: Callable[[], T]) -> T:
        """What `work` gives on the first process, on all; it is done there alone. Fails as `agree` does."""
        if self.size == 1:
            return work()
        box = [self.agree(work if self.first else lambda: None)]
        with self._connected():
            distributed.broadcast_object_list(box, src=0, group=self.group)
        return box[0]  # pyright: ignore[reportReturnType]

    def by_first(self, work: Callable[[], object]) -> None:
        """Do `work` on the first process alone; the others wait. Fails as `agree` does."""
        self.agree(work if self.first else lambda: None)

    def everyones(self, work: Callable[[], T]) -> list[T]:
        """What `work` gives on each, in their order, on all. Fails as `agree` does."""
        if self.size == 1:
            return [work()]
        return self._everyones(self.agree(work))

    def join(self, mine: Tensor, counts: list[int]) -> list[Tensor]:
        """Tensors (n, m) of every process, on its own device, without waiting for the device. counts: their n's."""
        if self.size == 1:
            return [mine]
        padded = mine.new_zeros((max(counts), *mine.shape[1:]))
        padded[: len(mine)] = mine
        gathered = [torch.empty_like(padded) for _ in range(self.size)]
        distributed.all_gather(gathered, padded)
        return [each[:count] for each, count in zip(gathered, counts, strict=True)]

    @contextmanager
    def alike(self) -> Iterator[None]:
        """For what goes wrong on all in the same way, if at all: the first alone tells."""
        try:
            yield
        except IchnosError as error:
            if self.first:
                raise
            raise FailedElsewhereError(str(error), told=True) from error

    @contextmanager
    def linked(self) -> Iterator[None]:
        """For work in which devices wait for each other. Raises WorkerError where a process is gone."""
        try:
            yield
        except RuntimeError as error:
            if self.size > 1 and _is_of_network(error):
                raise _lost() from error
            raise

    def part(self) -> None:
        """At an end that all know of: wait until the first has written what it has to write."""
        if self.size > 1:
            with suppress(RuntimeError):  # whoever is gone already waits for nobody
                distributed.barrier(group=self.group)

    def close(self) -> None:
        """Give back the connection that `of` made."""
        if self.size > 1:
            with suppress(RuntimeError):
                distributed.destroy_process_group(self.group)
            self.group = None  # its threads end with it; whoever keeps an error keeps this object

    def _worst(self, mine: int) -> int:
        said = torch.tensor([mine])
        with self._connected():
            distributed.all_reduce(said, distributed.ReduceOp.MAX, group=self.group)
        return int(said)

    def _everyones(self, mine: Any) -> list[Any]:
        said: list[Any] = [None] * self.size
        with self._connected():
            distributed.all_gather_object(said, mine, group=self.group)
        return said

    @contextmanager
    def _connected(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            self.parted = True
            raise _lost() from error

    def _elsewhere(self, rank: int, words: str) -> FailedElsewhereError:
        """The first tells of it too: whoever follows a training follows that one."""
        return FailedElsewhereError(f"process {rank + 1} of {self.size} failed: {words}", told=not self.first)


def _words(error: BaseException) -> str:
    return fault_of(error) if isinstance(error, Exception) else "it was asked to stop"


def _lost() -> WorkerError:
    return WorkerError(
        "another process of this training is gone, killed or with its machine (see what it said last); the run goes on "
        "from its last save with the same command"
    )


def _is_of_network(error: RuntimeError) -> bool:
    """gloo's errors within a backward pass are plain RuntimeErrors that name its source files."""
    return isinstance(error, distributed.DistError) or "gloo" in str(error) or "NCCL" in str(error)
