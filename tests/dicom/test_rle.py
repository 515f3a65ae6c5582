"""RLE frames: what others encode is decoded; bytes that were lost or added anywhere are told."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.encaps import get_frame
from pydicom.uid import RLELossless

from ichnos.dicom.decode import PixelLayout
from ichnos.dicom.decoder import Decoder, FileInMemory
from ichnos.dicom.rle import rle_cells
from ichnos.errors import DicomError
from tests.dicom.ct_files import PIXELS, ct_dataset, file_of


def frame_of(pixels: NDArray[np.int16]) -> bytes:
    """As pydicom encodes it."""
    dataset = ct_dataset(pixels)
    dataset.compress(RLELossless)
    return get_frame(dataset.PixelData, 0, number_of_frames=1)


def second_segment(frame: bytes) -> int:
    """Where it begins."""
    return struct.unpack_from("<I", frame, 8)[0]


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 200), st.integers(1, 300))
def test_what_pydicom_encodes_is_decoded(seed: int, rows: int, columns: int, values: int) -> None:
    pixels = np.random.default_rng(seed).integers(-values, values, (rows, columns), dtype=np.int16)
    np.testing.assert_array_equal(rle_cells(frame_of(pixels), rows, columns, 2).view(np.int16), pixels)


def test_cells_of_one_byte() -> None:
    frame = struct.pack("<16I", 1, 64, *[0] * 14) + bytes([3, 1, 2, 3, 4, 0x80, 256 - 1, 9, 0])
    np.testing.assert_array_equal(rle_cells(frame, 2, 3, 1), [[1, 2, 3], [4, 9, 9]])


@pytest.mark.parametrize("segment", [0, 1])
@pytest.mark.parametrize("change", [-40, -2, -1, 1, 2, 40])
def test_bytes_lost_or_added_are_told(segment: int, change: int) -> None:
    frame = frame_of(PIXELS)
    begins = [64, second_segment(frame), len(frame)]
    middle = (begins[segment] + begins[segment + 1]) // 2
    told = bytearray(frame)
    if change < 0:
        del told[middle : middle - change]
    else:
        told[middle:middle] = b"\x01\x07" * 20 if change == 40 else b"\x05\x07"[:change]
    if segment == 0:
        struct.pack_into("<I", told, 8, begins[1] + change)
    with pytest.raises(DicomError, match="RLE data are damaged"):
        rle_cells(bytes(told), *PIXELS.shape, 2)


@pytest.mark.parametrize("padding", [b"\0", b"\0\0", b"\0\0\0\0", b"\x80\0"])
def test_padding_is_no_damage(padding: bytes) -> None:
    np.testing.assert_array_equal(rle_cells(frame_of(PIXELS) + padding, *PIXELS.shape, 2).view(np.int16), PIXELS)


@pytest.mark.parametrize(("at", "value"), [(0, 0), (0, 1), (0, 3), (4, 0), (4, 2**31), (8, 70_000), (8, 63)])
def test_a_damaged_header_is_told(at: int, value: int) -> None:
    frame = bytearray(frame_of(PIXELS))
    struct.pack_into("<I", frame, at, value)
    with pytest.raises(DicomError, match="RLE header"):
        rle_cells(bytes(frame), *PIXELS.shape, 2)


@pytest.mark.parametrize("length", [0, 3, 63, 64])
def test_a_frame_cut_short_in_its_header_is_told(length: int) -> None:
    with pytest.raises(DicomError, match="RLE"):
        rle_cells(frame_of(PIXELS)[:length], *PIXELS.shape, 2)


def test_a_slice_that_is_read_whole_or_not_at_all() -> None:
    """Two bytes less in the second segment: everything after them would lie elsewhere."""
    dataset = ct_dataset()
    dataset.compress(RLELossless)
    data = file_of(dataset, RLELossless)
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    middle = (second_segment(frame) + len(frame)) // 2
    dropped = data.replace(frame, frame[:middle] + frame[middle + 2 :] + b"\0\0")
    layout = PixelLayout(*PIXELS.shape, 16, 16, 15, signed=True)
    with Decoder() as decoder, pytest.raises(DicomError, match="RLE data are damaged"):
        decoder.decode(FileInMemory(dropped), None, layout)
