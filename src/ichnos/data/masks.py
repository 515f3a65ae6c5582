"""Masks at a network's size: those of a set, made once and kept beside its caches, and those of synthetic lesions."""

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichnos.data.images import Images, JoinedImages
from ichnos.data.set import PreparedSet
from ichnos.files import cache_folder, can_be_written, explained, locked, replacing, write_json
from ichnos.inputs import resize
from ichnos.processes import in_processes
from ichnos.progress import Progress

MASKS_VERSION = 1
"""Raised whenever other bytes come of the same masks."""

NO_MASK, EMPTY = -1, -2
"""A place that is none: of a slice whose blood nobody outlined, and of one that is known to have none."""

_BITS = 8
_BLOCK = 256
"""Slices that one worker brings to size at a time."""

_WORTH_PROCESSES = 8
"""Blocks; fewer are done in less time than processes take to start."""


@dataclass(frozen=True, eq=False)
class Masks:
    """The masks of N images, of which some have none and some an empty one.

    bits: (M, S, S) uint8, those that mark anything, bit k set where SUBTYPES[k] bleeds (or, by UNSAID, blood whose
    subtype is not told). places: (N,) where in `bits` each image's lies, NO_MASK or EMPTY.
    """

    bits: Images
    places: NDArray[np.int64]

    def __len__(self) -> int:
        """N."""
        return len(self.places)

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(n,) images → (n, S, S) bits; nothing is marked where there is no mask."""
        at = self.places[rows]
        gathered = np.zeros((len(rows), *self.bits.shape[1:]), np.uint8)
        if (at >= 0).any():
            gathered[at >= 0] = self.bits[at[at >= 0]]
        return gathered

    def known(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(n,) whether each of these images has a mask, be it an empty one."""
        return self.places[rows] != NO_MASK

    def of(self, rows: NDArray[np.int64]) -> "Masks":
        """Those of the given images alone, in this order."""
        return Masks(self.bits, self.places[rows])

    def and_then(self, others: "Masks") -> "Masks":
        """These images, and others behind them."""
        moved = np.where(others.places >= 0, others.places + len(self.bits), others.places)
        return Masks(JoinedImages([self.bits, others.bits]), np.concatenate([self.places, moved]))


def open_masks(prepared: PreparedSet, size: int, progress: Progress, workers: int | None = None) -> Masks:
    """The masks of all slices of a set at size × size pixels; made, or made anew, as need be.

    They lie in the set's folder, or in the user's cache folder where the set's cannot be written. A set without masks
    gives NO_MASK for each slice, and nothing is written.
    """
    masked = np.flatnonzero(prepared.index["mask_length"].is_not_null().to_numpy())
    if not len(masked):
        return Masks(np.empty((0, size, size), np.uint8), np.full(len(prepared.index), NO_MASK))
    key = _key(prepared, size)
    folder = prepared.path / "caches" / f"masks-{size}"
    if not _is_whole(folder, key) and not can_be_written(folder):
        folder = cache_folder() / "sets" / prepared.header.fingerprint / f"masks-{size}"
    if not _is_whole(folder, key):
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
        waiting = partial(progress.message, f"another process brings the masks to {size} px: waiting for it")
        with locked(folder, before_waiting=waiting), explained(folder):
            if not _is_whole(folder, key):
                _build(prepared, size, masked, folder, key, progress, workers)
    places = np.load(folder / "places.npy", allow_pickle=False)
    marked = int((places >= 0).sum())
    if not marked:
        return Masks(np.empty((0, size, size), np.uint8), places)
    return Masks(np.memmap(folder / "masks.u8", np.uint8, "r", shape=(marked, size, size)), places)


def mask_at(mask: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """A slice's mask (rows, columns) on its pixels' road: centred in a square, then size × size by the same filter.

    A pixel bleeds where at least half of it does, subtype by subtype.
    """
    small = np.zeros((size, size), np.uint8)
    for k in range(_BITS):
        one = (mask >> k & 1).astype(np.float32)
        if one.any():
            small |= (resize(_square(one), size) >= 0.5).astype(np.uint8) << k
    return small


def _square(one: NDArray[np.float32]) -> NDArray[np.float32]:
    side = max(one.shape)
    top, left = (side - one.shape[0]) // 2, (side - one.shape[1]) // 2
    square = np.zeros((side, side), np.float32)
    square[top : top + one.shape[0], left : left + one.shape[1]] = one
    return square


def _key(prepared: PreparedSet, size: int) -> dict[str, Any]:
    """The set's fingerprint does not look at masks: their places in the shards and lengths stand in for them."""
    lying = prepared.index.select("shard", "mask_start", "mask_length").fill_null(-1).to_numpy().astype(np.int64)
    digest = hashlib.sha256(np.ascontiguousarray(lying, dtype="<i8").tobytes()).hexdigest()[:16]
    return {"version": MASKS_VERSION, "set": prepared.header.fingerprint, "masks": digest, "size": size}


def _is_whole(folder: Path, key: dict[str, Any]) -> bool:
    try:
        return json.loads((folder / "header.json").read_bytes()) == key
    except (OSError, ValueError):
        return False


def _build(
    prepared: PreparedSet,
    size: int,
    masked: NDArray[np.int64],
    folder: Path,
    key: dict[str, Any],
    progress: Progress,
    workers: int | None,
) -> None:
    """From the beginning where it was stopped: masks are few beside slices, and most of them are empty."""
    (folder / "header.json").unlink(missing_ok=True)
    places = np.full(len(prepared.index), NO_MASK)
    places[masked] = EMPTY
    blocks = [masked[start : start + _BLOCK] for start in range(0, len(masked), _BLOCK)]
    bring = partial(_brought, prepared, size)
    found: list[tuple[NDArray[np.int64], NDArray[np.uint8]]] = []
    with progress.task(f"Bringing masks to {size} px", len(masked)) as task:
        for rows, bits in in_processes(bring, blocks, workers if len(blocks) >= _WORTH_PROCESSES else 1):
            found.append((rows, bits))
            task.advance(len(masked) / len(blocks))
    found.sort(key=lambda each: each[0][0] if len(each[0]) else -1)  # processes give blocks in any order
    marked = np.concatenate([rows for rows, _ in found])
    places[marked] = np.arange(len(marked))
    with replacing(folder / "masks.u8") as temporary, temporary.open("wb") as file:
        for _, bits in found:
            file.write(bits.tobytes())
    with replacing(folder / "places.npy") as temporary, temporary.open("wb") as file:
        np.save(file, places, allow_pickle=False)
    write_json(folder / "header.json", key)


def _brought(prepared: PreparedSet, size: int, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Of some rows those with a mark, and their masks; one that is too small for this size is an empty mask by then."""
    marked: list[int] = []
    bits: list[NDArray[np.uint8]] = []
    for row in rows.tolist():
        mask = prepared.mask(row)
        assert mask is not None
        if mask.any():
            marked.append(row)
            bits.append(mask_at(mask, size))
    return np.array(marked, np.int64), np.array(bits, np.uint8).reshape(-1, size, size)
