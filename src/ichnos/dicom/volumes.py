"""A NIfTI file as an exam: the same array as the DICOM series that it was made from, whichever way it lies."""

import numpy as np

from ichnos.ct import order_along_normal
from ichnos.ct.exams import AIR, Exam, SliceReference, SourceKind
from ichnos.ct.geometry import coverage
from ichnos.ct.nifti import read_nifti
from ichnos.ct.plausibility import judge
from ichnos.dicom.finding import FoundFile
from ichnos.dicom.orientation import corner_and_directions, is_transposed, tilt_degrees, turn_upright
from ichnos.dicom.series_rules import DEFAULT_RULES
from ichnos.errors import ExamError


def read_volume_exam(file: FoundFile, largest_tilt: float = DEFAULT_RULES.largest_tilt) -> Exam:
    """Read a NIfTI volume in HU. Raises InputError where it is damaged, no volume of axial slices, or no head CT.

    largest_tilt: degrees between its slices and the axial plane (SeriesRules).
    """
    volume = read_nifti(file.read())
    slices = _slice_axis(volume.affine)
    across, down = (axis for axis in range(3) if axis != slices)
    steps = volume.affine[:3, :3]
    spacing = (float(np.linalg.norm(steps[:, down])), float(np.linalg.norm(steps[:, across])))
    orientation = (*(steps[:, across] / spacing[1]).tolist(), *(steps[:, down] / spacing[0]).tolist())
    if tilt_degrees(orientation) > largest_tilt:
        raise ExamError(f"its slices are not axial: they lie at {tilt_degrees(orientation):.0f}° to the axial plane")
    stored = volume.values.transpose(slices, down, across)
    corners = volume.affine[:3, 3] + np.arange(len(stored))[:, None] * steps[:, slices]
    order, offsets = order_along_normal(corners, np.tile(orientation, (len(corners), 1)))
    if len(order) > 1 and not np.diff(offsets[order]).min() > 0:
        raise ExamError("its slices all lie in one plane; write it again with its orientation")
    transposed = is_transposed(orientation)
    hu = np.empty((len(order), *(stored.shape[:0:-1] if transposed else stored.shape[1:])), np.int16)
    for place, index in enumerate(order):  # one by one, as most kinds of number take four times as much as HU
        hu[place] = turn_upright(np.maximum(volume.in_hu(stored[index]), AIR), orientation)
    pixel_spacing = (spacing[1], spacing[0]) if transposed else spacing
    gap = float(np.median(np.diff(offsets[order]))) if len(order) > 1 else None
    doubts = judge(hu, pixel_spacing, coverage(offsets, gap))
    placed = [corner_and_directions(corners[index].tolist(), orientation, spacing, stored.shape[1:]) for index in order]
    return Exam(
        hu=hu,
        offsets=offsets[order],
        pixel_spacing=pixel_spacing,
        positions=np.array([corner for corner, _ in placed]),
        orientation=placed[0][1],
        references=tuple(SliceReference(file.path, file.member, int(index) + 1) for index in order),
        source=SourceKind.NIFTI,
        tilt=tilt_degrees(orientation),
        thickness=gap,
        doubts=doubts,
    )


def _slice_axis(affine: np.ndarray) -> int:
    """The index that runs from foot to head: of the three the one whose step rises most along z, for its length."""
    steps = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return int(np.argmax(np.abs(steps[2])))
