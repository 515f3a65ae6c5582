"""Files that are damaged in known places, and what their pixels must then be: an oracle of its own."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import nibabel
import numpy as np
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRBigEndian

from ichnos.ct import reconstruction_circle
from ichnos.ct.exams import AIR
from ichnos.dicom.frames import Frame
from ichnos.dicom.orientation import turn_upright

Kind = Literal["plain", "compressed", "packed"]
"""Whether pixels lie in the file as they are, in a codec's stream, or under deflate or gzip with all else."""


@dataclass(frozen=True)
class Seed:
    """A whole file. begin: where its pixels begin, of "plain" their value and of "compressed" their first item.

    cells: of each frame the stored values as unsigned cells; () where nobody can read them.
    """

    data: bytes
    kind: Kind
    begin: int
    cells: tuple[NDArray[np.integer], ...] = ()
    truth: tuple[NDArray[np.int16], ...] = ()


@dataclass
class Damaged:
    """A seed after some edits. begin: where its pixels begin now. header, pixels: whether bytes there changed.

    lost: whether the file ends before its pixels do.
    """

    seed: Seed
    data: bytearray
    begin: int
    header: bool = False
    pixels: bool = False
    lost: bool = False

    def overwrite(self, at: int, new: bytes) -> None:
        """Other bytes in place."""
        new = new[: len(self.data) - at]
        changed = [k for k, value in enumerate(new, start=at) if self.data[k] != value]
        self.header |= any(k < self.begin for k in changed)
        self.pixels |= any(k >= self.begin for k in changed)
        self.data[at : at + len(new)] = new

    def cut(self, at: int) -> None:
        """The file ends here."""
        self.header |= at < self.begin
        self.lost |= at < len(self.data)
        del self.data[at:]

    def double(self, at: int, count: int) -> None:
        """A stretch stands there twice. What comes first stays where it was, so the copy is what is new."""
        copied = self.data[at : at + count]
        new = at + len(copied)
        self.header |= new < self.begin
        self.pixels |= new >= self.begin
        self.begin += len(copied) if new < self.begin else 0
        self.data[new:new] = copied

    def drop(self, at: int, count: int) -> None:
        """A stretch is gone."""
        end = min(at + count, len(self.data))
        self.header |= at < self.begin
        self.pixels |= end > self.begin
        self.begin = at if at < self.begin < end else self.begin - (end - at if end <= self.begin else 0)
        del self.data[at:end]


def damaged(seed: Seed, rng: np.random.Generator) -> Damaged:
    """Flip bits (in the header more often than not), cut, overwrite lengths, double or drop a stretch."""
    made = Damaged(seed, bytearray(seed.data), seed.begin)
    header = min(len(seed.data), 1400)
    for _ in range(int(rng.integers(1, 6))):
        if len(made.data) < 16:
            break
        within = header if rng.random() < 0.6 else len(made.data)
        at = int(rng.integers(0, max(min(within, len(made.data)) - 8, 1)))
        match int(rng.integers(0, 6)):
            case 0:
                made.overwrite(at, bytes([made.data[at] ^ 1 << int(rng.integers(0, 8))]))
            case 1:
                made.overwrite(at, struct.pack("<I", int(rng.choice([0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF]))))
            case 2:
                made.overwrite(at, rng.bytes(2))
            case 3:
                if rng.random() < 0.3:
                    made.cut(max(at, 1))
            case 4:
                made.double(at, int(rng.integers(1, 60)))
            case _:
                made.drop(at, int(rng.integers(1, 60)))
    return made


