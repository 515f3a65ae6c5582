"""CQ500's `reads.csv`: what three radiologists found in each exam, and what most of them did."""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ichnos.errors import SourceError
from ichnos.remote import Place
from ichnos.subtypes import CLASSES, Subtype

READERS = ("R1", "R2", "R3")

_FINDINGS: Mapping[Subtype, str] = {
    Subtype.EPIDURAL: "EDH",
    Subtype.INTRAPARENCHYMAL: "IPH",
    Subtype.INTRAVENTRICULAR: "IVH",
    Subtype.SUBARACHNOID: "SAH",
    Subtype.SUBDURAL: "SDH",
    Subtype.ANY: "ICH",
}
"""The table's own name of each class."""

_ATTRIBUTES: Mapping[str, str] = {
    "chronic_bleed": "ChronicBleed",
    "fracture": "Fracture",
    "mass_effect": "MassEffect",
    "midline_shift": "MidlineShift",
}
"""What else most readers saw, for subgroups: our name, the table's."""

_NAME = re.compile(r"CQ500[-_ ]?CT[-_ ]?(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Read:
    """One exam's row. labels: bits in the order of CLASSES, `any` among them; attributes: for subgroups."""

    number: int
    labels: int
    attributes: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """As the table has it: `CQ500-CT-0`."""
        return f"CQ500-CT-{self.number}"


def exam_number(name: str) -> int | None:
    """0 from `CQ500-CT-0`, or from a folder's `CQ500CT0 CQ500CT0`; None where it names no exam."""
    found = _NAME.match(name)
    return int(found.group(1)) if found else None


def read_reads(table: Place) -> list[Read]:
    """All rows, by number: a class is there where at least two of the three readers saw it.

    `any` is the majority of the column ICH by itself, or of a subtype: readers may agree on a hemorrhage and not on its
    kind. Raises SourceError where a column is missing, a value is neither 0 nor 1, or an exam is there twice.
    """
    rows = _rows(table)
    reads: dict[int, Read] = {}
    for line, row in enumerate(rows, start=2):
        number = exam_number((row["name"] or "").strip())
        if number is None:
            raise SourceError(f"{table}, row {line}: the name is not of the form CQ500-CT-0")
        if number in reads:
            raise SourceError(f"{table}, row {line}: CQ500-CT-{number} is there twice; take the data set's own table")
        place = f"{table}, row {line}"
        bits = sum(_majority(row, _FINDINGS[c], place) << k for k, c in enumerate(CLASSES))
        if bits:
            bits |= 1 << CLASSES.index(Subtype.ANY)
        known = [(ours, "yes" if _majority(row, theirs, place) else "no") for ours, theirs in _ATTRIBUTES.items()]
        category = (row.get("Category") or "").strip()
        reads[number] = Read(number, bits, (*known, *([("category", category)] if category else [])))
    if not reads:
        raise SourceError(f"{table} has no rows; download it again")
    return [reads[number] for number in sorted(reads)]


def _rows(table: Place) -> list[dict[str, str | None]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            columns = [(name or "").strip() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            rows = list(reader)
    except FileNotFoundError:
        raise SourceError(f"{table} does not exist; it comes with CQ500, and lies beside the exams' folders") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{table} cannot be read as CSV ({type(error).__name__}); download it again") from error
    wanted = [f"{reader}:{each}" for reader in READERS for each in (*_FINDINGS.values(), *_ATTRIBUTES.values())]
    if missing := [column for column in ("name", *wanted) if column not in columns]:
        raise SourceError(f"{table} lacks the columns {', '.join(missing[:6])}; take the data set's own table")
    return rows


def _majority(row: Mapping[str, str | None], finding: str, place: str) -> bool:
    said = [(row[f"{reader}:{finding}"] or "").strip() for reader in READERS]
    if any(value not in ("0", "1") for value in said):
        raise SourceError(f"{place}: {finding} is {', '.join(map(repr, said))}; a reader says 0 or 1")
    return said.count("1") >= 2
