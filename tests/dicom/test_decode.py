"""Stored values: bits, signs, wrapped values and every transfer syntax."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from ichnos.dicom import read_slice
from ichnos.dicom.hounsfield import Rescale, to_hu
from tests.dicom.ct_files import PIXELS, ct_dataset, file_of


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_uncompressed(syntax: UID) -> None:
    np.testing.assert_array_equal(read_slice(file_of(ct_dataset(), syntax)).hu, PIXELS - 24)


def test_big_endian() -> None:
    dataset = ct_dataset()
    dataset.PixelData = PIXELS.astype(">i2").tobytes()
    dataset["PixelData"].VR = "OW"
    np.testing.assert_array_equal(read_slice(file_of(dataset, ExplicitVRBigEndian)).hu, PIXELS - 24)


def test_signs_are_extended_and_unused_bits_left_out() -> None:
    dataset = ct_dataset()
    stored = np.array([[-2048, -1, 0, 2047]], np.int16)
    dataset.Rows, dataset.Columns, dataset.BitsStored, dataset.HighBit = 1, 4, 12, 11
    for rubbish in (0x0000, 0xA000):
        dataset.PixelData = ((stored.view(np.uint16) & 0x0FFF) | rubbish).astype("<u2").tobytes()
        np.testing.assert_array_equal(read_slice(file_of(dataset)).hu, stored - 24)
        dataset.PixelRepresentation = 0
        np.testing.assert_array_equal(read_slice(file_of(dataset)).hu, (stored & 0x0FFF) - 24)
        dataset.PixelRepresentation = 1


def test_a_high_bit_above_the_stored_bits_is_heeded() -> None:
    dataset = ct_dataset()
    stored = np.array([[-2048, -1, 0, 2047]], np.int16)
    dataset.Rows, dataset.Columns, dataset.BitsStored, dataset.HighBit = 1, 4, 12, 15
    dataset.PixelData = (stored << 4).astype("<i2").tobytes()
    np.testing.assert_array_equal(read_slice(file_of(dataset)).hu, stored - 24)


def test_signed_12_bits_in_rle() -> None:
    stored = np.linspace(-2000, 2047, 64, dtype=np.int16).reshape(8, 8)
    dataset = ct_dataset(stored)
    dataset.BitsStored, dataset.HighBit = 12, 11
    dataset.compress(RLELossless)
    np.testing.assert_array_equal(read_slice(file_of(dataset, RLELossless)).hu, stored - 24)


@given(st.integers(-1000, 3095), st.sampled_from([0.0, 1.0]))
def test_wrapped_values_are_mended(hu: int, intercept: float) -> None:
    rescale = Rescale(slope=1, intercept=intercept, bits_stored=12, signed=False)
    assert rescale.wrapped
    assert to_hu(np.array([[hu % 4096]], np.uint16), rescale) == hu


@given(st.integers(0, 4095))
def test_wrapped_values_are_mended_as_rsna_users_found(stored: int) -> None:
    """Add 1000, subtract 4096 where ≥ 4096, and use intercept −1000."""
    shifted = stored + 1000
    expected = (shifted - 4096 if shifted >= 4096 else shifted) - 1000
    assert to_hu(np.array([[stored]], np.uint16), Rescale(1, 0, bits_stored=12, signed=False)) == expected


@pytest.mark.parametrize(("bits", "signed", "intercept"), [(12, True, 0), (16, False, 0), (12, False, -1024)])
def test_other_values_are_not_taken_for_wrapped(bits: int, signed: bool, intercept: float) -> None:
    assert not Rescale(1, intercept, bits_stored=bits, signed=signed).wrapped


def test_padding_is_kept_as_hu() -> None:
    pixels = PIXELS.copy()
    pixels[0] = -2000
    assert (read_slice(file_of(ct_dataset(pixels))).hu[0] == -2024).all()


@pytest.mark.parametrize("kind", [np.int16, np.uint16, np.uint8, np.int8])
@given(data=st.data())
def test_whole_steps_are_held_to_16_bits(kind: type[np.integer], data: st.DataObject) -> None:
    """By arithmetic without limits: whatever the sums, each pixel is its own, held to what int16 has."""
    limits, out = np.iinfo(kind), np.iinfo(np.int16)
    stored = data.draw(st.lists(st.integers(int(limits.min), int(limits.max)), min_size=1, max_size=6))
    intercept = data.draw(st.sampled_from([0.0, -1024.0, -1000.0, 24.0, -8192.0, 40_000.0, -65_535.0, 600_000.0]))
    hu = to_hu(np.array([stored], kind), Rescale(1, intercept, bits_stored=8 * np.dtype(kind).itemsize, signed=True))
    assert hu.dtype == np.int16
    assert hu.tolist() == [[min(max(value + intercept, out.min), out.max) for value in stored]]