def damaged_files(seeds: Sequence[Seed], count: int, seed: int) -> Iterator[Damaged]:
    """So many, of each seed in turn."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        yield damaged(seeds[number % len(seeds)], rng)


def assert_right_pixels(hu: NDArray[np.int16], frame: Frame, file: Damaged) -> None:
    """See that a frame that was read holds its own pixels and no others.

    Plain pixels are those that lie in the file, under the layout and rescale that it states. Compressed ones are the
    seed's where the stream is whole, or where it is cut; where bytes of it changed, which not every syntax tells, no
    row is made up.
    """
    if file.seed.kind == "plain":
        cells = _plain_cells(file, frame)
        assert cells is not None, "the file does not hold so many pixels"
        _assert_rescaled(hu, cells, frame)
    elif not file.header and not file.pixels:
        np.testing.assert_array_equal(hu, file.seed.truth[(frame.number or 1) - 1])
    elif file.seed.kind == "compressed" and not file.pixels and file.seed.cells:
        _assert_rescaled(hu, file.seed.cells[(frame.number or 1) - 1], frame)
    elif file.seed.truth:
        _assert_nothing_filled(hu, file.seed.truth[0], frame)


def assert_right_volume(hu: NDArray[np.int16], file: Damaged) -> None:
    """See that a NIfTI volume that was read holds the values that another reader finds in the file, in whatever order
    its orientation asks for, and that a packed one, which has a checksum, is the seed's own."""
    (truth,) = file.seed.truth
    if file.seed.kind == "packed" or not (file.header or file.pixels):
        np.testing.assert_array_equal(np.sort(hu, axis=None), np.sort(truth, axis=None))
        return
    values = _values_by_nibabel(bytes(file.data))
    if values is None:
        return
    wanted = np.maximum(np.clip(np.rint(values), -32768, 32767), AIR)
    np.testing.assert_array_equal(np.sort(hu, axis=None), np.sort(wanted, axis=None))
    assert hu.size == truth.size, "other sizes than the pixels have leave pixels over, or lack some"


def _values_by_nibabel(data: bytes) -> NDArray[np.float64] | None:
    """None where it refuses a header that ours reads: it checks fields that no value hangs on."""
    try:
        with np.errstate(all="ignore"):
            return np.asanyarray(nibabel.Nifti1Image.from_bytes(data).dataobj).astype(np.float64)
    except Exception:  # it raises of all kinds
        return None


def _plain_cells(file: Damaged, frame: Frame) -> NDArray[np.integer] | None:
    layout = frame.layout
    order = ">" if frame.syntax == ExplicitVRBigEndian else "<"
    at = file.begin + layout.byte_count * ((frame.number or 1) - 1)
    raw = bytes(file.data[at : at + layout.byte_count])
    if len(raw) < layout.byte_count:
        return None
    return np.frombuffer(raw, f"{order}u{layout.bits_allocated // 8}").reshape(layout.rows, layout.columns)


def _assert_rescaled(hu: NDArray[np.int16], cells: NDArray[np.integer], frame: Frame) -> None:
    """HU of PS3.3 C.11.1.1.2 from cells of PS3.5 8.1.1, written out; declared padding may be air instead."""
    layout, rescale = frame.layout, frame.rescale
    wide = cells.view(f"{cells.dtype.byteorder}u{cells.dtype.itemsize}").astype(np.int64)
    stored = (wide >> (layout.high_bit + 1 - layout.bits_stored)) & ((1 << layout.bits_stored) - 1)
    if layout.signed:
        stored = np.where(stored >> (layout.bits_stored - 1) == 1, stored - (1 << layout.bits_stored), stored)
    if rescale.wrapped:  # mended, and doubted
        stored = np.where(stored >= 3096, stored - 4096, stored) - rescale.intercept
    exact = np.clip(np.rint(stored * rescale.slope + rescale.intercept), -32768, 32767)
    may_be_padding = (exact < -1000) | (exact > 3071) | ~reconstruction_circle(*exact.shape)
    wanted = turn_upright(np.maximum(exact, AIR).astype(np.int16), frame.orientation)
    padded = turn_upright(may_be_padding, frame.orientation) & (hu == AIR) & (frame.padding is not None)
    np.testing.assert_array_equal(np.where(padded, AIR, wanted), hu)


def _assert_nothing_filled(hu: NDArray[np.int16], truth: NDArray[np.int16], frame: Frame) -> None:
    if abs(frame.rescale.slope) < 0.01 or hu.shape != truth.shape:  # all of one value, as stated; or another slice
        return
    filled = (np.ptp(hu, axis=1) == 0) & (np.ptp(truth, axis=1) > 300)
    assert not filled.any(), f"{np.count_nonzero(filled)} rows of one value where the slice shows something"
