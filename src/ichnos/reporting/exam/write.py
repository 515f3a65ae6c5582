"""Writes what was asked for of one exam, each file whole or not at all, and says what was not written and why."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from ichnos.errors import DicomError, ExamError, OutputError, fault_of
from ichnos.files import explained, write_bytes
from ichnos.reporting.exam.result import ExamResult, Format

if TYPE_CHECKING:
    from ichnos.reporting.exam.evidence import Evidence

_OURS = ("report.html", "sr.dcm", "key-objects.dcm", "heatmap-*.dcm", "map-*.dcm")
"""The names of all that is written here."""

NOTHING_CALLED = "no hemorrhage is called, so no slice is key"
NO_MAPS = "this bundle's network has no class maps, so there is nothing to show where it looked"

_File = tuple[Format, str, Callable[[], bytes]]


@dataclass
class Written:
    """files: names in the exam's folder, in the order written. refused: for each format that was not, why.

    empty: for each format that has nothing to show of this exam, why; that is no failure.
    """

    files: list[str] = field(default_factory=list)
    refused: dict[Format, str] = field(default_factory=dict)
    empty: dict[Format, str] = field(default_factory=dict)


def write_outputs(result: ExamResult, formats: Collection[Format], folder: Path, *, force: bool = False) -> Written:
    """Write an exam's findings into `folder` in every form asked for but JSON.

    Raises OutputError where a file is there already (unless force: then all that an earlier call wrote there goes) or
    cannot be written. A form that this exam cannot have is no error: it stands in what is returned.
    """
    _make_room(folder, force=force)
    written = Written()
    dicom = [each for each in Format if each in formats and each.is_dicom]
    for each, name, make in chain(_dicom_files(dicom, result, written) if dicom else (), _pages(formats, result)):
        try:
            content = make()
        except Exception as error:  # a fault of ours in one form: the others are written
            written.refused[each] = fault_of(error)
            continue
        write_bytes(folder / name, content)
        written.files.append(name)
    return written


def outputs_in(folder: Path) -> list[Path]:
    """What lies there under the names of what is written here, whoever wrote it."""
    return [path for pattern in _OURS for path in sorted(folder.glob(pattern))]


def is_output(name: str) -> bool:
    """Whether a file of an exam's folder has a name of what is written here."""
    return any(fnmatchcase(name, pattern) for pattern in _OURS)


def take_away(folder: Path) -> None:
    """Remove what earlier calls wrote of an exam, and nothing else. Raises OutputError where that cannot be done."""
    with explained(folder):
        for path in outputs_in(folder):
            path.unlink()


def _dicom_files(formats: Sequence[Format], result: ExamResult, written: Written) -> Iterator[_File]:
    from ichnos.reporting.exam.evidence import evidence_of  # highdicom takes half a second to import

    try:
        evidence = evidence_of(result)
    except (DicomError, ExamError) as error:
        written.refused |= dict.fromkeys(formats, str(error))
        return
    except Exception as error:
        written.refused |= dict.fromkeys(formats, fault_of(error))
        return
    for each in formats:
        if each is Format.HEATMAP and result.maps is None:
            written.refused[each] = NO_MAPS
        elif each is not Format.SR and not result.present:
            written.empty[each] = NOTHING_CALLED
        else:
            yield from _files_of(each, result, evidence)


def _files_of(which: Format, result: ExamResult, evidence: "Evidence") -> Iterator[_File]:
    from ichnos.reporting.exam.heatmaps import parametric_map, picture
    from ichnos.reporting.exam.key_objects import key_objects
    from ichnos.reporting.exam.structured_report import structured_report

    match which:
        case Format.SR:
            yield which, "sr.dcm", lambda: structured_report(result, evidence)
        case Format.KEY_OBJECTS:
            yield which, "key-objects.dcm", lambda: key_objects(result, evidence)
        case Format.HEATMAP:
            for number, each in enumerate(result.present, start=1):
                yield which, f"heatmap-{each.subtype}.dcm", partial(picture, each, number, result, evidence)
                yield which, f"map-{each.subtype}.dcm", partial(parametric_map, each, number, result, evidence)
        case Format.JSON | Format.HTML:
            return
        case _:
            assert_never(which)


def _pages(formats: Collection[Format], result: ExamResult) -> Iterator[_File]:
    if Format.HTML in formats:
        from ichnos.reporting.exam.page import exam_page

        yield Format.HTML, "report.html", lambda: exam_page(result).encode()


def _make_room(folder: Path, *, force: bool) -> None:
    """See that no file of ours is there; with force, take away what is: it may tell of another exam or bundle."""
    with explained(folder):
        there = outputs_in(folder)
    if there and not force:
        raise OutputError(f"{there[0]} exists; give --out another folder, or --force to replace it")
    take_away(folder)
