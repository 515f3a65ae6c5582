"""What counts as memory that ran out, and what is said of a batch that it had no room for."""

from functools import partial

import numpy as np
import pytest
import torch

from ichnos.errors import TrainingError
from ichnos.training.memory import (
    is_out_of_memory,
    largest_that_fits,
    told_without_room,
    too_large,
    too_large_for_share,
)

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
TOO_MUCH = 10**15
"""More numbers than any computer has room for; asking for them costs nothing."""


def room_for(most: int, asked: int) -> None:
    """A step of so many slices on a computer with room for `most`, as torch says it there."""
    if asked > most:
        torch.empty(TOO_MUCH)


def test_a_cpu_without_room_is_told_as_such():
    for allocate in (torch.empty, partial(np.empty, dtype=np.float32)):
        with (
            pytest.raises(
                TrainingError, match=r"out of memory on cpu in prediction, with batches of 3 slices: free the"
            ),
            told_without_room("prediction", "batches of 3 slices", CPU),
        ):
            allocate(TOO_MUCH)


def test_the_computers_memory_is_not_taken_for_a_devices():
    with pytest.raises(TrainingError, match="out of memory on cpu in"), told_without_room("training", "all", CUDA):
        torch.empty(TOO_MUCH)
    said = "out of memory on cuda .* or use --device cpu"
    with pytest.raises(TrainingError, match=said), told_without_room("training", "all", CUDA):
        raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("std::bad_alloc"), True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (OSError(12, "Cannot allocate memory"), False),  # a process that could not be begun, say
        (ValueError("CUDA error: out of memory"), False),
    ],
)
def test_what_counts(error: Exception, counts: bool):
    assert is_out_of_memory(error) is counts


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="shapes"), told_without_room("prediction", "all", CPU):
        raise RuntimeError("shapes do not match")
    with pytest.raises(RuntimeError, match="tensor size"):
        largest_that_fits(lambda _: torch.zeros(2) @ torch.zeros(3), 8)


def test_which_batch_fits_a_cpu():
    said = str(too_large(partial(room_for, 5), 16, CPU))
    assert said.startswith("out of memory on cpu with batches of 16 slices; 4 fit: give --set fit.batch_size=4 and")
    assert "--accumulate 4" in said
    assert "2 do not fit either" in str(too_large(partial(room_for, 1), 16, CPU))


@pytest.mark.parametrize(
    ("batch", "room", "pieces", "said"),
    [
        (16, 4, 1, ["batches of 8 slices on each process; 4 fit on this one", "--accumulate 2,", "batch_size=8 and"]),
        (16, 1, 2, ["of 8 slices in 2 pieces on", "; 1 fits on this one", "--accumulate 8,", "batch_size=2 and"]),
        (16, 0, 1, ["one slice does not fit either: choose a smaller input.size or network"]),
    ],
)
def test_which_share_fits(batch: int, room: int, pieces: int, said: list[str]):
    told = str(too_large_for_share(partial(room_for, room), batch, 2, CPU, pieces))
    assert all(each in told for each in said), told


def test_pieces_that_the_smallest_share_has_no_slices_for_are_not_offered():
    """Of 5 slices one process has 3 and the other 2, which make no three pieces."""
    told = str(too_large_for_share(partial(room_for, 1), 5, 2, CPU))
    assert "1 fits on this one: give --set fit.batch_size=2 and another folder" in told
