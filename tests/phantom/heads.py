"""Exams and planes that several tests of the phantom look at."""

from functools import lru_cache

import numpy as np

from ichnos.phantom import CohortSettings, PhantomExam, make_exam
from ichnos.phantom.brain import Brain, brain_on
from ichnos.phantom.fields import Plane
from ichnos.phantom.patient import Patient, draw_patient
from ichnos.phantom.skull import skull_on
from ichnos.subtypes import Subtype

PATIENT = draw_patient(np.random.default_rng(4))
"""One grown-up patient."""


def axial(height: float, pixels: int = 128) -> Plane:
    """A level plane through the head, `height` mm above its middle, 1.75 mm a pixel."""
    pixel = 224.0 / pixels
    return Plane(
        origin=np.array([-112.0, -112.0, height]),
        down=np.array([0.0, pixel, 0.0]),
        across=np.array([pixel, 0.0, 0.0]),
        shape=(pixels, pixels),
        gravity=np.array([0.0, 1.0, 0.0]),
    )


def brain_at(height: float, patient: Patient = PATIENT) -> Brain:
    """A brain without lesions on a level plane."""
    plane = axial(height)
    return brain_on(patient, skull_on(patient, plane), plane, [])


@lru_cache(maxsize=16)
def exam_with(subtype: Subtype | None, number: int = 0) -> PhantomExam:
    """An exam with one subtype, or none, at a matrix that is quick."""
    prevalence = {} if subtype is None else {subtype: 1.0}
    return make_exam(CohortSettings(exams=9, seed=5, prevalence=prevalence, matrix=128, slices=(20, 20)), number)
