"""Labelled exams made of DICOM slices: what the sources `rsna` and `folder` share once they know files and labels."""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ichnos.ct import LabelledExam, LabelledSlice, SkippedSlice, order_along_normal
from ichnos.data.sources.base import ExamReference, Lazily
from ichnos.data.sources.files import FileStore, in_turn
from ichnos.data.sources.tables import Tables
from ichnos.dicom import CtSlice, SliceHeader, read_slice
from ichnos.errors import DicomError
from ichnos.subtypes import SUBTYPES


def exam_references(tables: Tables) -> Sequence[ExamReference]:
    """References to the series of `exams`, each read when it is asked for.

    Labels travel with each file, so that a worker that reads an exam needs no table of labels.
    """

    def reference(number: int) -> ExamReference:
        exam = tables.execute("SELECT patient, study, series, first, count FROM exams WHERE number = ?", (number,))
        patient, study, series, first, count = exam.fetchone()
        slices = tables.execute(
            "SELECT slice || '|' || bits || '|' || key FROM slices WHERE number BETWEEN ? AND ? ORDER BY number",
            (first, first + count - 1),
        )
        return ExamReference(patient, study, series, count, tuple(entry for (entry,) in slices))

    return Lazily(reference, range(tables.count("exams")))


def contents_of(tables: Tables, labels: str) -> str:
    """16 hex digits over the slices' files, as far as their headers were read, and over all labels, in their order.

    labels: the query that selects them.
    """
    digest = hashlib.blake2b(digest_size=8)
    for query in ("SELECT key, start FROM slices ORDER BY number", labels):
        for row in tables.execute(query):
            digest.update(f"{row!r}\n".encode())
    return digest.hexdigest()


def read_exam(store: FileStore, reference: ExamReference) -> LabelledExam:
    """Read the pixels of one exam, foot to head. A slice that cannot be read is in `skipped`, with the reason."""
    names: list[str] = []
    labels: list[NDArray[np.bool_]] = []
    slices: list[CtSlice] = []
    skipped: list[SkippedSlice] = []
    entries = [entry.split("|", 2) for entry in reference.files]
    reads = in_turn(store, store.read, [key for _, _, key in entries])
    for (name, bits, _), read in zip(entries, reads, strict=True):
        try:
            slices.append(_read_slice(read))
        except DicomError as error:
            skipped.append(SkippedSlice(name, str(error)))
            continue
        names.append(name)
        labels.append(label_array(int(bits)))
    headers = [slice_.header for slice_ in slices]
    labelled = tuple(
        LabelledSlice(name, slice_.hu, label, offset, slice_.pixel_spacing)
        for name, slice_, label, offset in zip(names, slices, labels, _offsets(headers), strict=True)
    )
    attributes = _attributes(headers)
    return LabelledExam(reference.patient, reference.exam, reference.series, labelled, tuple(skipped), attributes)


def label_array(bits: int) -> NDArray[np.bool_]:
    """Labels, bool, shape (5,), in the order of SUBTYPES, from bits."""
    return np.array([bits >> position & 1 for position in range(len(SUBTYPES))], dtype=np.bool_)


def _read_slice(read: Callable[[], bytes]) -> CtSlice:
    try:
        return read_slice(read())
    except PermissionError:
        raise DicomError("it cannot be opened: no permission to read it; grant it") from None
    except OSError as error:
        raise DicomError(f"it cannot be read: {error.strerror or 'input/output error'}; copy it again") from error


def _offsets(headers: Sequence[SliceHeader]) -> list[float]:
    if not headers:
        return []
    positions = np.array([header.position for header in headers])
    _, offsets = order_along_normal(positions, np.array([header.orientation for header in headers]))
    return [float(offset) for offset in offsets]


def _attributes(headers: Sequence[SliceHeader]) -> dict[str, str | float]:
    """What the files themselves say; RSNA's say nothing but the orientation, and so the tilt.

    tilt: degrees between the slices and the patient's axial plane, whichever way the gantry leans.
    """
    if not headers:
        return {}
    first = headers[0]
    attributes: dict[str, str | float] = {"tilt": first.tilt}
    if first.age is not None:
        attributes["age"] = first.age
    if first.sex:
        attributes["sex"] = first.sex
    if first.thickness is not None:
        attributes["slice_thickness"] = first.thickness
    return attributes
