"""Writing slices as RSNA has them, and reading them back."""

import warnings
from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread

from ichnos.dicom import PixelEncoding, SliceIdentity, SlicePlacement, read_slice, rsna_slice_bytes

IDENTITY = SliceIdentity("ID_a79b19488", "ID_1", "ID_2", "ID_3")
PLACEMENT = SlicePlacement((-125.0, -141.318451, 62.720940))
HU = np.random.default_rng(7).integers(-1000, 2047, (64, 64)).astype(np.int16)

RSNA_ELEMENTS = [
    "SOPInstanceUID",
    "Modality",
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "StudyID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "Rows",
    "Columns",
    "PixelSpacing",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "WindowCenter",
    "WindowWidth",
    "RescaleIntercept",
    "RescaleSlope",
    "PixelData",
]


@pytest.mark.parametrize("encoding", PixelEncoding)
@pytest.mark.parametrize("explicit_vr", [False, True])
def test_hu_survive_every_encoding(encoding: PixelEncoding, explicit_vr: bool) -> None:
    data = rsna_slice_bytes(HU, IDENTITY, PLACEMENT, encoding=encoding, explicit_vr=explicit_vr)
    slice_ = read_slice(data)
    np.testing.assert_array_equal(slice_.hu, HU)
    assert slice_.header.sop_instance == "ID_a79b19488"
    assert slice_.header.position == PLACEMENT.position
    assert data == rsna_slice_bytes(HU, IDENTITY, PLACEMENT, encoding=encoding, explicit_vr=explicit_vr)


def test_just_rsnas_elements_are_written() -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Invalid value for VR UI")  # RSNA's identifiers, as they are
        dataset = dcmread(BytesIO(rsna_slice_bytes(HU, IDENTITY, PLACEMENT)))
        assert [element.keyword for element in dataset] == RSNA_ELEMENTS
        assert dataset.StudyID == ""


@pytest.mark.parametrize(
    ("encoding", "intercept", "bits", "signed"),
    [
        (PixelEncoding.SIGNED_16, -1024, 16, 1),
        (PixelEncoding.UNSIGNED_12, -1024, 12, 0),
        (PixelEncoding.UNSIGNED_12_MINUS_1000, -1000, 12, 0),
        (PixelEncoding.SIGNED_16_ZERO, 0, 16, 1),
        (PixelEncoding.SIGNED_12_ZERO, 0, 12, 1),
        (PixelEncoding.WRAPPED_12, 0, 12, 0),
    ],
)
def test_encodings_are_what_they_are_called(encoding: PixelEncoding, intercept: int, bits: int, signed: int) -> None:
    dataset = dcmread(BytesIO(rsna_slice_bytes(HU, IDENTITY, PLACEMENT, encoding=encoding)))
    assert dataset.RescaleIntercept == intercept
    assert (dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation) == (bits, bits - 1, signed)


def test_hu_beyond_an_encoding_are_held_to_its_ends() -> None:
    extremes = np.array([[-3024, 9000]], np.int16)
    hu = read_slice(rsna_slice_bytes(extremes, IDENTITY, PLACEMENT, encoding=PixelEncoding.UNSIGNED_12)).hu
    assert hu.tolist() == [[-1024, 3071]]


def test_padding_lies_outside_the_reconstruction_circle() -> None:
    hu = read_slice(rsna_slice_bytes(HU, IDENTITY, PLACEMENT, padding=-2000)).hu
    assert hu[0, 0] == hu[-1, -1] == -3024
    np.testing.assert_array_equal(hu[32], HU[32])
    assert 0.75 < (hu == HU).mean() < 0.82, "a circle fills π/4 of its square"


def test_padding_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        rsna_slice_bytes(HU, IDENTITY, PLACEMENT, encoding=PixelEncoding.UNSIGNED_12, padding=-2000)


def test_what_is_not_int16_is_refused() -> None:
    with pytest.raises(ValueError, match="float64"):
        rsna_slice_bytes(HU.astype(float), IDENTITY, PLACEMENT)  # type: ignore[arg-type]
