"""report.html of all exams of a call: what is urgent first, and what could not be read with its reason."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ichnos import __version__
from ichnos.counting import counted, ranges
from ichnos.files import write_text
from ichnos.remote import Place, RemotePath
from ichnos.subtypes import Subtype

NAME = "report.html"
"""Of the page, in the folder of the exams' folders; of an exam's own page, in its folder."""

_MARK, _HEAD = b'<meta name="generator" content="ichnos predict">', 512
"""What tells the page from one of the same name by another program, and within how many bytes it stands."""

Tree = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """An exam that was read. page: its own, where it was written. doubts: those that not every exam has."""

    exam: int
    page: str | None
    urgent: bool
    called: str
    probability: float
    slices: int
    doubts: tuple[str, ...]


@dataclass(frozen=True)
class Missing:
    """Forms that some exams have not, and why; empty: there is nothing to show, which is no failure."""

    forms: str
    exams: str
    reason: str
    empty: bool


def write(summary: Tree, out: Place) -> None:
    """Write the page of all exams that summary.json, given as its tree, tells of; one that is there is replaced."""
    write_text(out / NAME, text_of(summary))


def is_one(path: Place) -> bool:
    """Whether an earlier call wrote it. Raises OSError where it cannot be read."""
    if isinstance(path, RemotePath):
        return path.name == NAME and _MARK in path.read_part(0, _HEAD)
    if path.name != NAME or path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return _MARK in file.read(_HEAD)


def text_of(summary: Tree) -> str:
    """The page, made of summary.json's tree alone; from the same tree the same."""
    from ichnos.reporting.rendering import rendered  # who writes no page needs no Jinja2

    read = [each for each in summary["exams"] if each["findings"] is not None]
    common = _of_all(read)
    return rendered(
        "exams.html.j2",
        notice=summary["notice"],
        bundle=summary["bundle"],
        ichnos=__version__,
        total=len(summary["exams"]),
        rows=[_row(each, common) for each in sorted(read, key=_first_things_first)],
        common=common,
        refused=[each for each in summary["exams"] if each["findings"] is None],
        missing=_missing(read),
        unreadable=summary["unreadable"],
        other_files=summary["other_files"],
        counted=counted,
        ranges=ranges,
    )


def _first_things_first(exam: Tree) -> tuple[bool, float, int]:
    return not exam["urgent"], -exam["probability_any"], exam["exam"]


def _of_all(read: list[Tree]) -> tuple[str, ...]:
    """The doubts that every one of several exams has: they are said once."""
    if len(read) < 2:
        return ()
    return tuple(doubt for doubt in read[0]["doubts"] if all(doubt in each["doubts"] for each in read))


def _row(exam: Tree, common: tuple[str, ...]) -> Row:
    page = next((file for file in exam["files"] if file.rpartition("/")[2] == NAME), None)
    return Row(
        exam=exam["exam"],
        page=page,
        urgent=exam["urgent"],
        called=_called(exam),
        probability=exam["probability_any"],
        slices=exam["geometry"]["slices"],
        doubts=tuple(doubt for doubt in exam["doubts"] if doubt not in common),
    )


def _called(exam: Tree) -> str:
    """The subtypes that are called, or any hemorrhage where none is; nothing where that is not called either."""
    if exam["present"]:
        return ", ".join(exam["present"])
    return Subtype.ANY.display_name.lower() if exam["any_present"] else ""


def _missing(read: list[Tree]) -> list[Missing]:
    """Forms that were asked for and not written, those with the same reason of the same exams together."""
    exams_of: defaultdict[tuple[bool, str, str], list[int]] = defaultdict(list)
    for exam in read:
        for key, empty in (("refused_formats", False), ("empty_formats", True)):
            forms_of: defaultdict[str, list[str]] = defaultdict(list)
            for form, reason in exam[key].items():
                forms_of[reason].append(form)
            for reason, forms in forms_of.items():
                exams_of[empty, ", ".join(forms), reason].append(exam["exam"])
    return [
        Missing(forms, ranges(exams), reason, empty)
        for (empty, forms, reason), exams in sorted(exams_of.items(), key=lambda item: (item[0][0], item[1]))
    ]
