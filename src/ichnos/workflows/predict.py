"""From exams to findings with a bundle: no torch. START READING HERE: `predict_paths`."""

import json
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichnos.cluster import Cluster, connected
from ichnos.counting import counted
from ichnos.ct.exams import Exam
from ichnos.dicom.exams import ExamReading, FoundExam, find_exams, read_found_exam
from ichnos.dicom.series_rules import DEFAULT_RULES, SeriesRules
from ichnos.errors import (
    BundleError,
    ExamError,
    IchnosError,
    InferenceError,
    InputError,
    OutputError,
    StorageError,
    WorkerError,
    fault_of,
)
from ichnos.files import explained, write_bytes, write_json, write_text
from ichnos.findings import NOTICE, ExamFindings
from ichnos.inference import Bundle, ExamClassifier, load_bundle
from ichnos.processes import exams_at_once, in_processes
from ichnos.progress import Progress
from ichnos.remote import Place, RemotePath
from ichnos.reporting.exam import ExamResult, Format, batch_page, write_outputs
from ichnos.workflows.inspect import exam_tree, has_lost_slices, unread_tree
from ichnos.workflows.output_folder import FINDINGS, SUMMARY, clear, see_that_it_is_free

SUMMARY_VERSION = 1
"""Of summary.json: raised where a field changes its meaning or goes away."""

Tree = dict[str, Any]


def predict_paths(
    paths: Sequence[Place],
    out: Place,
    bundle: ExamClassifier | Path | None,
    progress: Progress,
    *,
    rules: SeriesRules = DEFAULT_RULES,
    formats: Collection[Format] = (),
    force: bool = False,
    cluster: Cluster | None = None,
) -> Tree:
    """Read all exams under `paths`, a few at a time, and write out/exam-001/findings.json, ...; returns summary.json.

    formats: in which forms findings are written beside findings.json; what an exam cannot have stands in its summary.
    With HTML among them all exams stand on one page too, out/report.html.

    An exam that is refused or fails stands in the summary with its reason, and the others go on. No folder is named
    after a patient: exams are numbered in the order found. bundle: open already, or its path, or None for the default:
    see ichnos.load_bundle. force: what an earlier call wrote into `out` goes first, so that nothing stays beside the
    summary that it does not name. cluster: whose machines read the exams, one on a core, and write the same bytes.

    Raises BundleError before anything is read, InputError where no exam lies there (then nothing is written, not even
    `out`), OutputError where `out` holds something already (unless force) or cannot be written; with a cluster see
    ichnos.cluster, before anything is read where it does not answer, and WorkerError where it loses an exam each time.
    """
    classifier = bundle if isinstance(bundle, ExamClassifier) else load_bundle(bundle)
    see_that_it_is_free(out, force=force)
    with connected(cluster) if cluster is not None else nullcontext():
        return _predict(paths, out, classifier, progress, rules, formats, force=force, cluster=cluster)


def _predict(
    paths: Sequence[Place],
    out: Place,
    classifier: ExamClassifier,
    progress: Progress,
    rules: SeriesRules,
    formats: Collection[Format],
    *,
    force: bool,
    cluster: Cluster | None,
) -> Tree:
    if cluster is not None:
        paths = [
            path.absolute() if isinstance(path, Path) else path for path in paths
        ]  # its machines stand in other folders
    found = find_exams(paths, progress)
    if not found.exams:
        reason = found.unreadable[0].reason if found.unreadable else "no DICOM or NIfTI file is there"
        raise InputError(f"no exam found: {reason}")
    if isinstance(out, Path):
        with explained(out):
            out.mkdir(parents=True, exist_ok=True)
    if force:
        clear(out)
    exams: list[Tree] = []
    try:
        with progress.task("Reading exams", len(found.exams)) as task:
            if cluster is None:
                told = _told_in_turn(found.exams, out, classifier, rules, formats, force=force)
            else:
                told = _told_elsewhere(
                    found.exams,
                    out,
                    classifier.bundle,
                    rules,
                    formats,
                    cluster=cluster.sharing(*(path for path in paths if isinstance(path, Path))),
                )
            for exam in told:
                exams.append(exam)
                task.advance()
        exams.sort(key=lambda exam: exam["exam"])
        summary = _summary(classifier.bundle, formats, exams) | unread_tree(found)
        if Format.HTML in formats:
            batch_page.write(summary, out)
        write_json(out / SUMMARY, summary)
    except (OutputError, WorkerError, StorageError) as error:
        raise _with_a_way_on(error, exams) from error
    return summary


