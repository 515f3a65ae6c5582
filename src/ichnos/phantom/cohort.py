"""An exam of a synthetic cohort, from its number alone: START READING HERE."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ichnos.counting import counted
from ichnos.errors import UsageError
from ichnos.phantom.fields import Field, interpolation
from ichnos.phantom.lesions import Lesion, draw_lesions, draw_subtypes
from ichnos.phantom.patient import Patient, draw_injured, draw_patient
from ichnos.phantom.scanner import LOWEST_HU, Scan, draw_scan, noise, noise_bank, streaks, table_hu
from ichnos.phantom.settings import CohortSettings, Patients
from ichnos.phantom.slices import head_on
from ichnos.subtypes import SUBTYPES

RETURNS = 0.18
"""The chance that an odd-numbered exam is of the same patient as the one before it: 10 % of patients then have two."""

VISIBLE_MM2 = 12.0
"""The smallest area of blood in a slice that labels it, in mm²: a spot of 4 mm, about the least readers agree on."""

SHARE_BLEEDS = 0.5
"""A pixel is in the mask where at least this share of it is blood, over the slice's thickness."""

THICK_MM = 3.4
"""A slice thicker than this is the mean of two planes, so that it shows partial volume; a thinner one is one plane."""

FINE_MATRIX = 256
"""Up to this matrix every slice is one plane: such cohorts are for speed."""

THIN = 0.5
"""The share of the injured's epidurals that are thin: thin ones are what our models have missed on CT-ICH."""

_PATIENT, _EXAM, _RETURN = 0, 1, 2


@dataclass(frozen=True, eq=False)
class PhantomExam:
    """One exam, slices from foot to head, rows from anterior to posterior, the patient's right at column 0.

    hu: int16, shape (slices, matrix, matrix). masks: uint8 of the same shape, bit k set where SUBTYPES[k] bleeds.
    labels: bool, shape (slices, 5), a slice's masks of at least VISIBLE_MM2. positions: (slices, 3)
    ImagePositionPatient and orientation: (6,) ImageOrientationPatient, in mm; age: years.
    """

    patient_number: int
    hu: NDArray[np.int16]
    masks: NDArray[np.uint8]
    labels: NDArray[np.bool_]
    positions: NDArray[np.float64]
    orientation: NDArray[np.float64]
    pixel_spacing: tuple[float, float]
    slice_thickness: float
    age: int
    sex: str


@dataclass(frozen=True, eq=False)
class ExamPlan:
    """What an exam will show, before any pixel is made; `rng` goes on to draw its noise."""

    patient_number: int
    patient: Patient
    lesions: tuple[Lesion, ...]
    scan: Scan
    rng: np.random.Generator


def make_exam(settings: CohortSettings, number: int) -> PhantomExam:
    """Exam `number` of a cohort. It depends on the seed, the number and the settings, not on how many exams there are.

    Raises UsageError where the cohort has no such exam.
    """
    plan = plan_exam(settings, number)
    scan, rng = plan.scan, plan.rng
    hu = np.empty((scan.count, scan.matrix, scan.matrix), np.int16)
    masks = np.zeros(hu.shape, np.uint8)
    bank = noise_bank(rng, scan)
    for index in range(scan.count):
        exact, bleeding = _acquire(rng, plan, index)
        seen = _enlarge(exact, scan.matrix) + noise(rng, bank, scan.matrix)
        hu[index] = np.maximum(np.rint(seen), LOWEST_HU)
        for k in range(len(SUBTYPES)):
            if bleeding[k].any():
                masks[index] |= (_enlarge(bleeding[k], scan.matrix) >= SHARE_BLEEDS).astype(np.uint8) << k
    return PhantomExam(
        patient_number=plan.patient_number,
        hu=hu,
        masks=masks,
        labels=_labels(masks, scan.spacing),
        positions=scan.positions(),
        orientation=scan.orientation,
        pixel_spacing=(scan.spacing, scan.spacing),
        slice_thickness=scan.thickness,
        age=plan.patient.age,
        sex=plan.patient.sex,
    )


def plan_exam(settings: CohortSettings, number: int) -> ExamPlan:
    """Who is scanned, how, and with which lesions. Raises UsageError where the cohort has no such exam."""
    if not 0 <= number < settings.exams:
        raise UsageError(
            f"a cohort of {counted(settings.exams, 'exam')} has numbers 0 to {settings.exams - 1}, got {number}"
        )
    patient_number = _patient_number(settings.seed, number)
    injured = settings.patients is Patients.TRAUMA
    patient = (draw_injured if injured else draw_patient)(_generator(settings.seed, patient_number, _PATIENT))
    rng = _generator(settings.seed, number, _EXAM)
    lesions = draw_lesions(rng, patient, draw_subtypes(rng, settings.prevalence), thin=THIN if injured else 0.0)
    scan = draw_scan(rng, settings.matrix, settings.slices, patient.height, injured=injured)
    return ExamPlan(patient_number, patient, tuple(lesions), scan, rng)


def _generator(seed: int, number: int, purpose: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([seed, number, purpose]))


def _patient_number(seed: int, number: int) -> int:
    returns = number % 2 == 1 and _generator(seed, number, _RETURN).random() < RETURNS
    return number - 1 if returns else number


def _acquire(rng: np.random.Generator, plan: ExamPlan, index: int) -> tuple[Field, Field]:
    """HU of one slice without noise, and the share of its pixels that bleeds (5, rows, columns), on the grid."""
    scan = plan.scan
    fractions = (-0.25, 0.25) if scan.step > THICK_MM and scan.matrix > FINE_MATRIX else (0.0,)
    planes = [head_on(plan.patient, plan.lesions, scan.plane(index, fraction)) for fraction in fractions]
    exact: Field = sum((plane[0] for plane in planes[1:]), planes[0][0]) / len(planes)
    bleeding: Field = sum((plane[1] for plane in planes[1:]), planes[0][1]) / len(planes)
    exact += streaks(rng, scan, (exact > 300).astype(np.float32))
    if scan.table:
        exact += table_hu(scan.table, scan.field_of_view / len(exact), len(exact)) * (exact < -900)
    return exact, bleeding


def _enlarge(image: Field, matrix: int) -> Field:
    if len(image) == matrix:
        return image
    weights = _weights(len(image), matrix)
    return weights @ image @ weights.T


@lru_cache(maxsize=4)
def _weights(grid: int, matrix: int) -> Field:
    return interpolation((np.arange(matrix) + 0.5) * grid / matrix - 0.5, grid)


def _labels(masks: NDArray[np.uint8], spacing: float) -> NDArray[np.bool_]:
    areas = [np.count_nonzero(masks >> k & 1, axis=(1, 2)) * spacing**2 for k in range(len(SUBTYPES))]
    return np.stack(areas, axis=1) >= VISIBLE_MM2
