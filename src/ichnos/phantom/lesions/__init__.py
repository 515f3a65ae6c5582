"""The five subtypes as lesions in a head, and which of them an exam has."""

from collections.abc import Mapping

import numpy as np

from ichnos.phantom.lesions.base import Lesion
from ichnos.phantom.lesions.epidural import draw_epidural, thinned
from ichnos.phantom.lesions.intraparenchymal import draw_intraparenchymal
from ichnos.phantom.lesions.intraventricular import draw_intraventricular
from ichnos.phantom.lesions.subarachnoid import draw_subarachnoid
from ichnos.phantom.lesions.subdural import draw_subdural
from ichnos.phantom.patient import Patient
from ichnos.subtypes import SUBTYPES, Subtype

TOGETHER = 0.77
"""Subtypes come together: the exams that can bleed at all are this share of those that would have any bleed were the
five independent. 0.77 turns RSNA's subtype prevalences into its 41 % of exams with any."""

__all__ = ["TOGETHER", "Lesion", "draw_lesions", "draw_subtypes"]


def draw_subtypes(rng: np.random.Generator, prevalence: Mapping[Subtype, float]) -> frozenset[Subtype]:
    """Which subtypes an exam has. Each has the prevalence asked for; together they are rarer than if independent."""
    shares = np.array([prevalence.get(subtype, 0.0) for subtype in SUBTYPES])
    can_bleed = max(TOGETHER * (1.0 - float(np.prod(1.0 - shares))), float(shares.max()))
    draws = rng.random(len(SUBTYPES) + 1)
    if draws[0] >= can_bleed:
        return frozenset()
    return frozenset(s for s, draw, share in zip(SUBTYPES, draws[1:], shares, strict=True) if draw * can_bleed < share)


def draw_lesions(
    rng: np.random.Generator, patient: Patient, subtypes: frozenset[Subtype], thin: float = 0.0
) -> list[Lesion]:
    """The lesions of an exam, at least one of each subtype. thin: the share of epidurals that are drawn thin."""
    lesions: list[Lesion] = []
    if Subtype.INTRAPARENCHYMAL in subtypes:
        lesions += draw_intraparenchymal(rng, patient)
    if Subtype.INTRAVENTRICULAR in subtypes:
        lesions += draw_intraventricular(rng)
    if Subtype.SUBARACHNOID in subtypes:
        lesions += draw_subarachnoid(rng, patient)
    if Subtype.SUBDURAL in subtypes:
        lesions += draw_subdural(rng, patient)
    if Subtype.EPIDURAL in subtypes:
        epidural = draw_epidural(rng, patient)
        lesions.append(thinned(rng, epidural) if thin and rng.random() < thin else epidural)
    return lesions