def _summary(bundle: Bundle, formats: Collection[Format], exams: Sequence[Tree]) -> Tree:
    """What summary.json says of the call and of the exams that were found."""
    manifest = bundle.manifest
    return {
        "version": SUMMARY_VERSION,
        "notice": NOTICE,
        "bundle": {"title": manifest.title, "digest": bundle.digest, "demonstration": manifest.demonstration},
        "page": batch_page.NAME if Format.HTML in formats else None,
        "exams": exams,
    }


def _with_a_way_on(error: OutputError | WorkerError | StorageError, exams: Sequence[Tree]) -> IchnosError:
    """The same, where it asks for the same command again: `out` holds something by now."""
    there = f"{counted(sum(exam['findings'] is not None for exam in exams), 'exam')} written there"
    if isinstance(error, OutputError):
        return OutputError(f"{error}, with --force: {there}")
    return type(error)(f"{error}; all exams are then read again, so give --force: {there}")


def is_partial(summary: Tree) -> bool:
    """Whether something that was given was not read, or not written in a form that was asked for."""
    return bool(summary["unreadable"]) or any(
        exam["findings"] is None or has_lost_slices(exam) or exam["refused_formats"] for exam in summary["exams"]
    )


def _told_in_turn(
    exams: Sequence[FoundExam],
    out: Place,
    classifier: ExamClassifier,
    rules: SeriesRules,
    formats: Collection[Format],
    *,
    force: bool,
) -> Iterator[Tree]:
    """What came of every exam, written by this process."""
    for reading, result in _classified_in_turn(exams, classifier, rules):
        if isinstance(out, RemotePath):
            tree, files = _written_in_memory(reading, result, formats)
            _send(files, out)
            yield tree
        else:
            yield _written(reading, result, out, formats=formats, force=force)


def _told_elsewhere(
    exams: Sequence[FoundExam],
    out: Place,
    bundle: Bundle,
    rules: SeriesRules,
    formats: Collection[Format],
    *,
    cluster: Cluster,
) -> Iterator[Tree]:
    """The same by the machines of a cluster, as they are done: they see the exams, and need not see `out`."""
    for tree, files in in_processes(partial(_read_elsewhere, bundle, rules, tuple(formats)), exams, cluster):
        _send(files, out)
        yield tree


def _read_elsewhere(
    bundle: Bundle, rules: SeriesRules, formats: Collection[Format], found: FoundExam
) -> tuple[Tree, dict[str, bytes]]:
    """On a machine of a cluster: what came of one exam, and every file of it by its name below `out`."""
    reading, result = _classified(found, partial(read_found_exam, found, rules), _opened(_ByDigest(bundle)), rules)
    return _written_in_memory(reading, result, formats)


def _written_in_memory(
    reading: ExamReading, result: ExamResult | None, formats: Collection[Format]
) -> tuple[Tree, dict[str, bytes]]:
    """What came of one exam, and every file of it by its name below `out`, for who writes it elsewhere."""
    with TemporaryDirectory(prefix="ichnos-") as folder:
        tree = _written(reading, result, Path(folder), formats=formats, force=False)
        return tree, {name: (Path(folder) / name).read_bytes() for name in tree["files"]}


def _send(files: dict[str, bytes], out: Place) -> None:
    for name, content in files.items():
        write_bytes(out / name, content)


