"""From paths to exams in Hounsfield units: START READING HERE. Headers of everything first, then one exam at a time."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset

from ichnos.counting import counted
from ichnos.ct.exams import Exam, SliceReference, SourceKind
from ichnos.ct.nifti import looks_like_nifti
from ichnos.ct.plausibility import judge
from ichnos.dicom.decoder import Decodes, FileInMemory, shared_decoder
from ichnos.dicom.directory import is_directory, referenced_files
from ichnos.dicom.doubts import doubts_of, doubts_of_others
from ichnos.dicom.finding import FoundFile, Unreadable, again, find_files
from ichnos.dicom.frames import A_COLOUR_PICTURE, FileFacts, Frame, read_facts
from ichnos.dicom.orientation import corner_and_directions, is_transposed
from ichnos.dicom.parsing import START_BYTES, inflated, is_deflated, looks_like_dicom, parse_whole, why_damaged
from ichnos.dicom.pixels import needs_decoder, read_hu
from ichnos.dicom.series import Series, series_of
from ichnos.dicom.series_rules import DEFAULT_RULES, SeriesRules, rank, why_left, why_less, with_contrast_said
from ichnos.dicom.volumes import read_volume_exam
from ichnos.errors import CrashError, DicomError, ExamError, HangError, InputError, StorageError, fault_of
from ichnos.progress import SILENT, Progress
from ichnos.remote import Place, RemotePath, ahead

_LEAST_READ = 0.5
"""The share of a series' slices that must be readable: with fewer, what is left says little of the head."""


_COSTS: dict[type[DicomError], int] = {HangError: 4, CrashError: 1}
"""Of a slice that ends the decoder: to hang takes decoder.SECONDS_A_FILE, to crash two beginnings of a process."""

_MOST_OF_A_FILE, _MOST_OF_AN_EXAM = 4, 8
"""What may be spent so on a multi-frame file, which must not take 5 seconds either, and on all series of an exam; then
no more of its compressed slices is tried."""


@dataclass
class _Spent:
    """What was spent on slices that ended the decoder: on an exam, and on each of its multi-frame files."""

    in_all: int = 0
    of_file: dict[FoundFile, int] = field(default_factory=dict)

    def add(self, frame: Frame, error: DicomError) -> None:
        """One more slice that could not be decoded."""
        cost = sum(each for kind, each in _COSTS.items() if isinstance(error, kind))
        self.in_all += cost
        if frame.number is not None:
            self.of_file[frame.file] = self.of_file.get(frame.file, 0) + cost

    def refuse_more(self, frame: Frame) -> None:
        """Raise ExamError where enough was spent on an exam, DicomError on a file, that another slice is not tried."""
        if self.in_all >= _MOST_OF_AN_EXAM:
            raise ExamError("decoding its slices hung or crashed time and again, so it is damaged; copy the exam again")
        if self.of_file.get(frame.file, 0) >= _MOST_OF_A_FILE:
            raise DicomError("decoding other slices of its file hung or crashed; copy the file again")


@dataclass(frozen=True, eq=False)
class FoundExam:
    """One exam whose headers are read: a DICOM study, or a NIfTI file (which has no series).

    number: from 1, over everything that was given. given: numbers of the paths that led to it. beside: why files under
    these paths could not be read, where no other exam lies there, so that they may be slices of this one.
    """

    number: int
    source: SourceKind
    given: tuple[int, ...]
    series: tuple[Series, ...] = ()
    volume: FoundFile | None = None
    beside: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class FoundExams:
    """What lies under some paths. unreadable: files and folders that could not be read. passed_over: other files."""

    exams: tuple[FoundExam, ...]
    unreadable: tuple[Unreadable, ...]
    passed_over: int


@dataclass(frozen=True, eq=False)
class SeriesRecord:
    """A series of an exam, whether it was taken, and why or why not."""

    series: Series
    taken: bool
    reason: str


