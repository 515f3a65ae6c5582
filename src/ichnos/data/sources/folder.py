"""A user's own head CT: any tree of DICOM files (or a zip of one), and a table of labels in CSV."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ichnos.ct import LabelledExam, SkippedSlice
from ichnos.data.sources.base import ExamReference, Scan
from ichnos.data.sources.dicom_exams import exam_reference, read_exam
from ichnos.data.sources.files import StoredFile, digest_of, open_store
from ichnos.data.sources.folder_labels import PATIENT_COLUMN, FolderLabels, Level, read_folder_labels
from ichnos.data.sources.headers import FoundSlice, group_series, scan_headers
from ichnos.errors import SourceError
from ichnos.progress import Progress

_POSITIVE_EXAM = "its exam is labelled positive as a whole, which does not say which slices bleed"

_ABOUT_PATIENTS = (
    f"patients are told apart by PatientID, which anonymised files may share or lack: name them in a column "
    f"`{PATIENT_COLUMN}` of the table of labels"
)


@dataclass(frozen=True)
class FolderSource:
    """Axial CT slices anywhere under `root`, of any file name; all other files are left out and counted.

    labels_csv: see `read_folder_labels`; a label of a whole study or series tells that every slice of a negative one is
    negative, but not which slices of a positive one bleed: those slices are skipped by reason, never guessed at.
    Slices are named by SOPInstanceUID, patients by the hash of their name in the table, or else of PatientID; files
    that are left out by their number in the order of paths, since folders are often named after patients.
    """

    root: Path
    labels_csv: Path
    workers: int | None = None

    @property
    def name(self) -> str:
        """The source's name in a set."""
        return "folder"

    def scan(self, progress: Progress, scratch: Path) -> Scan:
        """See Source."""
        labels = read_folder_labels(self.labels_csv)
        store = open_store(self.root)
        files = store.find("")
        if not files:
            raise SourceError(f"{self.root} is empty; give the folder that holds the DICOM files")
        found, refused = scan_headers(store, files, progress, scratch, self.workers)
        names = {file.key: _file_name(number) for number, file in enumerate(files, start=1)}
        skipped = [SkippedSlice(names[file.key], file.reason) for file in refused]
        single, repeated = _without_repeats(found)
        skipped += [SkippedSlice(names[each.key], "it is the same image as another file") for each in repeated]
        wanted, unlabelled = _labelled(single, labels)
        skipped += unlabelled + _without_files(found, labels)
        if not wanted:
            raise SourceError(_nothing_found(self.root, files, skipped))
        pseudonymous = [
            replace(each, patient=pseudonym(labels.patients.get(_key(each, labels.level), each.patient)))
            for each in wanted
        ]
        if labels.patients:
            _refuse_shared_exams(pseudonymous, self.labels_csv)
        exams = tuple(
            exam_reference(series, lambda each: each.sop_instance, lambda each: labels.bits[_key(each, labels.level)])
            for series in group_series(pseudonymous)
        )
        used = {each.key for each in wanted}
        contents = digest_of(
            (file for file in files if file.key in used),
            [*sorted(labels.bits.items()), *sorted(labels.patients.items())],
        )
        return Scan(exams, tuple(sorted(skipped, key=lambda each: (each.name, each.reason))), contents, _ABOUT_PATIENTS)

    def read(self, reference: ExamReference) -> LabelledExam:
        """See Source."""
        return read_exam(open_store(self.root), reference)


def pseudonym(patient: str) -> str:
    """Twelve hexadecimal digits that stand for a PatientID: the same patient, the same digits (BLAKE2b).

    A pseudonym, not anonymity: who knows a PatientID can compute it.
    """
    return hashlib.blake2b(patient.encode(), digest_size=6).hexdigest()


def _file_name(number: int) -> str:
    return f"file {number:06d}"


def _without_repeats(found: Sequence[FoundSlice]) -> tuple[list[FoundSlice], list[FoundSlice]]:
    """Each image once, the first by path; and the copies."""
    first: dict[str, FoundSlice] = {}
    repeated = [each for each in found if first.setdefault(each.sop_instance, each) is not each]
    return list(first.values()), repeated


def _key(found: FoundSlice, level: Level) -> str:
    match level:
        case Level.SLICE:
            return found.sop_instance
        case Level.SERIES:
            return found.series
        case Level.STUDY:
            return found.study


def _labelled(found: Sequence[FoundSlice], labels: FolderLabels) -> tuple[list[FoundSlice], list[SkippedSlice]]:
    wanted: list[FoundSlice] = []
    skipped: list[SkippedSlice] = []
    for each in found:
        key = _key(each, labels.level)
        if key in labels.unknown_subtype:
            skipped.append(SkippedSlice(each.sop_instance, "it is labelled `any`, but with no subtype"))
        elif key not in labels.bits:
            skipped.append(SkippedSlice(each.sop_instance, "it has a file, but no labels"))
        elif labels.level is not Level.SLICE and labels.bits[key]:
            skipped.append(SkippedSlice(each.sop_instance, _POSITIVE_EXAM))
        else:
            wanted.append(each)
    return wanted, skipped


def _refuse_shared_exams(slices: Sequence[FoundSlice], table: Path) -> None:
    """An exam is of one patient: a table that says otherwise would let a patient cross from training into test."""
    first: dict[str, str] = {}
    shared = {each.study for each in slices if first.setdefault(each.study, each.patient) != each.patient}
    if shared:
        raise SourceError(f"{table} gives slices of one study to several patients ({len(shared)} studies); mend it")


def _without_files(found: Sequence[FoundSlice], labels: FolderLabels) -> list[SkippedSlice]:
    present = {_key(each, labels.level) for each in found}
    absent = (labels.bits.keys() | labels.unknown_subtype) - present
    return [SkippedSlice(key, f"it has labels, but no usable file ({labels.level} of the table)") for key in absent]


def _nothing_found(root: Path, files: Sequence[StoredFile], skipped: Sequence[SkippedSlice]) -> str:
    (reason, count), *_ = Counter(each.reason for each in skipped).most_common(1)
    found = f"none of the {len(files)} files under {root} is a labelled axial CT slice"
    return f"{found}; the commonest reason, {count} times: {reason}"
