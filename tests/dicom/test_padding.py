"""Padding that a file declares becomes air; tissue that happens to have the declared value stays."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from ichnos import inputs
from ichnos.ct import reconstruction_circle
from ichnos.ct.exams import AIR
from ichnos.dicom import read_slice
from ichnos.dicom.decoder import Decoder
from ichnos.dicom.finding import FoundFile
from ichnos.dicom.frames import read_facts
from ichnos.dicom.pixels import read_hu
from tests.dicom.ct_files import ct_dataset, file_of


def _read(
    stored: list[int],
    *,
    signed: bool,
    intercept: int = -1024,
    value: int | None = None,
    limit: int | None = None,
    vr: str | None = None,
    syntax: UID = ExplicitVRLittleEndian,
) -> list[int]:
    """The HU of a slice whose columns hold `stored`."""
    dataset = ct_dataset()
    dataset.Rows, dataset.Columns = 2, len(stored)
    dataset.PixelRepresentation, dataset.RescaleIntercept = int(signed), intercept
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    dataset.PixelData = np.array([stored, stored]).astype(f"{order}{'i' if signed else 'u'}2").tobytes()
    dataset["PixelData"].VR = "OW"
    for tag, number in ((0x00280120, value), (0x00280121, limit)):
        if number is not None:
            dataset.add_new(tag, vr or ("SS" if signed else "US"), number)
    return read_slice(file_of(dataset, syntax)).hu[1].tolist()


def test_air_is_the_air_of_the_road() -> None:
    assert AIR == inputs.AIR


SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
def test_unsigned_padding_above_all_tissue_is_air(syntax: UID) -> None:
    """The case that hurts: −2000 written into unsigned pixels reads as the brightest bone there is."""
    assert _read([63536, 1064, 0], signed=False, syntax=syntax) == [32767, 40, -1024]
    assert _read([63536, 1064, 0], signed=False, value=63536, syntax=syntax) == [-1024, 40, -1024]


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
def test_signed_padding_below_all_tissue_is_air(syntax: UID) -> None:
    assert _read([-2000, 1064, -24], signed=True, value=-2000, syntax=syntax) == [-1024, 40, -1048]


def test_the_sign_follows_the_pixels_not_the_vr() -> None:
    assert _read([-2000, 1064], signed=True, value=63536, vr="US") == [-1024, 40]


@pytest.mark.parametrize(("value", "limit"), [(63000, 64000), (64000, 63000)])
def test_a_range_of_padding_is_air(value: int, limit: int) -> None:
    stored = [62999, 63000, 63500, 64000, 64001, 1064]
    hu = _read(stored, signed=False, value=value, limit=limit)
    assert hu == [32767, -1024, -1024, -1024, 32767, 40]


def test_a_range_reaches_no_further_than_tissue() -> None:
    assert _read([-3000, -24, 24, 1064], signed=True, value=-3000, limit=1100) == [-1024, -1024, -1000, 40]


@pytest.mark.parametrize(
    ("stored", "signed", "intercept", "value"),
    [(0, True, 0, 0), (1024, False, -1024, 1024), (24, False, -1024, 24), (4095, False, -1024, 4095)],
)
def test_a_declared_value_that_tissue_has_is_not_padding(stored: int, signed: bool, intercept: int, value: int) -> None:
    assert _read([stored, 1064], signed=signed, intercept=intercept, value=value)[0] == stored + intercept


def test_the_commonest_declaration_changes_nothing() -> None:
    assert _read([0, 1064], signed=False, value=0) == [-1024, 40]


def test_a_limit_without_a_value_is_no_padding() -> None:
    assert _read([63536, 1064], signed=False, limit=63536) == [32767, 40]


def test_a_declared_value_that_tissue_has_is_padding_where_nothing_was_scanned() -> None:
    """Water in the corners: 0 declared as padding by scanners that store HU."""
    dataset = ct_dataset(np.zeros((64, 64), np.int16))
    dataset.RescaleIntercept = 0
    dataset.add_new(0x00280120, "SS", 0)
    inside = reconstruction_circle(64, 64)
    np.testing.assert_array_equal(read_slice(file_of(dataset)).hu, np.where(inside, 0, AIR))


@given(
    value=st.integers(-(1 << 15), (1 << 15) - 1),
    limit=st.none() | st.integers(-(1 << 15), (1 << 15) - 1),
    signed=st.booleans(),
    intercept=st.sampled_from([0, -1000, -1024]),
    seed=st.integers(0, 99),
)
@settings(max_examples=25, deadline=None)
def test_slices_for_training_and_exams_have_the_same_padding(
    value: int, limit: int | None, signed: bool, intercept: int, seed: int
) -> None:
    """Both roads read the same HU, but that exams hold nothing below air."""
    pixels = np.random.default_rng(seed).choice([0, 24, 1064, 4095, -1, -2000, value, limit or 0], (16, 16))
    dataset = ct_dataset(pixels.astype(np.int16))
    dataset.PixelRepresentation, dataset.RescaleIntercept = int(signed), intercept
    for tag, number in ((0x00280120, value), (0x00280121, limit)):
        if number is not None:
            dataset.add_new(tag, "SS" if signed else "US", number if signed else number & 0xFFFF)
    data = file_of(dataset)
    with tempfile.TemporaryDirectory() as folder, Decoder() as decoder:
        path = Path(folder) / "slice"
        path.write_bytes(data)
        (frame,) = read_facts(FoundFile(path, 1, len(data)), data).frames
        np.testing.assert_array_equal(read_hu(frame, decoder), np.maximum(read_slice(data).hu, AIR))