@dataclass(frozen=True, eq=False)
class ExamReading:
    """An exam that was read, or the reason why it was refused: exactly one of `exam` and `refusal` is given.

    skipped: for each slice of the series that could not be read, why.
    """

    found: FoundExam
    exam: Exam | None
    refusal: str | None
    series: tuple[SeriesRecord, ...] = ()
    skipped: tuple[str, ...] = field(default=())


def read_exams(
    paths: Sequence[Place], rules: SeriesRules = DEFAULT_RULES, progress: Progress = SILENT
) -> Iterator[ExamReading]:
    """Find and read exams one after the other; memory holds one at a time. See find_exams and read_found_exam."""
    for found in find_exams(paths, progress).exams:
        yield read_found_exam(found, rules)


def read_exam(path: Place, rules: SeriesRules = DEFAULT_RULES) -> Exam:
    """Read the one exam that lies under `path`. Raises InputError where there is none, more than one, or no head CT."""
    found = find_exams([path])
    if len(found.exams) != 1:
        raise InputError(f"{len(found.exams)} exams found and one is wanted: {_instead(found)}")
    reading = read_found_exam(found.exams[0], rules)
    if reading.exam is None:
        raise ExamError(reading.refusal or "")
    return reading.exam


def _instead(found: FoundExams) -> str:
    if found.exams:
        return "give the folder, zip or file of one, or read one after the other with ichnos.dicom.exams.read_exams"
    return found.unreadable[0].reason if found.unreadable else "no DICOM or NIfTI file is there; give an exam"


def find_exams(paths: Sequence[Place], progress: Progress = SILENT) -> FoundExams:
    """Read the headers of everything under `paths`: folders, zips, DICOM and NIfTI files, DICOMDIR."""
    files: list[tuple[int, FileFacts]] = []
    volumes: list[FoundFile] = []
    unreadable: list[Unreadable] = []
    passed_over = 0
    with progress.task("Reading headers", None) as task:
        for found in _files(paths):
            task.advance()
            if isinstance(found, Unreadable):
                unreadable.append(found)
                continue
            try:
                start = found.read(START_BYTES)
                if looks_like_nifti(start):
                    volumes.append(found)
                elif reason := why_damaged(found, start):
                    unreadable.append(Unreadable(found.given, reason))
                elif not looks_like_dicom(start):
                    passed_over += 1
                elif not is_directory(start):
                    files.append((found.given, read_facts(found, start)))
            except StorageError:
                raise  # of all files, not of this one
            except Exception as error:  # the border between one file and the next
                unreadable.append(Unreadable(found.given, fault_of(error)))
    return FoundExams(tuple(_with_beside([*_exams(files, volumes)], unreadable)), tuple(unreadable), passed_over)


def read_found_exam(
    found: FoundExam, rules: SeriesRules = DEFAULT_RULES, decoder: Decodes | None = None
) -> ExamReading:
    """Choose a series by the rules, read its pixels and judge it; where it is no head CT, the next best is tried.

    Raises nothing for bad input: what is wrong, a fault of ours included, stands in the reading. Raises StorageError
    where the storage that the exam lies on stops answering.
    """
    try:
        found = replace(found, series=tuple(with_contrast_said(series, rules) for series in found.series))
        reading = _read(found, rules, decoder)
    except StorageError:
        raise
    except Exception as error:  # the border between one exam and the next
        return ExamReading(found, None, fault_of(error))
    if reading.exam is None:
        return reading
    doubts = (*reading.exam.doubts, *_doubts_beside(reading, rules))
    return replace(reading, exam=replace(reading.exam, doubts=doubts))


def _doubts_beside(reading: ExamReading, rules: SeriesRules) -> Iterator[str]:
    """What lies beside the series that was read and may matter."""
    for record in reading.series:
        if record.taken:
            others = [other.series for other in reading.series if not other.taken]
            yield from doubts_of_others(others, record.series, rules)
    if beside := reading.found.beside:
        count = counted(len(beside), "file")
        yield f"{count} beside it could not be read and may be of it, the first because: {beside[0]}"


