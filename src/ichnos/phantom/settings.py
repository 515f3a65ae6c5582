"""What a synthetic cohort is asked to be: how many exams, from which seed, with how much blood, at which matrix."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from ichnos.errors import UsageError
from ichnos.subtypes import SUBTYPES, Subtype

RSNA_PREVALENCE: Mapping[Subtype, float] = MappingProxyType(
    {
        Subtype.EPIDURAL: 0.0161,
        Subtype.INTRAPARENCHYMAL: 0.265,
        Subtype.INTRAVENTRICULAR: 0.228,
        Subtype.SUBARACHNOID: 0.128,
        Subtype.SUBDURAL: 0.1325,
    }
)
"""The share of exams with each subtype that gives RSNA 2019's slice prevalences (stage-1 train: any 14.40 %, SDH 6.30,
IPH 4.83, SAH 4.76, IVH 3.52, EDH 0.41) with the lesions as drawn here: slice prevalence divided by the share of slices
that shows a subtype in an exam that has it, measured over 4,800 exams (EDH .255, IPH .182, IVH .154, SAH .372, SDH
.476)."""

RAISED_PREVALENCE: Mapping[Subtype, float] = MappingProxyType(dict.fromkeys(SUBTYPES, 0.3))
"""Every subtype in 30 % of exams: enough of each, epidural too, for a demonstration on a few dozen exams."""


class Patients(StrEnum):
    """Who is scanned.

    EMERGENCY: mostly grown-up patients of an emergency room, heads as they are usually laid. TRAUMA: after injuries: a
    third of them children, infants too; scalps swollen and skulls broken (with no more blood beneath than elsewhere),
    heads turned further, fields of view that differ more, half of the epidurals thin.
    """

    EMERGENCY = "emergency"
    TRAUMA = "trauma"


MATRIX_LIMITS = (64, 1024)
"""The smallest and the largest matrix. Below 64 pixels (3.5 mm each) lesions vanish; scanners end at 1024."""

SLICE_LIMITS = (10, 200)
"""The fewest and the most slices an exam: 160 mm of head in 16 mm steps at one end, in 0.8 mm steps at the other."""


@dataclass(frozen=True)
class CohortSettings:
    """A synthetic cohort, valid after construction.

    prevalence: the share of exams that have each of the five subtypes. Subtypes that are not named have none.
    matrix: rows = columns of a slice. slices: the fewest and the most slices that an exam has; the head is covered
    whole, so fewer slices are thicker ones.
    """

    exams: int
    seed: int
    prevalence: Mapping[Subtype, float] = field(default_factory=lambda: RSNA_PREVALENCE)
    matrix: int = 512
    slices: tuple[int, int] = (20, 60)
    patients: Patients = Patients.EMERGENCY

    def __post_init__(self) -> None:
        if self.exams < 1:
            raise UsageError(f"a cohort has at least one exam, got {self.exams}")
        if self.seed < 0:
            raise UsageError(f"a seed is 0 or above, got {self.seed}")
        _check_prevalence(self.prevalence)
        object.__setattr__(self, "prevalence", dict(self.prevalence))  # whatever it was: it goes to other processes
        low, high = MATRIX_LIMITS
        if not low <= self.matrix <= high or self.matrix % 2:
            raise UsageError(f"a matrix is an even number from {low} to {high}, got {self.matrix}")
        fewest, most = SLICE_LIMITS
        if not fewest <= self.slices[0] <= self.slices[1] <= most:
            raise UsageError(f"slices is (fewest, most) from {fewest} to {most}, got {self.slices}")


def _check_prevalence(prevalence: Mapping[Subtype, float]) -> None:
    for subtype, share in prevalence.items():
        if subtype not in SUBTYPES:
            names = ", ".join(SUBTYPES)
            raise UsageError(f"prevalence is given for the five subtypes ({names}), got {subtype}")
        if not 0.0 <= share <= 1.0:
            raise UsageError(f"the prevalence of {subtype} is a share of exams from 0 to 1, got {share}")
