"""What lies under some paths and would be read, series by series, as a tree and as lines; nothing is classified."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ichnos.counting import counted
from ichnos.ct.exams import Exam
from ichnos.dicom.exams import ExamReading, FoundExams, SeriesRecord, find_exams, read_found_exam
from ichnos.dicom.series_rules import DEFAULT_RULES, SeriesRules
from ichnos.dicom.shown import IMAGE_TYPES, shown_code, shown_kernel, shown_modality
from ichnos.progress import Progress
from ichnos.remote import Place

VERSION = 1
"""Of the tree: raised where a field changes its meaning or goes away."""

_IMAGE_TYPES = IMAGE_TYPES.union(DEFAULT_RULES.left_image_types)

Tree = dict[str, Any]


def inspect_paths(paths: Sequence[Place], progress: Progress, rules: SeriesRules = DEFAULT_RULES) -> Tree:
    """Read all exams under `paths` and say what was found. No name, identifier or UID is in it: all is numbered.

    Numbers of paths, exams and series count from 1, in the order given and found.
    """
    found = find_exams(paths, progress)
    exams: list[Tree] = []
    with progress.task("Reading exams", len(found.exams)) as task:
        for each in found.exams:
            exams.append(exam_tree(read_found_exam(each, rules)))
            task.advance()
    return {
        "version": VERSION,
        "exams": exams,
        **unread_tree(found),
    }


def unread_tree(found: FoundExams) -> Tree:
    """What lies under the paths and belongs to no exam."""
    unreadable = Counter((each.given, each.reason) for each in found.unreadable)
    return {
        "unreadable": [{"path": given, "reason": reason, "files": n} for (given, reason), n in unreadable.items()],
        "other_files": found.passed_over,
    }


def is_partial(tree: Tree) -> bool:
    """Whether something that was given could not be read."""
    return bool(tree["unreadable"]) or any(not exam["read"] or has_lost_slices(exam) for exam in tree["exams"])


def has_lost_slices(exam: Tree) -> bool:
    """Whether slices of the series that was taken, or files of it, could not be read."""
    return bool(exam["skipped"]) or any(series["taken"] and series["faulty_files"] for series in exam["series"])


def lines_of(tree: Tree) -> Iterator[str]:
    """The tree for people."""
    for exam in tree["exams"]:
        yield from _exam_lines(exam)
        yield ""
    for each in tree["unreadable"]:
        yield f"not read: {each['files']} × in path {each['path']}: {each['reason']}"
    if tree["other_files"]:
        yield f"passed over, neither DICOM nor NIfTI: {counted(tree['other_files'], 'file')}"
    read = sum(exam["read"] for exam in tree["exams"])
    yield f"{read} of {counted(len(tree['exams']), 'exam')} can be read"


def exam_tree(reading: ExamReading) -> Tree:
    """What was found of one exam, which series was taken and why, and what is doubtful or refused."""
    return {
        "exam": reading.found.number,
        "paths": list(reading.found.given),
        "source": reading.found.source.value,
        "read": reading.exam is not None,
        "refusal": reading.refusal,
        "geometry": None if reading.exam is None else _geometry(reading.exam),
        "doubts": [] if reading.exam is None else list(reading.exam.doubts),
        "skipped": [{"reason": reason, "slices": count} for reason, count in Counter(reading.skipped).items()],
        "series": [_series_tree(record) for record in reading.series],
    }


def _geometry(exam: Exam) -> Tree:
    gaps = exam.gaps
    return {
        "slices": len(exam),
        "rows": exam.hu.shape[1],
        "columns": exam.hu.shape[2],
        "pixel_spacing_mm": [round(spacing, 4) for spacing in exam.pixel_spacing],
        "thickness_mm": None if exam.thickness is None else round(exam.thickness, 3),
        "coverage_mm": round(exam.coverage, 1),
        "tilt_degrees": round(exam.tilt, 1),
        "gaps_mm": None
        if not len(gaps)
        else {
            "smallest": round(float(gaps.min()), 2),
            "usual": round(float(np.median(gaps)), 2),
            "largest": round(float(gaps.max()), 2),
        },
    }


def _series_tree(record: SeriesRecord) -> Tree:
    series = record.series
    return {
        "series": series.number,
        "taken": record.taken,
        "reason": record.reason,
        "modality": shown_modality(series.modality),
        "image_type": [shown_code(word, _IMAGE_TYPES) for word in series.image_type[:4]],
        "kernel": shown_kernel(series.kernel),
        "contrast": series.contrast,
        "slices": len(series.frames),
        "duplicates": series.duplicates,
        "faulty_files": len(series.faults),
        "thickness_mm": None if series.thickness is None else round(series.thickness, 3),
        "coverage_mm": round(series.coverage, 1),
    }


def _exam_lines(exam: Tree) -> Iterator[str]:
    places = ", ".join(map(str, exam["paths"]))
    yield f"exam {exam['exam']} ({exam['source']}, from path {places}): " + (
        "can be read" if exam["read"] else f"refused: {exam['refusal']}"
    )
    if exam["geometry"]:
        g = exam["geometry"]
        yield (
            f"  {counted(g['slices'], 'slice')} of {g['rows']}×{g['columns']}, pixels {g['pixel_spacing_mm'][0]:.3g}×"
            f"{g['pixel_spacing_mm'][1]:.3g} mm, covering {g['coverage_mm']:.0f} mm, tilt {g['tilt_degrees']:.1f}°"
            + _gap_words(g)
        )
    for doubt in exam["doubts"]:
        yield f"  doubt: {doubt}"
    for each in exam["skipped"]:
        yield f"  not read: {counted(each['slices'], 'slice')}: {each['reason']}"
    for series in exam["series"]:
        facts = f"{series['modality'] or 'no modality'}, {counted(series['slices'], 'slice')}"
        facts += f", {series['thickness_mm']:g} mm" if series["thickness_mm"] else ""
        facts += f", kernel {series['kernel']}" if series["kernel"] else ""
        yield f"  series {series['series']} ({facts}): {'taken' if series['taken'] else 'left'}: {series['reason']}"


def _gap_words(geometry: Tree) -> str:
    gaps = geometry["gaps_mm"]
    if gaps is None:
        return ""
    if gaps["largest"] - gaps["smallest"] <= 0.1:
        return f", {gaps['usual']:.2f} mm apart"
    return f", {gaps['smallest']:.2f} to {gaps['largest']:.2f} mm apart"
