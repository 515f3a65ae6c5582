"""CT-ICH's two tables: a row of diagnoses a slice, a row of age and sex a patient."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ichnos.errors import SourceError
from ichnos.remote import Place
from ichnos.subtypes import SUBTYPES, Subtype

_COLUMNS = {subtype: subtype.value.capitalize() for subtype in SUBTYPES}
_REQUIRED = ("PatientNumber", "SliceNumber", *_COLUMNS.values())


@dataclass(frozen=True)
class Diagnosis:
    """One slice's row. slice_number: from 1, the skull base, to the head's top. labels: bits, bit k is SUBTYPES[k]."""

    patient: int
    slice_number: int
    labels: int

    @property
    def name(self) -> str:
        """The slice's name, such as `049/12`."""
        return f"{self.patient:03d}/{self.slice_number}"


@dataclass(frozen=True)
class Demographics:
    """One patient's age in years and sex (`M` or `F`); None and "" where they are not given."""

    age: float | None
    sex: str

    def attributes(self) -> dict[str, str | float]:
        """What is known, as an exam's attributes."""
        known: dict[str, str | float] = {}
        if self.age is not None:
            known["age"] = self.age
        if self.sex:
            known["sex"] = self.sex
        return known


def read_diagnoses(table: Place) -> list[Diagnosis]:
    """All rows, by patient and slice. Raises SourceError where columns are missing or a row contradicts itself."""
    rows = _read(table)
    if missing := [column for column in _REQUIRED if rows and column not in rows[0]]:
        raise SourceError(f"{table} lacks the columns {', '.join(missing)}; take the data set's own table")
    if not rows:
        raise SourceError(f"{table} has no rows; download it again")
    diagnoses: dict[tuple[int, int], Diagnosis] = {}
    for line, row in enumerate(rows, start=2):
        diagnosis = _diagnosis(row, table, line)
        key = diagnosis.patient, diagnosis.slice_number
        if diagnoses.setdefault(key, diagnosis) != diagnosis:
            raise SourceError(f"{table}, row {line}: slice {diagnosis.name} is there twice, with other labels")
    return [diagnoses[key] for key in sorted(diagnoses)]


def read_demographics(candidates: Iterable[Place]) -> dict[int, Demographics]:
    """Age and sex by patient number, from the first table that exists; empty where none does: nothing hangs on them."""
    table = next((path for path in candidates if path.is_file()), None)
    if table is None:
        return {}
    found: dict[int, Demographics] = {}
    for row in _read(table):
        named = {" ".join(column.split()).lower(): (value or "").strip() for column, value in row.items() if column}
        number = named.get("patient number", "")
        if number.isdigit():
            found[int(number)] = Demographics(_age(named.get("age (years)", "")), named.get("gender", "")[:1].upper())
    return found


def _diagnosis(row: dict[str, str], table: Place, line: int) -> Diagnosis:
    try:
        patient, slice_number = int(row["PatientNumber"]), int(row["SliceNumber"])
    except (TypeError, ValueError):
        raise SourceError(f"{table}, row {line}: PatientNumber and SliceNumber must be whole numbers") from None
    bits = 0
    for position, subtype in enumerate(SUBTYPES):
        bits |= _label(row[_COLUMNS[subtype]], subtype, table, line) << position
    none = row.get("No_Hemorrhage")
    if none in ("0", "1") and (none == "1") != (bits == 0):
        raise SourceError(f"{table}, row {line}: No_Hemorrhage is {none}, which contradicts the row's subtypes")
    return Diagnosis(patient, slice_number, bits)


def _label(value: str, subtype: Subtype, table: Place, line: int) -> int:
    if value not in ("0", "1"):
        raise SourceError(f"{table}, row {line}: {_COLUMNS[subtype]} is {value!r}; a label is 0 or 1")
    return int(value)


def _age(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _read(table: Place) -> Sequence[dict[str, str]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            return list(csv.DictReader(stream))
    except FileNotFoundError:
        raise SourceError(f"{table} does not exist; give the folder of CT-ICH as unpacked, tables and all") from None
    except PermissionError:
        raise SourceError(f"no permission to read {table}; grant it") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{table} cannot be read as CSV ({type(error).__name__}); download it again") from error
