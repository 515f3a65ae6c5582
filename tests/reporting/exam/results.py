"""Exams that were read and classified, made up: on files of a folder where DICOM output needs them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ichnos.dicom.exams import find_exams, read_found_exam
from ichnos.findings import ClassFinding, ExamFindings, SliceFinding, Source
from ichnos.reporting.exam import ExamResult
from ichnos.subtypes import CLASSES, SUBTYPES, Subtype
from ichnos.workflows.inspect import exam_tree
from tests.ct.nifti_files import nifti_bytes
from tests.dicom.head_files import head

DIGEST = "ab" * 32

CALLED: Mapping[Subtype, tuple[int, ...]] = {
    Subtype.ANY: (3, 4, 5, 9),
    Subtype.SUBDURAL: (3, 4, 5),
    Subtype.INTRAVENTRICULAR: (9,),
}
"""In which slices the classes are called; the middle one is key."""


def result_of(
    path: Path,
    called: Mapping[Subtype, tuple[int, ...]] = CALLED,
    outputs: tuple[Subtype, ...] = CLASSES,
    options: str = "",
    digest: str = DIGEST,
    doubts: tuple[str, ...] = ("it was made up",),
    response: float = 1.0,
) -> ExamResult:
    """What is said of the one exam under `path`: made up, but of that exam's own slices.

    response: of the maps, where a class is called; 0 for a network that calls it and looked nowhere.
    """
    reading = read_found_exam(find_exams([path]).exams[0])
    assert reading.exam is not None
    count = len(reading.exam)
    maps = np.zeros((count, len(outputs), 4, 4), np.float32)
    for k, subtype in enumerate(outputs):
        for index in called.get(subtype, ()):
            maps[index, k, 1, 2] = response * (1 + k + index / 10)  # nearer the front, left of the middle
    return ExamResult(
        reading.exam, findings_of(count, called, digest, doubts), maps, outputs, exam_tree(reading), options
    )


def write_nifti(path: Path) -> Path:
    """The head of tests.dicom.head_files as a NIfTI file."""
    exam = head()
    affine = np.diag([-exam.pixel_spacing[1], -exam.pixel_spacing[0], exam.positions[1, 2] - exam.positions[0, 2], 1.0])
    path.write_bytes(nifti_bytes(exam.hu.transpose(2, 1, 0), affine))
    return path


def findings_of(
    count: int, called: Mapping[Subtype, tuple[int, ...]], digest: str = DIGEST, doubts: tuple[str, ...] = ()
) -> ExamFindings:
    """Of so many slices."""
    return ExamFindings(
        source=Source(ichnos="0.1.0", bundle="Made up", bundle_digest=digest, population="nobody", calibrated=True),
        exam="exam-001",
        urgent=bool(called),
        any=_class(Subtype.ANY, called),
        subtypes=tuple(_class(each, called) for each in SUBTYPES),
        slices=tuple(
            SliceFinding(index=k, offset_mm=5.0 * k, probabilities={c: _slice(c, k, called) for c in CLASSES})
            for k in range(count)
        ),
        doubts=doubts,
    )


def _slice(subtype: Subtype, index: int, called: Mapping[Subtype, tuple[int, ...]]) -> float:
    return 0.8 if index in called.get(subtype, ()) or (subtype is Subtype.ANY and called and index == 1) else 0.1


def _class(subtype: Subtype, called: Mapping[Subtype, tuple[int, ...]]) -> ClassFinding:
    slices = called.get(subtype, ())
    return ClassFinding(
        subtype=subtype,
        present=bool(slices),
        probability=0.875 if slices else 0.125,
        threshold_balanced=0.5,
        threshold_high_sensitivity=0.25,
        slices=slices,
        key_slice=slices[len(slices) // 2] if slices else None,
    )
