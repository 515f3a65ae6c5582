"""The table of labels for a user's own images: one row a slice, a series or a study, one column a subtype."""

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from ichnos.data.sources.tables import Tables
from ichnos.errors import SourceError
from ichnos.remote import Place
from ichnos.subtypes import CLASSES, SUBTYPES, Subtype


class Level(StrEnum):
    """What a row of the table labels."""

    SLICE = "slice"
    SERIES = "series"
    STUDY = "study"


_KEY_COLUMNS: dict[str, Level] = {
    "SOPInstanceUID": Level.SLICE,
    "SeriesInstanceUID": Level.SERIES,
    "StudyInstanceUID": Level.STUDY,
}
"""The column that says what a row labels; where several are there the first of these counts."""

ANY_BIT = 1 << CLASSES.index(Subtype.ANY)
"""Of labels that say that a slice bleeds."""

PATIENT_COLUMN = "patient"
"""The column that says whose image it is, where PatientID does not: anonymised files often share one, or have none."""


@dataclass(frozen=True)
class FolderLabels:
    """What the table labels, and whether it names patients."""

    level: Level
    names_patients: bool


def read_folder_labels(tables: Tables, table: Place) -> FolderLabels:
    """Fill `labels` from a CSV; where a row tells no subtype its bits are ANY_BIT alone.

    The header is `SOPInstanceUID,epidural,intraparenchymal,intraventricular,subarachnoid,subdural`; `SeriesInstanceUID`
    or `StudyInstanceUID` may stand for the first column, `any` and `patient` may follow, the order is free. Raises
    SourceError where columns are missing or unknown, a label is neither 0 nor 1, `any` is 0 beside a subtype that is 1,
    a patient is not named, or a row is repeated with other labels or another patient.
    """
    with _opened(table) as reader:
        columns = list(reader.fieldnames or ())
        key = _check_columns(table, columns)
        names_patients = PATIENT_COLUMN in columns
        for line, row in enumerate(reader, start=2):
            uid = (row[key] or "").strip()
            if not uid:
                raise SourceError(f"{table}, row {line}: {key} is empty; name what the row labels")
            labels = _labels(row, f"{table}, row {line}")
            patient = _patient(row, table, line) if names_patients else None
            if tables.execute("INSERT OR IGNORE INTO labels VALUES (?, ?, ?)", (uid, labels, patient)).rowcount:
                continue
            before = tables.execute("SELECT bits, patient FROM labels WHERE uid = ?", (uid,)).fetchone()
            if before[0] != labels:
                raise SourceError(f"{table}, row {line}: this {key} is there twice, with other labels; keep one row")
            if before[1] != patient:
                raise SourceError(f"{table}, row {line}: this {key} is there twice, of another patient; keep one row")
    if not tables.count("labels"):
        raise SourceError(f"{table} has no rows; wanted is one row a slice")
    return FolderLabels(_KEY_COLUMNS[key], names_patients)


@contextmanager
def _opened(table: Place) -> Iterator["csv.DictReader[str]"]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            yield csv.DictReader(stream, restkey="")
    except FileNotFoundError:
        raise SourceError(f"{table} does not exist; give the CSV of labels") from None
    except PermissionError:
        raise SourceError(f"no permission to read {table}; grant it") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{table} cannot be read as CSV ({type(error).__name__}); save it as UTF-8 CSV") from error


def _check_columns(table: Place, columns: list[str]) -> str:
    keys = [key for key in _KEY_COLUMNS if key in columns]
    missing = [subtype.value for subtype in SUBTYPES if subtype.value not in columns]
    if not keys or missing:
        lacking = ([] if keys else [f"one of {', '.join(_KEY_COLUMNS)}"]) + missing
        raise SourceError(f"{table} has the columns {', '.join(columns)}; it lacks {', '.join(lacking)}; add them")
    if unknown := [column for column in columns if column not in (*_KEY_COLUMNS, *CLASSES, PATIENT_COLUMN)]:
        known = ", ".join(CLASSES)
        raise SourceError(f"{table} has columns of an unknown subtype: {', '.join(unknown)}; known are {known}")
    return keys[0]


def _patient(row: Mapping[str, str | None], table: Place, line: int) -> str:
    patient = (row[PATIENT_COLUMN] or "").strip()
    if not patient:
        raise SourceError(
            f"{table}, row {line}: {PATIENT_COLUMN} is empty; name the patient in every row, or leave the column out"
        )
    return patient


def _labels(row: Mapping[str, str | None], place: str) -> int:
    """Bits in the order of SUBTYPES, or ANY_BIT alone where only `any` is 1."""
    bits = 0
    for position, subtype in enumerate(CLASSES):
        if subtype is Subtype.ANY and subtype.value not in row:
            return bits
        value = (row[subtype.value] or "").strip()
        if value not in ("0", "1"):
            raise SourceError(f"{place}: {subtype.value} is {value!r}; a label is 0 or 1")
        bits |= int(value) << position
    if bits and not bits >> CLASSES.index(Subtype.ANY):
        raise SourceError(f"{place}: `any` is 0, but a subtype is 1; mend the row")
    return bits if bits == ANY_BIT else bits & (ANY_BIT - 1)