def _read(found: FoundExam, rules: SeriesRules, decoder: Decodes | None) -> ExamReading:
    if found.volume is not None:
        try:
            return ExamReading(found, read_volume_exam(found.volume, rules.largest_tilt), None)
        except InputError as error:
            return ExamReading(found, None, str(error))
    left = {series.number: why_left(series, rules) for series in found.series}
    candidates = [series for series in found.series if left[series.number] is None]
    spent = _Spent()
    candidates.sort(key=lambda series: rank(series, rules), reverse=True)  # stable: of equals the first found
    for series in candidates:
        try:
            exam, skipped = _read_series(series, rules, decoder or shared_decoder(), spent)
        except ExamError as error:
            left[series.number] = str(error)
            continue
        records = [_record(each, series, left[each.number], rules) for each in found.series]
        return ExamReading(found, exam, None, tuple(records), skipped)
    records = [SeriesRecord(each, taken=False, reason=left[each.number] or "") for each in found.series]
    tried = {series.number for series in candidates}
    refusal = _common([record for record in records if record.series.number in tried] or records)
    return ExamReading(found, None, refusal, tuple(records))


def open_header(reference: SliceReference) -> FileDataset:
    """The whole DICOM header that a slice came from, without its pixels: for output that refers to it.

    Raises DicomError where the file is no longer there, or is no DICOM.
    """
    data = again(reference.path, reference.member).read()
    return parse_whole(inflated(data) if is_deflated(data) else data)


def _files(paths: Sequence[Place]) -> Iterator[FoundFile | Unreadable]:
    """What is given; a DICOMDIR given by name stands for the files that it refers to."""
    for found in find_files(paths):
        yield found
        if isinstance(found, FoundFile) and found.member is None and found.path == paths[found.given - 1]:
            try:
                start = found.read(START_BYTES)
            except DicomError:
                continue
            if is_directory(start):
                yield from referenced_files(found)


def _exams(files: Sequence[tuple[int, FileFacts]], volumes: Sequence[FoundFile]) -> Iterator[FoundExam]:
    studies: defaultdict[tuple[str, str, str], list[Series]] = defaultdict(list)
    for series in series_of(files):
        studies[series.patient, series.study, series.folder].append(series)
    number = 0
    for number, members in enumerate(studies.values(), start=1):
        given = tuple(sorted({each for series in members for each in series.given}))
        yield FoundExam(number, SourceKind.DICOM, given, tuple(members))
    for count, volume in enumerate(volumes, start=number + 1):
        yield FoundExam(count, SourceKind.NIFTI, (volume.given,), volume=volume)


def _with_beside(exams: Sequence[FoundExam], unreadable: Sequence[Unreadable]) -> Iterator[FoundExam]:
    reasons: defaultdict[int, list[str]] = defaultdict(list)
    for each in unreadable:
        reasons[each.given].append(each.reason)
    shared = Counter(given for exam in exams for given in exam.given)
    for exam in exams:
        alone = [given for given in exam.given if shared[given] == 1]
        yield replace(exam, beside=tuple(reason for given in alone for reason in reasons[given]))


def _record(series: Series, taken: Series, left: str | None, rules: SeriesRules) -> SeriesRecord:
    if series is taken:
        return SeriesRecord(series, taken=True, reason="the best by the rules")
    return SeriesRecord(series, taken=False, reason=left or why_less(series, taken, rules))


def _common(records: Sequence[SeriesRecord]) -> str:
    reasons = sorted({record.reason for record in records}, key=lambda reason: not reason.startswith("not a head"))
    if len(reasons) == 1:
        return reasons[0]
    return f"none of its {len(records)} series can be read: " + "; ".join(reasons[:3])