class _ByDigest:
    """A bundle, equal to any with the same content."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByDigest) and self.bundle.digest == other.bundle.digest

    def __hash__(self) -> int:
        return hash(self.bundle.digest)


@lru_cache(maxsize=1)
def _opened(bundle: _ByDigest) -> ExamClassifier:
    """Open for all exams that come to this process, which has one core."""
    return ExamClassifier(bundle.bundle, threads=1)


def _classified_in_turn(
    exams: Sequence[FoundExam], classifier: ExamClassifier, rules: SeriesRules
) -> Iterator[tuple[ExamReading, ExamResult | None]]:
    """Every exam read, and classified where it was not refused and nothing failed, in the order found.

    While some are classified the next are read and those before are written, so that no core waits; memory holds two
    for every four cores, however many there are.
    """
    at_once = exams_at_once()
    with ThreadPoolExecutor(at_once) as readers, ThreadPoolExecutor(at_once) as classifiers:
        under_way: deque[Future[tuple[ExamReading, ExamResult | None]]] = deque()
        try:
            for each in exams:
                reading = readers.submit(read_found_exam, each, rules)
                under_way.append(classifiers.submit(_classified, each, reading.result, classifier, rules))
                if len(under_way) > at_once:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()


def _classified(
    found: FoundExam, reading: Callable[[], ExamReading], classifier: ExamClassifier, rules: SeriesRules
) -> tuple[ExamReading, ExamResult | None]:
    """A fault of ours, or no answer of the network's, costs one exam; a bad bundle, or a storage that does not answer,
    ends them all."""
    try:
        read = reading()
        return read, None if read.exam is None else classify_reading(read, classifier, rules)
    except (BundleError, StorageError) as error:
        if not isinstance(error, InferenceError):
            raise
        return ExamReading(found, None, fault_of(error)), None
    except Exception as error:  # the border between one exam and the next
        return ExamReading(found, None, fault_of(error)), None


def _written(
    reading: ExamReading, result: ExamResult | None, out: Path, *, formats: Collection[Format], force: bool
) -> Tree:
    """What came of one exam, a fault of ours in writing it included; a full disk ends them all."""
    if result is None:
        return exam_tree(reading) | _nothing_said()
    try:
        return _write(reading, result, out, formats=formats, force=force)
    except OutputError:
        raise
    except Exception as error:  # the border between one exam and the next
        return exam_tree(ExamReading(reading.found, None, fault_of(error))) | _nothing_said()


def _write(reading: ExamReading, result: ExamResult, out: Path, *, formats: Collection[Format], force: bool) -> Tree:
    tree = exam_tree(reading)
    name = _name(reading)
    path = write_findings(result.findings, out / name, force=force)
    written = write_outputs(result, formats, out / name, force=force)
    return tree | {
        "findings": path.relative_to(out).as_posix(),
        "doubts": list(result.findings.doubts),
        "urgent": result.findings.urgent,
        "any_present": result.findings.any.present,
        "present": [subtype.value for subtype in result.findings.present],
        "probability_any": result.findings.any.probability,
        "files": [f"{name}/{file}" for file in (path.name, *written.files)],
        "refused_formats": {each.value: reason for each, reason in written.refused.items()},
        "empty_formats": {each.value: reason for each, reason in written.empty.items()},
    }


def _nothing_said() -> Tree:
    """What summary.json says of an exam that was refused, or failed."""
    said: Tree = {"findings": None, "urgent": None, "any_present": None, "present": None, "probability_any": None}
    return said | {"files": [], "refused_formats": {}, "empty_formats": {}}


def classify_reading(
    reading: ExamReading, classifier: ExamClassifier, rules: SeriesRules = DEFAULT_RULES
) -> ExamResult:
    """What an exam that was read holds, with all that its output is made from: give it to write_outputs.

    rules: those that it was read by. Raises ExamError where it was refused.
    """
    if reading.exam is None:
        raise ExamError(reading.refusal or "")
    told = classifier.read(reading.exam, name=_name(reading))
    options = "" if rules == DEFAULT_RULES else json.dumps(asdict(rules), sort_keys=True)
    return ExamResult(reading.exam, told.findings, told.maps, told.outputs, exam_tree(reading), options)


def _name(reading: ExamReading) -> str:
    """Of findings and folders: a number, never a patient."""
    return f"exam-{reading.found.number:03d}"


def classify(
    exam: Exam | NDArray[np.int16] | Sequence[NDArray[np.int16]],
    offsets: Sequence[float] | NDArray[np.floating] | None = None,
    *,
    pixel_spacing: tuple[float, float] | None = None,
    bundle: ExamClassifier | Path | str | None = None,
    name: str | None = None,
    doubts: Sequence[str] = (),
) -> ExamFindings:
    """What one exam holds.

    exam: as ichnos.read_exam returns it, or slices from foot to head, int16 Hounsfield units (rows, columns), rows from
    anterior to posterior, with their offsets in mm along the slice normal and their pixel spacing. bundle: open already
    (for many exams), or its path. See ExamClassifier.read for the rest.
    """
    classifier = bundle if isinstance(bundle, ExamClassifier) else load_bundle(bundle)
    return classifier.classify(exam, offsets, pixel_spacing=pixel_spacing, name=name, doubts=doubts)


def write_findings(findings: ExamFindings, folder: Path, *, force: bool = False) -> Path:
    """Write folder/findings.json and return its path. Raises OutputError where it is there already (unless force)."""
    path = folder / FINDINGS
    if path.exists() and not force:
        raise OutputError(f"{path} exists; give --out another folder, or --force to replace it")
    write_text(path, findings.to_json())
    return path
