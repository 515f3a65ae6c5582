"""Where slices are: spacing, tilt, turn, and that both grids lie on one another."""

import numpy as np
import pytest

from ichnos.ct import order_along_normal, slice_normal
from ichnos.phantom import CohortSettings, make_exam
from ichnos.phantom.fields import RandomField, interpolation
from ichnos.phantom.scanner import draw_scan
from tests.phantom.heads import axial


def _scans(matrix=128):
    return [draw_scan(np.random.default_rng(seed), matrix, (20, 60), 89.0) for seed in range(30)]


def test_some_gantries_are_tilted_and_some_are_not():
    tilts = [scan.gantry for scan in _scans()]
    assert 3 < np.count_nonzero(tilts) < 25


@pytest.mark.parametrize("scan", _scans()[:8])
def test_geometry_of_a_series(scan):
    positions, orientation = scan.positions(), scan.orientation
    order, offsets = order_along_normal(positions, np.tile(orientation, (scan.count, 1)))
    np.testing.assert_array_equal(order, np.arange(scan.count))
    np.testing.assert_allclose(np.diff(offsets), scan.thickness, atol=1e-6)
    np.testing.assert_allclose(np.diff(positions, axis=0), np.tile([0, 0, scan.step], (scan.count - 1, 1)), atol=1e-6)
    assert abs(np.dot(orientation[:3], orientation[3:])) < 1e-12
    assert slice_normal(orientation)[2] > 0.9


def test_an_exam_tells_its_geometry():
    exam = make_exam(CohortSettings(exams=1, seed=3, prevalence={}, matrix=64, slices=(12, 12)), 0)
    assert exam.positions.shape == (12, 3)
    assert exam.orientation.shape == (6,)
    assert 200 < exam.pixel_spacing[0] * 64 < 265
    assert 130 < exam.slice_thickness * 12 < 200


def test_a_plane_lies_where_the_pixels_of_its_slice_do():
    scan = _scans()[1]
    plane = scan.plane(3)
    rows, columns = plane.shape
    middle = plane.origin + 0.5 * (rows - 1) * plane.down + 0.5 * (columns - 1) * plane.across
    half = 0.5 * (scan.matrix - 1) * scan.spacing
    picture = scan.positions()[3] - scan.offset + half * (scan.orientation[:3] + scan.orientation[3:])
    np.testing.assert_allclose(middle, scan.turn @ picture, atol=1e-9)
    assert np.linalg.norm(plane.down) * rows == pytest.approx(scan.field_of_view)


def test_a_random_field_on_a_plane_is_the_field_at_its_places():
    field = RandomField.draw(np.random.default_rng(1), (10, 40))
    plane = axial(12.0, pixels=24)
    np.testing.assert_allclose(field.on(plane), field.at(*plane.coordinates()), atol=2e-3)


def test_interpolation_keeps_a_straight_line():
    weights = interpolation(np.array([2.0, 3.25, 5.5]), 9)
    np.testing.assert_allclose(weights @ np.arange(9.0), [2.0, 3.25, 5.5], atol=1e-5)