def _read_series(series: Series, rules: SeriesRules, decoder: Decodes, spent: _Spent) -> tuple[Exam, tuple[str, ...]]:
    frames = series.frames
    lost = [fault for fault in series.faults if not fault.startswith(A_COLOUR_PICTURE)]
    if len(lost) > len(frames) * (1 - _LEAST_READ) / _LEAST_READ:
        slices = counted(len(lost) + len(frames), "slice")
        raise ExamError(f"{len(lost)} of its {slices} cannot be read: {Counter(lost).most_common(1)[0][0]}")
    hu, kept, skipped = _read_frames(frames, decoder, spent)
    read = series.with_frames(kept)
    inverted = False
    try:
        doubts = judge(hu, _spacing(frames[0]), read.coverage)
    except ExamError:
        if not any(frame.inverted_display for frame in frames):
            raise
        hu, kept, skipped = _read_frames([frame.with_values_inverted() for frame in frames], decoder, _Spent())
        read = series.with_frames(kept)
        doubts, inverted = judge(hu, _spacing(frames[0]), read.coverage), True
    doubts = (*doubts_of(read, rules, skipped, values_inverted=inverted), *doubts)
    return _exam(read, hu, doubts), skipped


def _read_frames(
    frames: Sequence[Frame], decoder: Decodes, spent: _Spent
) -> tuple[NDArray[np.int16], list[int], tuple[str, ...]]:
    """HU of the frames that can be read, which ones these are, and why not the others."""
    layout = frames[0].layout
    shape = (layout.columns, layout.rows) if is_transposed(frames[0].orientation) else (layout.rows, layout.columns)
    hu = np.empty((len(frames), *shape), np.int16)
    kept: list[int] = []
    skipped: list[str] = []
    for index, (frame, file) in enumerate(zip(frames, _files_of(frames), strict=True)):
        try:
            if needs_decoder(frame):
                spent.refuse_more(frame)
            hu[len(kept)] = read_hu(frame, decoder, file())
        except DicomError as error:
            spent.add(frame, error)
            skipped.append(str(error))
            if len(skipped) > len(frames) * (1 - _LEAST_READ):
                tried = counted(index + 1, "slice")
                raise ExamError(f"{len(skipped)} of {tried} tried cannot be read: {skipped[0]}") from None
        else:
            kept.append(index)
    return hu[: len(kept)], kept, tuple(skipped)


def _files_of(frames: Sequence[Frame]) -> Iterator[Callable[[], FoundFile | FileInMemory]]:
    """Each frame's file; those of single slices on a storage are asked for some at a time, before their turn."""
    if all(isinstance(f.file.path, RemotePath) and f.file.member is None and f.number is None for f in frames):
        return ahead(_in_memory, [frame.file for frame in frames])
    return (partial(_itself, frame.file) for frame in frames)


def _in_memory(file: FoundFile) -> FileInMemory:
    return FileInMemory(file.read())


def _itself(file: FoundFile) -> FoundFile:
    return file


def _exam(series: Series, hu: NDArray[np.int16], doubts: tuple[str, ...]) -> Exam:
    frames = series.frames
    placed = [_placed(frame) for frame in frames]
    return Exam(
        hu=hu,
        offsets=series.offsets,
        pixel_spacing=_spacing(frames[0]),
        positions=np.array([corner for corner, _ in placed]),
        orientation=placed[0][1],
        references=tuple(
            SliceReference(f.file.path, f.file.member, f.number, f.sop_instance, f.sop_class) for f in frames
        ),
        source=SourceKind.DICOM,
        tilt=series.tilt,
        thickness=series.thickness,
        study=series.study,
        series=series.uid,
        doubts=doubts,
    )


def _placed(frame: Frame) -> tuple[NDArray[np.float64], tuple[float, ...]]:
    shape = (frame.layout.rows, frame.layout.columns)
    return corner_and_directions(frame.position, frame.orientation, frame.pixel_spacing, shape)


def _spacing(frame: Frame) -> tuple[float, float]:
    """Of the array as it is turned: mm between rows, mm between columns."""
    rows, columns = frame.pixel_spacing
    return (columns, rows) if is_transposed(frame.orientation) else (rows, columns)
