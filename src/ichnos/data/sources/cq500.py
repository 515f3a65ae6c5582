"""CQ500 (Chilamkurthy 2018): 491 head CT exams, read by three radiologists, with labels of whole exams."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from ichnos.ct import LabelledExam, LabelledSlice, SkippedSlice
from ichnos.data.sources.base import ExamReference, Scan
from ichnos.data.sources.cq500_reads import Read, exam_number, read_reads
from ichnos.data.sources.dicom_exams import label_array
from ichnos.data.sources.files import FileRow, digest_of, folder_store
from ichnos.dicom.exams import ExamReading, find_exams, read_found_exam
from ichnos.errors import SourceError
from ichnos.progress import Progress
from ichnos.remote import Place
from ichnos.subtypes import CLASSES, SUBTYPES, Subtype

_TABLE = "reads.csv"
_ANY = 1 << CLASSES.index(Subtype.ANY)
_SUBTYPES = (1 << len(SUBTYPES)) - 1


@dataclass(frozen=True)
class Cq500Source:
    """CQ500 as unzipped. root: the folder that holds `reads.csv` and the exams' folders (`CQ500CT0 CQ500CT0`, ...).

    An exam has several series (5 mm, thin, bone): one is taken, by the rules by which exams are read.
    An exam and its patient are named as in the table, `CQ500-CT-0`; slices `CQ500-CT-0/012`, from foot to head. Labels
    are the exam's, by majority, on each of its slices.
    """

    root: Place

    @property
    def name(self) -> str:
        """The source's name in a set."""
        return "cq500"

    def scan(self, progress: Progress, scratch: Path) -> Scan:
        """See Source. Exams without a row, and rows without a folder, are skipped by reason."""
        del scratch  # file names are found fast
        reads = read_reads(self.root / _TABLE)
        with progress.task("Finding CQ500's exams", total=1) as task:
            found = _folders(self.root)
            task.advance()
        known = {read.number: read for read in reads}
        exams = tuple(_reference(known[number], found[number]) for number in sorted(found.keys() & known.keys()))
        if not exams:
            raise SourceError(
                f"{self.root} has {_TABLE}, but no folder of an exam in it, such as `CQ500CT0 CQ500CT0`; unzip them"
            )
        reasons = dict.fromkeys(known.keys() - found.keys(), "it is in reads.csv, but has no folder")
        reasons |= dict.fromkeys(found.keys() - known.keys(), "it has a folder, but is not in reads.csv")
        skipped = [SkippedSlice(f"CQ500-CT-{number}", reasons[number]) for number in sorted(reasons)]
        files = sorted(file for each in found.values() for rows in each.values() for file in rows)
        return Scan(exams, tuple(skipped), digest_of(files, [(reads,)]), labels_of="exam")

    def read(self, reference: ExamReference) -> LabelledExam:
        """See Source. An exam that the reader refuses has no slices, and its reason among the skipped."""
        told, *folders = reference.files
        labels, known = json.loads(told)
        reading = _best([self.root / folder for folder in folders])
        attributes: dict[str, str | float] = {**known, Subtype.ANY.value: float(labels & _ANY != 0)}
        if isinstance(reading, str) or reading.exam is None:
            reason = reading if isinstance(reading, str) else reading.refusal or ""
            left = (SkippedSlice(reference.exam, reason),)
            return LabelledExam(reference.patient, reference.exam, reference.series, (), left, attributes)
        exam = reading.exam
        attributes |= {"tilt": exam.tilt} | ({} if exam.thickness is None else {"slice_thickness": exam.thickness})
        slices = tuple(
            LabelledSlice(
                f"{reference.exam}/{k + 1:03d}",
                np.ascontiguousarray(hu),
                label_array(labels & _SUBTYPES),
                float(offset),
                exam.pixel_spacing,
            )
            for k, (hu, offset) in enumerate(zip(exam.hu, exam.offsets, strict=True))
        )
        skipped = tuple(SkippedSlice(reference.exam, reason) for reason in reading.skipped)
        return LabelledExam(reference.patient, reference.exam, reference.series, slices, skipped, attributes)


def _folders(root: Place) -> dict[int, dict[str, list[FileRow]]]:
    """The folders of each exam, which lie in the root or one below it, and their files."""
    found: defaultdict[int, defaultdict[str, list[FileRow]]] = defaultdict(lambda: defaultdict(list))
    for file in folder_store(root).find(""):
        folders = PurePosixPath(file[0]).parts[:-1][:2]
        for depth, folder in enumerate(folders, start=1):
            if (number := exam_number(folder)) is not None:
                found[number]["/".join(folders[:depth])].append(file)
                break
    return {number: dict(folders) for number, folders in found.items()}


def _reference(read: Read, folders: Mapping[str, list[FileRow]]) -> ExamReference:
    """files: labels and attributes as JSON, then the folders in which the exam lies."""
    told = json.dumps([read.labels, dict(read.attributes)])
    count = sum(map(len, folders.values()))
    return ExamReference(read.name, read.name, read.name, count, (told, *sorted(folders)))


def _best(folders: Sequence[Place]) -> ExamReading | str:
    """The reading with the most slices of what lies in an exam's folders, or the reason why there is none."""
    found = find_exams(folders)
    if not found.exams:
        return found.unreadable[0].reason if found.unreadable else "no DICOM file is in its folder"
    readings = [read_found_exam(each) for each in found.exams]
    return max(readings, key=lambda reading: 0 if reading.exam is None else len(reading.exam))
