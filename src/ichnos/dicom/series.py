"""Series as they were scanned: files put together by their identifiers, split where one series holds several stacks."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import UID

from ichnos.ct import order_along_normal
from ichnos.ct.geometry import coverage
from ichnos.dicom.frames import FileFacts, Frame
from ichnos.dicom.orientation import is_axial, tilt_degrees
from ichnos.errors import DicomError

_SAME_DIRECTION = 0.01
"""Direction cosines this close are one orientation: about half a degree, more than files round."""

_SAME_PLACE_MM = 0.02
"""Slices closer than this lie at one position: files round to 0.001 mm, and no scanner moves so little."""


_ANOTHER_THICKNESS = 1.5
"""Times as thick: another reconstruction, not another rounding."""

_LEAST_OF_A_SCAN = 6
"""Slices with one AcquisitionNumber: fewer are a turn of the gantry, of which a scan has many."""

_MOST_KINDS = 100
"""Kinds of slices under one series identifier: matrices, spacings, directions, thicknesses. A scanner writes a few, the
slices of a turning plane some dozens; a damaged file can say another for each of 20,000 frames."""


@dataclass(frozen=True, eq=False)
class Series:
    """Slices that lie one above the other, of one series of one study.

    number: from 1, in the order found, over everything that was given. frames: from foot to head, one a position.
    offsets: (frames,) mm along the normal. duplicates: frames left out because another lies at their
    position; copies of one and the same slice are not counted.
    faults: why further files of its identifier, or frames of its files, cannot be used, one an entry: of several
    stacks, each may have lost them. given: numbers of the paths that led to it. folder: see FileFacts.
    """

    number: int
    patient: str = field(repr=False)
    study: str = field(repr=False)
    uid: str = field(repr=False)
    modality: str
    sop_class: UID
    image_type: tuple[str, ...]
    description: str = field(repr=False)
    body_part: str
    kernel: str
    contrast: bool
    frames: tuple[Frame, ...]
    offsets: NDArray[np.float64]
    duplicates: int
    faults: tuple[str, ...]
    given: tuple[int, ...]
    folder: str = field(default="", repr=False)

    def with_frames(self, kept: Sequence[int]) -> "Series":
        """The same with some of its slices alone, by index."""
        return replace(self, frames=tuple(self.frames[index] for index in kept), offsets=self.offsets[list(kept)])

    @property
    def is_axial(self) -> bool:
        """Whether its slices lie across the body, gantry tilt allowed."""
        return bool(self.frames) and is_axial(self.frames[0].orientation)

    @property
    def tilt(self) -> float:
        """Degrees between its slices and the patient's axial plane."""
        return tilt_degrees(self.frames[0].orientation) if self.frames else 0.0

    @property
    def thickness(self) -> float | None:
        """mm, the middle of what its slices say; the usual gap where they say nothing."""
        said = [frame.thickness for frame in self.frames if frame.thickness is not None]
        if said:
            return float(np.median(said))
        return float(np.median(self.gaps)) if len(self.frames) > 1 else None

    @property
    def gaps(self) -> NDArray[np.float64]:
        """mm between neighbouring slices."""
        return np.diff(self.offsets)

    @property
    def coverage(self) -> float:
        """mm of head; see geometry.coverage."""
        return coverage(self.offsets, self.thickness) if self.frames else 0.0

    @property
    def missing(self) -> int:
        """Gaps in which a slice seems to be missing: wider than half again any slice thickness or the usual gap."""
        if len(self.frames) < 3:
            return 0
        thickest = max((frame.thickness or 0.0 for frame in self.frames), default=0.0)
        return int((self.gaps > 1.5 * max(thickest, float(np.median(self.gaps))) + 0.1).sum())


def series_of(files: Sequence[tuple[int, FileFacts]]) -> list[Series]:
    """Put files together to series, in the order in which they were found. files: (given, facts)."""
    by_series: defaultdict[tuple[str, ...], list[tuple[int, FileFacts]]] = defaultdict(list)
    for given, facts in files:
        by_series[facts.patient, facts.study, facts.series, facts.folder, facts.modality].append((given, facts))
    found: list[Series] = []
    for members in by_series.values():
        faults = tuple(fault for _, facts in members for fault in facts.faults)
        try:
            stacks = _stacks([facts for _, facts in members])
        except DicomError as error:
            stacks, faults = [(members[0][1], [])], (str(error),)
        given = tuple(sorted({number for number, _ in members}))
        for facts, frames in stacks:
            found.append(_series(len(found) + 1, facts, frames, faults, given))
    return found


def _series(
    number: int, facts: FileFacts, frames: Sequence[Frame], faults: tuple[str, ...], given: tuple[int, ...]
) -> Series:
    kept, offsets, duplicates = _in_order(frames)
    return Series(
        number=number,
        patient=facts.patient,
        study=facts.study,
        uid=facts.series,
        modality=facts.modality,
        sop_class=facts.sop_class,
        image_type=facts.image_type,
        description=facts.description,
        body_part=facts.body_part,
        kernel=facts.kernel,
        contrast=facts.contrast,
        frames=kept,
        offsets=offsets,
        duplicates=duplicates,
        faults=faults,
        given=given,
        folder=facts.folder,
    )


