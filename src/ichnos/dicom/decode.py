"""Pixel data to stored values: uncompressed data straight from its bytes, the rest by pydicom's decoders."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import get_frame
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    HTJ2K,
    UID,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000TransferSyntaxes,
    RLELossless,
)

from ichnos.dicom.codestream import refuse_damaged
from ichnos.dicom.elements import whole_number
from ichnos.dicom.rle import rle_cells
from ichnos.errors import DicomError

_ROWS, _COLUMNS = 0x00280010, 0x00280011
_BITS_ALLOCATED, _BITS_STORED, _HIGH_BIT, _PIXEL_REPRESENTATION = 0x00280100, 0x00280101, 0x00280102, 0x00280103
_PIXEL_DATA = 0x7FE00010

_JPEG_END = b"\xff\xd9"
"""What ends every JPEG, JPEG-LS and JPEG 2000 stream. Without it decoders fill what is missing with zeros."""

_JPEG_END_WITHIN = 18
"""Bytes from the end in which it must lie: streams are padded to even length, and by some to more."""


@dataclass(frozen=True)
class PixelLayout:
    """How stored values lie in their cells (DICOM PS3.5 8.1.1)."""

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool

    @classmethod
    def of(cls, dataset: Dataset) -> "PixelLayout":
        """Read the layout. Raises DicomError where it is incomplete, contradictory, or not of 8 or 16 bits."""
        rows, columns = whole_number(dataset, _ROWS), whole_number(dataset, _COLUMNS)
        allocated, stored = whole_number(dataset, _BITS_ALLOCATED), whole_number(dataset, _BITS_STORED)
        representation = whole_number(dataset, _PIXEL_REPRESENTATION)
        if not rows or not columns or allocated is None or representation is None:
            raise DicomError("it has no pixels, or does not say how they are stored; send images, not reports")
        stored = allocated if stored is None else stored
        high_bit = whole_number(dataset, _HIGH_BIT)
        high_bit = stored - 1 if high_bit is None else high_bit
        if allocated not in (8, 16) or not 1 <= stored <= high_bit + 1 <= allocated:
            raise DicomError(
                f"its pixels have {stored} bits up to bit {high_bit} in cells of {allocated}; "
                "CT slices in cells of 8 or 16 bits are read"
            )
        return cls(rows, columns, allocated, stored, high_bit, representation == 1)

    @property
    def byte_count(self) -> int:
        """Bytes of one uncompressed frame."""
        return self.rows * self.columns * self.bits_allocated // 8


def stored_values(
    dataset: FileDataset, layout: PixelLayout, decompressed: Callable[[], NDArray[np.integer]]
) -> NDArray[np.integer]:
    """The stored values, shape (rows, columns), signed or not as the layout says, without unused bits.

    decompressed: gives the cells of a compressed file, see decoder.py. Raises DicomError where pixels are absent, fewer
    than they should be, or in a form that no decoder here reads.
    """
    syntax = dataset.file_meta.get("TransferSyntaxUID") if hasattr(dataset, "file_meta") else None
    if syntax is None:
        raise DicomError("it does not name its transfer syntax; rewrite it as a DICOM file with a file meta header")
    element = dataset.get_item(_PIXEL_DATA)
    if element is None or not element.value:
        raise DicomError("it has no pixel data (a file cut short, or no image); copy the file again")
    if is_compressed(syntax):
        return without_unused_bits(decompressed(), layout)
    big_endian = syntax == ExplicitVRBigEndian
    return without_unused_bits(native_cells(element.value, layout, big_endian=big_endian), layout)


def is_compressed(syntax: UID) -> bool:
    """Whether pixels in this transfer syntax need a decoder."""
    return syntax.is_encapsulated if syntax.is_transfer_syntax else True  # a private syntax may be anything


def native_cells(data: bytes, layout: PixelLayout, *, big_endian: bool = False) -> NDArray[np.integer]:
    """Uncompressed bytes as cells, shape (rows, columns). Raises DicomError where there are too few, or many frames."""
    wanted = layout.byte_count
    if len(data) < wanted:
        raise DicomError(f"it is cut short: {len(data)} of {wanted} bytes of pixels; copy the file again")
    if len(data) >= 2 * wanted:
        raise DicomError(f"it holds {len(data)} bytes of pixels where one slice has {wanted}; send single slices")
    refuse_spare(len(data), layout)
    order = ">" if big_endian else "<"
    cell = np.dtype(f"{order}u{layout.bits_allocated // 8}")
    cells = np.frombuffer(data, dtype=cell, count=layout.rows * layout.columns)
    return cells.reshape(layout.rows, layout.columns)


def refuse_spare(length: int, layout: PixelLayout, frames: int = 1) -> None:
    """Raise DicomError where so many bytes of pixels are a row or a column more than so many frames have.

    A damaged header gives another size than the pixels have, and would shear the slice or leave rows out. Bytes that
    pad the value are fewer.
    """
    wanted = frames * layout.byte_count
    if length - wanted >= min(layout.rows, layout.columns) * layout.bits_allocated // 8:
        of = f"{frames} frames of " if frames > 1 else ""
        raise DicomError(
            f"it holds {length} bytes of pixels where {of}{layout.rows}×{layout.columns} cells of "
            f"{layout.bits_allocated} bits take {wanted}; copy the file again"
        )


def decompressed_cells(dataset: FileDataset, layout: PixelLayout, frame: int | None = None) -> NDArray[np.integer]:
    """Compressed pixels as cells, shape (rows, columns), in this process; frame: from 1, None for the only one.

    Raises DicomError. Decoders are C code that damaged data can hang or crash, and that goes on with made-up pixels:
    called by decoding.py alone, which decoder.py runs.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        count = _count(dataset)
        if frame is None and count > 1:
            raise DicomError(f"it holds {count} frames where one slice is wanted; send single slices")
        stream = get_frame(dataset.PixelData, (frame or 1) - 1, number_of_frames=count)
        if syntax != RLELossless and _JPEG_END not in stream[-_JPEG_END_WITHIN:]:
            raise DicomError("it is cut short: its compressed pixels have no end; copy the file again")
        if syntax in JPEG2000TransferSyntaxes:
            refuse_damaged(stream)
        if syntax == RLELossless:
            cells = rle_cells(stream, layout.rows, layout.columns, layout.bits_allocated // 8)
        elif syntax in (HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL):
            cells = _openjpeg(stream, layout)
        else:
            cells = dataset.pixel_array if frame is None else pixel_array(dataset, index=frame - 1)
    except DicomError:
        raise
    except Exception as error:  # decoders raise whatever they like; here is the border
        known = syntax.name if syntax.name != str(syntax) else "nothing that is known here"
        raise DicomError(
            f"its pixels, compressed as {known}, cannot be decoded (damaged, or no decoder reads this form); "
            "convert it to a lossless syntax, for example with gdcmconv --raw"
        ) from error
    if cells.shape != (layout.rows, layout.columns) or cells.dtype.itemsize * 8 != layout.bits_allocated:
        raise DicomError(
            f"its pixels decode to {cells.dtype} of shape {cells.shape}, not to one slice of "
            f"{layout.rows}×{layout.columns} cells of {layout.bits_allocated} bits; send single slices"
        )
    return cells


def _count(dataset: FileDataset) -> int:
    """How many frames there are: with it fragments of one frame are put together where no table says which are."""
    return int(dataset.get("NumberOfFrames") or 1)


def _openjpeg(stream: bytes, layout: PixelLayout) -> NDArray[np.integer]:
    """High-throughput JPEG 2000, which GDCM cannot read (pydicom would want a further package between)."""
    from openjpeg.utils import decode  # loads a C library: only where it is needed

    cells = np.asarray(decode(stream))
    wanted = np.dtype(f"{cells.dtype.kind}{layout.bits_allocated // 8}")
    return cells.astype(wanted) if cells.dtype.itemsize < wanted.itemsize else cells


def without_unused_bits(cells: NDArray[np.integer], layout: PixelLayout) -> NDArray[np.integer]:
    """Keep the stored bits alone, extending the sign: what lies beside them may be overlays (PS3.5 8.1.1)."""
    kind = "i" if layout.signed else "u"
    native = cells.astype(f"=u{layout.bits_allocated // 8}", copy=False) if not cells.dtype.isnative else cells
    values = native.view(f"{kind}{layout.bits_allocated // 8}")
    unused = layout.bits_allocated - layout.bits_stored
    if unused == 0:
        return values
    return (values << (layout.bits_allocated - 1 - layout.high_bit)) >> unused
