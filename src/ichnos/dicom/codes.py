"""The codes of what ichnos writes: one table, each row with where it was read. Nothing else of ichnos has a code."""

from collections.abc import Mapping
from dataclasses import dataclass

from ichnos.subtypes import Subtype


@dataclass(frozen=True)
class Concept:
    """A coded concept (DICOM PS3.16 chapter 8): value, scheme designator, meaning, and where it was read."""

    value: str
    scheme: str
    meaning: str
    source: str


_SNOMED = "SNOMED CT, international edition"
_PS316 = "DICOM PS3.16"

INTRACRANIAL_HEMORRHAGE = Concept("1386000", "SCT", "Intracranial hemorrhage", _SNOMED)
CEREBRAL_HEMORRHAGE = Concept("274100004", "SCT", "Cerebral hemorrhage", _SNOMED)
SUBARACHNOID_HEMORRHAGE = Concept("21454007", "SCT", "Subarachnoid hemorrhage", _SNOMED)
SUBDURAL_HEMORRHAGE = Concept("35486000", "SCT", "Subdural hemorrhage", _SNOMED)
EPIDURAL_HEMORRHAGE = Concept("82999001", "SCT", "Epidural hemorrhage", _SNOMED)
HEMORRHAGE = Concept("50960005", "SCT", "Hemorrhage", f"{_SNOMED}; {_PS316} CID 6335")
BRAIN_VENTRICLE = Concept("35764002", "SCT", "Brain ventricle", f"{_SNOMED}; {_PS316} CID 7151")

PRESENT = Concept("52101004", "SCT", "Present", f"{_PS316} CID 240")
ABSENT = Concept("272519000", "SCT", "Absent", f"{_PS316} CID 240")
PRESENCE = Concept("121052", "DCM", "Presence of property", f"{_PS316} annex D")
PROBABILITY = Concept("122157", "DCM", "Probability", f"{_PS316} annex D")
NO_UNITS = Concept("1", "UCUM", "no units", f"{_PS316} CID 7181")

CT_HEAD = Concept("24725-4", "LN", "CT Head Report", f"LOINC; {_PS316} CID 7000")
MEASUREMENT_REPORT = Concept("126000", "DCM", "Imaging Measurement Report", f"{_PS316} CID 7021")
COMMENT = Concept("121106", "DCM", "Comment", f"{_PS316} annex D")
DEVICE = Concept("121007", "DCM", "Device", f"{_PS316} CID 270")
OF_INTEREST = Concept("113000", "DCM", "Of Interest", f"{_PS316} CID 7010")
GRAD_CAM = Concept("130403", "DCM", "Gradient-weighted class activation", f"{_PS316} annex D")


@dataclass(frozen=True)
class CodedFinding:
    """A class as DICOM says it: a finding, and where it lies where the finding alone does not say so."""

    finding: Concept
    site: Concept | None = None


FINDINGS: Mapping[Subtype, CodedFinding] = {
    Subtype.EPIDURAL: CodedFinding(EPIDURAL_HEMORRHAGE),
    Subtype.INTRAPARENCHYMAL: CodedFinding(CEREBRAL_HEMORRHAGE),
    Subtype.INTRAVENTRICULAR: CodedFinding(HEMORRHAGE, BRAIN_VENTRICLE),  # sources disagree on one code for both
    Subtype.SUBARACHNOID: CodedFinding(SUBARACHNOID_HEMORRHAGE),
    Subtype.SUBDURAL: CodedFinding(SUBDURAL_HEMORRHAGE),
    Subtype.ANY: CodedFinding(INTRACRANIAL_HEMORRHAGE),
}
"""Of every class."""

TABLE: tuple[Concept, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Concept))
"""Every row."""