def _stacks(files: Sequence[FileFacts]) -> list[tuple[FileFacts, list[Frame]]]:
    """Slices that belong in one stack: same matrix, spacing, direction, kernel, contrast, kind of image, and
    reconstruction. Raises DicomError where they are of more kinds than any series has."""
    stacks: list[tuple[FileFacts, list[Frame]]] = []
    alike: defaultdict[tuple[object, ...], list[list[Frame]]] = defaultdict(list)
    kinds: set[tuple[int, float]] = set()
    for facts in files:
        for frame in facts.frames:
            others = alike[
                *(frame.layout.rows, frame.layout.columns, *(round(each, 3) for each in frame.pixel_spacing)),
                *(facts.kernel, facts.contrast, facts.image_type[:3], facts.sop_class),
            ]
            stack = next((frames for frames in others if _same_direction(frames[0], frame)), None)
            if stack is None:
                stack = []
                others.append(stack)
                stacks.append((facts, stack))
            stack.append(frame)
            kinds.add((id(stack), _rounded_thickness(frame)))
            if len(kinds) > _MOST_KINDS:
                raise DicomError(
                    f"its slices are of more than {_MOST_KINDS} kinds (matrix, spacing, direction, thickness, kernel), "
                    "which no scanner writes into one series; copy the files again, or send one series"
                )
    if not stacks:
        return [(files[0], [])]
    return [(facts, each) for facts, frames in stacks for each in _reconstructions(frames)]


def _reconstructions(frames: list[Frame]) -> list[list[Frame]]:
    """Thick and thin slices of one region, each a stack; together where they follow each other, as many scans of heads
    have thinner slices at the base."""
    by_thickness: defaultdict[float, list[Frame]] = defaultdict(list)
    for frame in frames:
        by_thickness[_rounded_thickness(frame)].append(frame)
    if len(by_thickness) < 2 or min(by_thickness) <= 0 or not _across_the_same(list(by_thickness.values())):
        return _scans(frames)
    return [scan for each in by_thickness.values() for scan in _scans(each)]


def _scans(frames: list[Frame]) -> list[list[Frame]]:
    """A region that was scanned twice, at other places the second time, as two stacks: by AcquisitionNumber. Slices
    that were made again at the same places stay, as repeated ones, and so does a scan of one turn a slice."""
    by_acquisition: defaultdict[int, list[Frame]] = defaultdict(list)
    for frame in frames:
        by_acquisition[frame.acquired[0]].append(frame)
    whole = [each for each in by_acquisition.values() if len(each) >= _LEAST_OF_A_SCAN]
    if len(whole) < 2 or not any(_lie_among(one, other) for one, other in combinations(whole, 2)):
        return [frames]
    return list(by_acquisition.values())


def _lie_among(one: Sequence[Frame], other: Sequence[Frame]) -> bool:
    """Whether two groups share more than half of the shorter one's extent, and few places."""
    plane = np.cross(one[0].orientation[:3], one[0].orientation[3:])
    few, many = sorted((np.sort([f.position for f in each] @ plane) for each in (one, other)), key=len)
    shared, shorter = min(few[-1], many[-1]) - max(few[0], many[0]), min(np.ptp(few), np.ptp(many))
    if not shared > shorter / 2 > 0:
        return False
    nearest = np.abs(few[:, None] - many[np.clip(np.searchsorted(many, few)[:, None] - [0, 1], 0, len(many) - 1)])
    return bool(np.mean(nearest.min(axis=1) <= _SAME_PLACE_MM) < 0.5)


def _rounded_thickness(frame: Frame) -> float:
    return round(frame.thickness or 0.0, 1)


def _across_the_same(groups: Sequence[Sequence[Frame]]) -> bool:
    """Whether two groups of clearly other thickness share more than half of the shorter one's extent."""
    plane = np.cross(groups[0][0].orientation[:3], groups[0][0].orientation[3:])
    ends = []
    for frames in groups:
        offsets = np.array([frame.position for frame in frames]) @ plane
        ends.append((frames[0].thickness or 0.0, float(offsets.min()), float(offsets.max())))
    for (thick, low, high), (other, lower, higher) in combinations(ends, 2):
        shared, shorter = min(high, higher) - max(low, lower), min(high - low, higher - lower)
        if max(thick, other) >= _ANOTHER_THICKNESS * min(thick, other) and shared > shorter / 2 > 0:
            return True
    return False


def _same_direction(one: Frame, other: Frame) -> bool:
    return all(abs(a - b) < _SAME_DIRECTION for a, b in zip(one.orientation, other.orientation, strict=True))


def _in_order(frames: Sequence[Frame]) -> tuple[tuple[Frame, ...], NDArray[np.float64], int]:
    """Frames from foot to head, one a position: of several, the one acquired first (then by identifier and frame).

    The first is the plain one where contrast runs in or a slice was made again; and the rule does not depend on the
    order in which files were found.
    """
    settled = sorted(frames, key=lambda f: (f.acquired, f.sop_instance, f.number or 0))
    if not settled:
        return (), np.empty(0), 0
    positions = np.array([frame.position for frame in settled])
    try:
        order, offsets = order_along_normal(positions, np.array([frame.orientation for frame in settled]))
    except ValueError:
        return tuple(settled[:1]), np.zeros(1), 0  # no plane: a rule leaves it as not axial
    kept: list[int] = []
    duplicates = 0
    for index in map(int, order):
        if not kept or offsets[index] - offsets[kept[-1]] > _SAME_PLACE_MM:
            kept.append(index)
            continue
        one, other = settled[index], settled[kept[-1]]
        copied = one.sop_instance != "" and (one.sop_instance, one.number) == (other.sop_instance, other.number)
        duplicates += not copied
        if index < kept[-1]:  # earlier among the settled
            kept[-1] = index
    return tuple(settled[index] for index in kept), offsets[kept], duplicates


def refused_by_all(series: Series) -> str:
    """Why none of a series' files can be used: the commonest of their faults."""
    if not series.faults:
        raise DicomError("a series without faults was asked for them")
    counts = Counter(series.faults)
    return max(sorted(counts), key=counts.__getitem__)
