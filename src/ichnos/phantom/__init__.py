"""A synthetic head-CT cohort: anatomy, lesions and scanner, as HU and masks."""

from ichnos.phantom.cohort import VISIBLE_MM2, PhantomExam, make_exam
from ichnos.phantom.settings import RAISED_PREVALENCE, RSNA_PREVALENCE, CohortSettings, Patients

__all__ = [
    "RAISED_PREVALENCE",
    "RSNA_PREVALENCE",
    "VISIBLE_MM2",
    "CohortSettings",
    "Patients",
    "PhantomExam",
    "make_exam",
]
