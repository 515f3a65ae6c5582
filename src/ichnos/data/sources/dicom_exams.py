"""Labelled exams made of DICOM slices: what the sources `rsna` and `folder` share once they know files and labels."""

import hashlib
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ichnos.ct import LabelledExam, LabelledSlice, SkippedSlice, order_along_normal
from ichnos.data.sources.base import ExamReference, Lazily
from ichnos.data.sources.files import FileStore
from ichnos.dicom import CtSlice, SliceHeader, read_slice
from ichnos.errors import DicomError
from ichnos.subtypes import SUBTYPES


def exam_references(slices: pl.DataFrame) -> Sequence[ExamReference]:
    """References to series, each made when it is asked for from a table of `group_series`.

    It needs two columns more. slice: how the source names a slice, without `|`; bits: its labels, bit k is SUBTYPES[k].
    Labels travel with each file, so that a worker that reads an exam needs no table of labels.
    """
    places = slices.with_row_index("row").group_by("series_number", maintain_order=True)
    exams = places.agg(pl.col("patient", "study", "series", "row").first(), pl.len().alias("count"))
    files = slices.select("slice", "bits", "key")

    def reference(number: int) -> ExamReference:
        _, patient, study, series, start, count = exams.row(number)
        entries = tuple("|".join(map(str, row)) for row in files.slice(start, count).iter_rows())
        return ExamReference(patient, study, series, count, entries)

    return Lazily(reference, range(len(exams)))


def contents_of(slices: pl.DataFrame, labels: pl.DataFrame) -> str:
    """16 hex digits over the slices' files, as far as their headers were read, and over all labels, in their order."""
    digest = hashlib.blake2b(digest_size=8)
    for table in (slices.select("key", "start"), labels):
        for row in table.iter_rows():
            digest.update(f"{row!r}\n".encode())
    return digest.hexdigest()


def read_exam(store: FileStore, reference: ExamReference) -> LabelledExam:
    """Read the pixels of one exam, foot to head. A slice that cannot be read is in `skipped`, with the reason."""
    names: list[str] = []
    labels: list[NDArray[np.bool_]] = []
    slices: list[CtSlice] = []
    skipped: list[SkippedSlice] = []
    for entry in reference.files:
        name, bits, key = entry.split("|", 2)
        try:
            slices.append(_read_slice(store, key))
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


def _read_slice(store: FileStore, key: str) -> CtSlice:
    try:
        return read_slice(store.read(key))
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
