"""A patient: age, sex, the size of the head, how much the brain has shrunk, and the fields that make it one's own."""

from dataclasses import dataclass, replace

import numpy as np

from ichnos.phantom.fields import RandomField
from ichnos.phantom.injuries import Fracture, Swelling, draw_fracture, draw_swelling


@dataclass(frozen=True, eq=False)
class Patient:
    """Everything of a head that stays the same from exam to exam. Lengths in mm, radiodensities in HU.

    suture, fontanelle: the width of the sutures and the radius of the anterior fontanelle that are still open.
    """

    age: int
    sex: str
    half_width: float
    half_length: float
    height: float
    bone: float
    scalp: float
    atrophy: float
    ventricles: float
    cortical_hu: float
    diploe_hu: float
    grey_hu: float
    white_hu: float
    shape: RandomField
    gyri: RandomField
    folia: RandomField
    cells: RandomField
    tissue: RandomField
    warp: tuple[RandomField, RandomField, RandomField]
    choroid_calcified: bool
    pineal_calcified: bool
    falx_calcified: bool
    dura_hu: float
    sinus_hu: float
    suture: float = 0.0
    fontanelle: float = 0.0
    swellings: tuple[Swelling, ...] = ()
    fractures: tuple[Fracture, ...] = ()


YOUNG = 0.06
"""The share of those under 18 among an emergency room's patients: chosen, not measured."""

CHILDREN = 0.33
"""The same of the injured: that of CT-ICH, 27 of 82 patients."""

_SIZE = ((0, 1, 2, 4, 8, 16), (0.77, 0.83, 0.865, 0.90, 0.94, 1.0))
"""A head's size by age in years, as a share of a grown-up's: roughly how its circumference grows, chosen by us."""


def draw_patient(rng: np.random.Generator) -> Patient:
    """A patient at random: mostly grown up, older ones with wider sulci and ventricles, as in an emergency room."""
    age = int(rng.integers(4, 18)) if rng.random() < YOUNG else int(np.clip(rng.normal(60, 19), 18, 97))
    sex = "F" if rng.random() < 0.46 else "M"
    size = (0.965 if sex == "F" else 1.0) * (0.90 + 0.10 * min(age, 16) / 16)
    atrophy = float(np.clip((age - 30) / 65 + rng.normal(0, 0.14), 0.03, 1.1))
    calcifies = min(1.0, age / 60)
    return Patient(
        age=age,
        sex=sex,
        half_width=size * float(rng.normal(76, 2.8)),
        half_length=size * float(rng.normal(92, 3.2)),
        height=size * float(rng.normal(89, 2.5)),
        bone=float(np.clip(rng.normal(6.6, 1.0), 4.5, 9.0)) * (0.5 + 0.5 * min(age, 18) / 18),
        scalp=float(np.clip(rng.normal(5.5, 1.4), 3.0, 9.0)),
        atrophy=atrophy,
        ventricles=float(np.clip(0.72 + 0.62 * atrophy + rng.normal(0, 0.12), 0.55, 1.75)),
        cortical_hu=float(rng.normal(1500, 130)),
        diploe_hu=float(rng.normal(750, 150)),
        grey_hu=float(rng.normal(38.5, 1.0)),
        white_hu=float(rng.normal(27.5, 1.0)),
        shape=RandomField.draw(rng, (45, 110), 16),
        gyri=RandomField.draw(rng, (16, 26), 48),
        folia=RandomField.draw(rng, (4.5, 8), 40),
        cells=RandomField.draw(rng, (6, 12), 40),
        tissue=RandomField.draw(rng, (14, 34), 32),
        warp=(
            RandomField.draw(rng, (60, 140), 12),
            RandomField.draw(rng, (60, 140), 12),
            RandomField.draw(rng, (60, 140), 12),
        ),
        choroid_calcified=bool(rng.random() < 0.55 * calcifies),
        pineal_calcified=bool(rng.random() < 0.5 * calcifies),
        falx_calcified=bool(rng.random() < 0.15 * calcifies),
        dura_hu=float(rng.normal(50, 5)),
        sinus_hu=float(np.clip(rng.normal(53, 7), 42, 76)),
    )


def draw_injured(rng: np.random.Generator) -> Patient:
    """A patient after an injury: a third are children, infants among them; swellings of the scalp, fractures.

    Injuries are drawn apart from bleeds: a swelling or a broken skull is no sign of blood beneath it here, so that
    nobody learns it as one.
    """
    patient = draw_patient(rng)
    if patient.age < 18 or rng.random() < (CHILDREN - YOUNG) / (1.0 - YOUNG):
        patient = _as_child(rng, patient, int(rng.integers(0, 18)))
    size = patient.half_width / 76.0
    swellings = tuple(draw_swelling(rng, size) for _ in range(int(rng.choice(3, p=(0.35, 0.45, 0.20)))))
    fractures = tuple(draw_fracture(rng) for _ in range(int(rng.choice(3, p=(0.65, 0.25, 0.10)))))
    return replace(patient, swellings=swellings, fractures=fractures)


def _as_child(rng: np.random.Generator, patient: Patient, age: int) -> Patient:
    """The patient at another age: a smaller head, a thin skull with open sutures, tight spaces, darker white matter."""
    size = float(np.interp(age, *_SIZE)) / (0.90 + 0.10 * min(patient.age, 16) / 16)
    grown = min(age, 10) / 10
    infant = age < 2
    return replace(
        patient,
        age=age,
        half_width=size * patient.half_width,
        half_length=size * patient.half_length,
        height=size * patient.height,
        bone=max(1.8, float(np.clip(rng.normal(6.0, 0.8), 4.5, 8.0)) * (0.3 + 0.7 * age / 18)),
        scalp=patient.scalp * (0.6 + 0.4 * grown),
        atrophy=float(np.clip(rng.normal(0.35 if infant else 0.08, 0.12), 0.03, 0.6)),
        ventricles=float(np.clip(rng.normal(0.75, 0.10), 0.55, 1.1)),
        cortical_hu=patient.cortical_hu * (0.5 + 0.5 * grown),
        diploe_hu=patient.diploe_hu * (0.8 + 0.2 * grown),
        grey_hu=patient.grey_hu - 3.0 * infant,
        white_hu=patient.white_hu - (4.0 if infant else 1.0),
        suture=float(rng.uniform(2.0, 5.0) if infant else rng.uniform(0.8, 1.8)),
        fontanelle=float(rng.uniform(5.0, 14.0)) if infant else 0.0,
        choroid_calcified=False,
        pineal_calcified=False,
        falx_calcified=False,
    )
