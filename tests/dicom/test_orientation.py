"""Which way a slice lies, and turning it."""

import numpy as np
import pytest

from ichnos.dicom import read_slice
from ichnos.dicom.orientation import is_axial, tilt_degrees, turn_upright
from tests.dicom.ct_files import PIXELS, ct_dataset, file_of

HU = PIXELS - 24


@pytest.mark.parametrize(
    ("orientation", "axial"),
    [
        ((1, 0, 0, 0, 1, 0), True),
        ((-1, 0, 0, 0, -1, 0), True),
        ((1, 0, 0, 0, np.cos(0.5), np.sin(0.5)), True),
        ((1, 0, 0, 0, 0, -1), False),
        ((0, 1, 0, 0, 0, -1), False),
        ((1, 0, 0, 1, 0, 0), False),
    ],
)
def test_axial(orientation: tuple[float, ...], axial: bool) -> None:
    assert is_axial(orientation) is axial


def test_tilt() -> None:
    lean = np.deg2rad(18.5)
    assert tilt_degrees((1, 0, 0, 0, np.cos(lean), -np.sin(lean))) == pytest.approx(18.5)


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        ([1, 0, 0, 0, 1, 0], HU),
        ([-1, 0, 0, 0, 1, 0], HU[:, ::-1]),
        ([1, 0, 0, 0, -1, 0], HU[::-1]),
        ([-1, 0, 0, 0, -1, 0], HU[::-1, ::-1]),
        ([0, 1, 0, 1, 0, 0], HU.T),
        ([0, -1, 0, -1, 0, 0], HU.T[::-1, ::-1]),
    ],
)
def test_slices_are_turned_upright(orientation: list[int], expected: np.ndarray) -> None:
    dataset = ct_dataset()
    dataset.ImageOrientationPatient = orientation
    slice_ = read_slice(file_of(dataset))
    np.testing.assert_array_equal(slice_.hu, expected)
    assert slice_.pixel_spacing == ((0.5, 0.25) if slice_.hu.shape == HU.shape else (0.25, 0.5))
    assert slice_.hu.flags.c_contiguous


def test_turning_names_the_same_points_of_the_patient() -> None:
    """Each cell's place in the patient, found from the orientation, must grow to the left and to the back."""
    for orientation in ((0, 1, 0, -1, 0, 0), (-1, 0, 0, 0, 1, 0)):
        row, column = np.array(orientation[:3]), np.array(orientation[3:])
        r, c = np.mgrid[:4, :5]
        place = c[..., None] * row + r[..., None] * column
        x = turn_upright(place[..., 0], orientation)
        y = turn_upright(place[..., 1], orientation)
        assert (np.diff(x, axis=1) > 0).all()
        assert (np.diff(y, axis=0) > 0).all()
