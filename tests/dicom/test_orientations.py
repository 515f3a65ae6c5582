"""The same head lying in every way, as DICOM and as NIfTI, is the same exam."""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ichnos.ct.exams import Exam
from ichnos.dicom.exams import read_exam
from tests.ct.nifti_files import nifti_bytes
from tests.dicom.head_files import head, head_datasets, nifti_affine, write
from tests.dicom.test_exams import turned


def assert_same(exam: Exam, number: int) -> None:
    expected = head(number)
    np.testing.assert_array_equal(exam.hu, expected.hu)
    np.testing.assert_allclose(exam.positions, expected.positions, atol=1e-3)
    np.testing.assert_allclose(exam.orientation, expected.orientation, atol=1e-5)
    np.testing.assert_allclose(exam.pixel_spacing, expected.pixel_spacing, atol=1e-4)
    normal = np.cross(expected.orientation[:3], expected.orientation[3:])
    np.testing.assert_allclose(exam.offsets, expected.positions @ normal, atol=1e-3)
    assert exam.hu.flags.c_contiguous


@given(number=st.integers(0, 1), rows=st.booleans(), columns=st.booleans(), transpose=st.booleans(), order=st.randoms())
@settings(max_examples=16, deadline=None)
def test_as_dicom(number: int, rows: bool, columns: bool, transpose: bool, order) -> None:  # type: ignore[no-untyped-def]
    """Prone (rows and columns), feet first (columns), flipped and transposed arrays, files in any order."""
    datasets = [turned(d, rows=rows, columns=columns, transpose=transpose) for d in head_datasets(number)]
    order.shuffle(datasets)
    with tempfile.TemporaryDirectory() as folder:
        assert_same(read_exam(write(Path(folder), datasets)), number)


@given(
    number=st.integers(0, 1),
    axes=st.permutations(range(3)),
    flips=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    form=st.sampled_from(["sform", "qform"]),
    version=st.sampled_from([1, 2]),
    packed=st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_as_nifti(number: int, axes: list[int], flips: tuple[bool, ...], form: str, version: int, packed: bool) -> None:
    """RAS, LPS and every other order and direction of the three axes. A sheared stack has no qform."""
    exam = head(number)
    affine = nifti_affine(exam)
    values = exam.hu.transpose(2, 1, 0)
    for axis, flip in enumerate(flips):
        if flip:
            values = np.flip(values, axis)
            affine[:3, 3] += affine[:3, axis] * (values.shape[axis] - 1)
            affine[:3, axis] *= -1
    values, affine = values.transpose(axes), affine[:, [*axes, 3]]
    use = "sform" if number == 1 else form
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "head.nii.gz"
        path.write_bytes(nifti_bytes(values, affine, form=use, version=version, packed=packed))
        assert_same(read_exam(path), number)
