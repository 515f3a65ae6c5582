"""CT-ICH (Hssayeni 2020, PhysioNet): 82 patients, in either of its published forms, pictures (1.0) or NIfTI (1.3.1)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ichnos.ct import UNSAID, LabelledExam, LabelledSlice, SkippedSlice
from ichnos.data.sources.base import ExamReference, Scan
from ichnos.data.sources.ct_ich_tables import Demographics, Diagnosis, read_demographics, read_diagnoses
from ichnos.data.sources.files import digest_of, folder_store
from ichnos.data.sources.nifti import read_volume
from ichnos.data.sources.pictures import hu_from_pictures, read_picture
from ichnos.errors import InputError, SourceError
from ichnos.progress import Progress
from ichnos.remote import Place
from ichnos.subtypes import SUBTYPES

SLICE_SPACING_MM = 5.0
"""Between the slices of version 1.0, which does not say; the data set's paper says 5 mm (Hssayeni 2020, 2.1)."""

PIXEL_SPACING_MM = 230.0 / 632
"""Of version 1.0's pictures, which do not say: 632 pixels across a field of view of 230 mm, usual for a head. Lengths
and areas measured on these slices are therefore estimates."""

_PICTURES, _PICTURE_TABLE = "Patients_CT", "hemorrhage_diagnosis.csv"
_VOLUMES, _VOLUME_TABLE, _MASKS = "ct_scans", "hemorrhage_diagnosis_raw_ct.csv", "masks"
_VOLUME_SUFFIXES = (".nii", ".nii.gz")
_DEMOGRAPHICS = ("patient_demographics.csv", "Patient_demographics.csv")


@dataclass(frozen=True)
class CtIchSource:
    """CT-ICH. root: the folder that holds `Patients_CT` or `ct_scans` and the tables beside it.

    A patient has one exam and one series, all three named by the patient's number (`049`); slices are `049/12`, by
    SliceNumber, which runs from foot to head.
    """

    root: Place

    @property
    def name(self) -> str:
        """The source's name in a set."""
        return "ct-ich"

    def scan(self, progress: Progress, scratch: Path) -> Scan:
        """See Source. Rows without both pictures or without a volume are skipped by reason, and so the other way."""
        del scratch  # nothing here takes long
        form = _form_of(self.root)
        diagnoses = read_diagnoses(self.root / (_VOLUME_TABLE if form == _VOLUMES else _PICTURE_TABLE))
        with progress.task("Finding CT-ICH's slices", total=1) as task:
            scan = _scan_volumes(self.root, diagnoses) if form == _VOLUMES else _scan_pictures(self.root, diagnoses)
            task.advance()
        if not scan.exams:
            raise SourceError(f"{self.root} has a table, but no slice of it can be found in {form}; unpack it whole")
        return replace(scan, contents=_contents(self.root, form, diagnoses))

    def read(self, reference: ExamReference) -> LabelledExam:
        """See Source."""
        demographics = read_demographics([self.root / name for name in _DEMOGRAPHICS]).get(int(reference.patient))
        if reference.files and reference.files[0].startswith(_VOLUMES):
            return _read_volume_exam(self.root, reference, demographics)
        return _read_picture_exam(self.root, reference, demographics)


def _contents(root: Place, form: str, diagnoses: Sequence[Diagnosis]) -> str:
    files = [file for folder in (form, _MASKS) for file in sorted(folder_store(root).find(folder))]
    demographics = read_demographics([root / name for name in _DEMOGRAPHICS])
    return digest_of(files, [(diagnoses,), *sorted(demographics.items())])


def _form_of(root: Place) -> str:
    try:
        for folder in (_VOLUMES, _PICTURES):
            if (root / folder).is_dir():
                return folder
    except OSError as error:  # of a storage
        raise SourceError(f"{root} cannot be read: {error.strerror}") from error
    raise SourceError(
        f"{root} holds neither {_PICTURES} (version 1.0) nor {_VOLUMES} (1.3.1); give the folder of CT-ICH as unpacked"
    )


def _reference(patient: int, files: Sequence[str], count: int) -> ExamReference:
    number = f"{patient:03d}"
    return ExamReference(number, number, number, count, tuple(files))


def _scan_pictures(root: Place, diagnoses: Sequence[Diagnosis]) -> Scan:
    files: dict[int, list[str]] = {}
    skipped: list[SkippedSlice] = []
    pictures = _names(root, _PICTURES)
    for row in diagnoses:
        folder = f"{_PICTURES}/{row.patient:03d}"
        twins = [f"{folder}/{window}/{row.slice_number}.jpg" in pictures for window in ("brain", "bone")]
        if all(twins):
            files.setdefault(row.patient, []).append(f"{row.slice_number}|{row.labels}")
        elif twins[0]:
            # brain alone holds −20 to 100 HU: blood's window reaches 180, so clipped HU would teach what is not there
            skipped.append(
                SkippedSlice(row.name, "it has a brain picture, but no bone picture, so HU above 100 are lost")
            )
        elif twins[1]:
            skipped.append(
                SkippedSlice(row.name, "it has a bone picture, but no brain picture, so blood cannot be seen in it")
            )
        else:
            skipped.append(SkippedSlice(row.name, "it is in the table, but has no picture"))
    skipped += _without_row(pictures, {row.name for row in diagnoses})
    exams = tuple(_reference(patient, files[patient], len(files[patient])) for patient in sorted(files))
    return Scan(exams, tuple(skipped))


def _names(root: Place, folder: str) -> set[str]:
    """Of all files in a folder, their paths below the root: of a storage one list, where asking for each would wait."""
    return {name for name, _, _ in folder_store(root).find(folder)}


