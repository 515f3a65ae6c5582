"""A patient: age, sex, the size of the head, how much the brain has shrunk, and the fields that make it one's own."""

from dataclasses import dataclass

import numpy as np

from ichnos.phantom.fields import RandomField


@dataclass(frozen=True, eq=False)
class Patient:
    """Everything of a head that stays the same from exam to exam. Lengths in mm, radiodensities in HU."""

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


def draw_patient(rng: np.random.Generator) -> Patient:
    """A patient at random: mostly grown up, older ones with wider sulci and ventricles, as in an emergency room."""
    age = int(rng.integers(4, 18)) if rng.random() < 0.06 else int(np.clip(rng.normal(60, 19), 18, 97))
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
