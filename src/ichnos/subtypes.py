"""The five subtypes of intracranial hemorrhage and `any`: their one order, their names, and the rule any ≥ each."""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Subtype(StrEnum):
    """A class that a model can name. The values are RSNA 2019's column names."""

    EPIDURAL = "epidural"
    INTRAPARENCHYMAL = "intraparenchymal"
    INTRAVENTRICULAR = "intraventricular"
    SUBARACHNOID = "subarachnoid"
    SUBDURAL = "subdural"
    ANY = "any"

    @property
    def abbreviation(self) -> str:
        """The radiologist's short form: EDH, IPH, IVH, SAH, SDH, or any."""
        return _ABBREVIATIONS[self]

    @property
    def display_name(self) -> str:
        """The name for tables and figures."""
        return "Any hemorrhage" if self is Subtype.ANY else self.value.capitalize()


SUBTYPES: tuple[Subtype, ...] = (
    Subtype.EPIDURAL,
    Subtype.INTRAPARENCHYMAL,
    Subtype.INTRAVENTRICULAR,
    Subtype.SUBARACHNOID,
    Subtype.SUBDURAL,
)
"""The five subtypes in the one order that every label array of five columns has (RSNA's own, alphabetical)."""

CLASSES: tuple[Subtype, ...] = (*SUBTYPES, Subtype.ANY)
"""The five subtypes, then `any`: the order of RSNA's label rows."""

_ABBREVIATIONS = {
    Subtype.EPIDURAL: "EDH",
    Subtype.INTRAPARENCHYMAL: "IPH",
    Subtype.INTRAVENTRICULAR: "IVH",
    Subtype.SUBARACHNOID: "SAH",
    Subtype.SUBDURAL: "SDH",
    Subtype.ANY: "any",
}


def any_of(labels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether a slice has any hemorrhage, from labels of shape (..., 5) in the order of SUBTYPES."""
    return np.asarray(labels.any(axis=-1))


def bound_any(
    any_probability: NDArray[np.floating], subtype_probabilities: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Raise `any` (shape (...)) to at least the largest of its subtypes (shape (..., n)): any ≥ each."""
    return np.maximum(any_probability, subtype_probabilities.max(axis=-1))


def cap_subtypes(
    any_probability: NDArray[np.floating], subtype_probabilities: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Lower each subtype (shape (..., n)) to at most `any` (shape (...)): any ≥ each."""
    return np.minimum(subtype_probabilities, any_probability[..., np.newaxis])