def _without_row(pictures: set[str], known: set[str]) -> list[SkippedSlice]:
    """Version 1.0's masks lie beside the pictures (`17_HGE_Seg.jpg`), and are none."""
    parts = [PurePosixPath(name).parts for name in pictures]
    shown = [each for each in parts if len(each) == 4 and each[2] in ("brain", "bone") and each[3].endswith(".jpg")]
    names = {f"{patient}/{picture.removesuffix('.jpg')}" for _, patient, _, picture in shown}
    unknown = sorted(name for name in names - known if name.rpartition("/")[2].isdecimal())
    return [SkippedSlice(name, "it has a picture, but is not in the table") for name in unknown]


def _read_picture_exam(root: Place, reference: ExamReference, demographics: Demographics | None) -> LabelledExam:
    folder = root / _PICTURES / reference.patient
    slices: list[LabelledSlice] = []
    skipped: list[SkippedSlice] = []
    for entry in reference.files:
        number, bits = map(int, entry.split("|"))
        name = f"{reference.patient}/{number}"
        try:
            brain, bone = (read_picture(folder / window / f"{number}.jpg") for window in ("brain", "bone"))
            hu = hu_from_pictures(brain, bone)
        except InputError as error:
            skipped.append(SkippedSlice(name, str(error)))
            continue
        offset = (number - 1) * SLICE_SPACING_MM
        slices.append(LabelledSlice(name, hu, _label_array(bits), offset, (PIXEL_SPACING_MM, PIXEL_SPACING_MM)))
    return _exam(reference, slices, skipped, demographics)


def _scan_volumes(root: Place, diagnoses: Sequence[Diagnosis]) -> Scan:
    rows: dict[int, list[Diagnosis]] = {}
    for row in diagnoses:
        rows.setdefault(row.patient, []).append(row)
    exams: list[ExamReference] = []
    skipped: list[SkippedSlice] = []
    names = {PurePosixPath(name).name for name in _names(root, _VOLUMES) if name.count("/") == 1}
    for patient in sorted(rows):
        volume = next((f for s in _VOLUME_SUFFIXES if (f := f"{patient:03d}{s}") in names), None)
        if volume is None:
            skipped += [
                SkippedSlice(row.name, "it is in the table, but its exam has no volume") for row in rows[patient]
            ]
            continue
        labels = [f"{row.slice_number}|{row.labels}" for row in rows[patient]]
        exams.append(_reference(patient, [f"{_VOLUMES}/{volume}", *labels], len(labels)))
    volumes = sorted(name for name in names if ".nii" in name)
    known = {f"{patient:03d}{suffix}" for patient in rows for suffix in _VOLUME_SUFFIXES}
    skipped += [SkippedSlice(name, "its volume has no row in the table") for name in volumes if name not in known]
    return Scan(tuple(exams), tuple(skipped))


def _read_volume_exam(root: Place, reference: ExamReference, demographics: Demographics | None) -> LabelledExam:
    path, *entries = reference.files
    labels = {int(number): int(bits) for number, bits in (entry.split("|") for entry in entries)}
    try:
        volume = read_volume(root / path)
        mask_path = root / _MASKS / Path(path).name
        masks = read_volume(mask_path, turned_like=volume) if mask_path.is_file() else None
    except InputError as error:
        lost = [SkippedSlice(f"{reference.patient}/{number}", str(error)) for number in sorted(labels)]
        return _exam(reference, [], lost, demographics)
    if masks is not None and masks.values.shape != volume.values.shape:
        raise SourceError(
            f"a mask of CT-ICH is of shape {masks.values.shape}, its volume of {volume.values.shape}: what it marks "
            f"cannot be found in it. Take another copy of {_MASKS}/{Path(path).name}, or remove it and do without"
        )
    slices: list[LabelledSlice] = []
    skipped: list[SkippedSlice] = []
    for index, number in enumerate(volume.numbers):
        name = f"{reference.patient}/{number}"
        if number not in labels:
            skipped.append(SkippedSlice(name, "it is in the volume, but not in the table"))
            continue
        label = _label_array(labels[number])
        mask = None if masks is None else _mask(masks.values[index], label)
        slices.append(
            LabelledSlice(name, volume.values[index], label, index * volume.slice_spacing, volume.pixel_spacing, mask)
        )
    absent = sorted(labels.keys() - set(volume.numbers))
    skipped += [
        SkippedSlice(f"{reference.patient}/{each}", "it is in the table, but not in the volume") for each in absent
    ]
    return _exam(reference, slices, skipped, demographics)


def _mask(marked: NDArray[np.int16], labels: NDArray[np.bool_]) -> NDArray[np.uint8] | None:
    """A slice's mask in bits of SUBTYPES, or None where it cannot be known.

    The data set marks where blood is, not which subtype it is: that is known only where the slice has one subtype. With
    several it is blood of a subtype that is not told. Where labels and marks disagree on whether there is any, nobody
    knows what the marks are worth.
    """
    present = np.flatnonzero(labels)
    if bool(len(present)) != bool(marked.any()):
        return None
    bit = 0 if len(present) == 0 else 1 << (int(present[0]) if len(present) == 1 else UNSAID)
    return np.where(marked != 0, bit, 0).astype(np.uint8)


def _label_array(bits: int) -> NDArray[np.bool_]:
    return np.array([bits >> position & 1 for position in range(len(SUBTYPES))], dtype=np.bool_)


def _exam(
    reference: ExamReference,
    slices: Sequence[LabelledSlice],
    skipped: Sequence[SkippedSlice],
    demographics: Demographics | None,
) -> LabelledExam:
    attributes = demographics.attributes() if demographics is not None else {}
    return LabelledExam(reference.patient, reference.exam, reference.series, tuple(slices), tuple(skipped), attributes)
