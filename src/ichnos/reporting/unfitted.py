"""What fitting a readout has left as it was, by class and by fold, in words."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ichnos.evaluation.readout import AT_HALF, NO_TEMPERATURE
from ichnos.readout import NEVER_FIRES
from ichnos.subtypes import CLASSES, Subtype

Tree = Mapping[str, Any]

LACKING = "where the validation patients do not have both slices or exams with a class and without it"
"""Why something of it cannot be fitted."""

_SILENT = "before calibration no slice reaches 0.5; calibrated, they say little more than how common each class is"


@dataclass(frozen=True)
class Unfitted:
    """The notes of the readouts of one model or of several folds, and the classes of which something is told."""

    notes: tuple[Sequence[str], ...]
    """A fold."""
    classes: frozenset[str]

    @classmethod
    def of_folds(cls, card: Tree) -> "Unfitted":
        """Of the scorecard of a study by folds: of the classes that it measures."""
        classes = {c for tree in card["levels"].values() for c in tree.get("classes", ())}
        return cls(tuple(fold.get("notes", ()) for fold in card["folds"]), frozenset(classes))

    @property
    def uncalibrated(self) -> str:
        """Which classes have no temperature, and in which folds: nothing where all have one."""
        return self._which(lambda notes, c: _says(notes, c, NO_TEMPERATURE))

    @property
    def at_half(self) -> str:
        """The same of thresholds of 0.5, which nobody chose: of slices, of exams or of both."""
        of = {
            "slices and exams": lambda notes, c: _at_half(notes, c) == {"slice", "exam"},
            "slices": lambda notes, c: _at_half(notes, c) == {"slice"},
            "exams": lambda notes, c: _at_half(notes, c) == {"exam"},
        }
        told = {words: self._which(applies) for words, applies in of.items()}
        return "; ".join(f"of {words} for {who}" for words, who in told.items() if who)

    @property
    def sentences(self) -> list[str]:
        """For the top of a page: what a reader of its numbers must know, nothing where everything was fitted."""
        said: list[str] = []
        if self.at_half:
            said.append(f"Thresholds of 0.5 that nobody chose, {LACKING}: {self.at_half}.")
        if self.uncalibrated:
            said.append(f"Not calibrated, {LACKING}: {self.uncalibrated}.")
        silent = [k for k, notes in enumerate(self.notes) if any(note.startswith(NEVER_FIRES) for note in notes)]
        if silent:
            said.append(f"The network never fires{self._where(silent)}: {_SILENT}.")
        return said

    def _which(self, applies: Callable[[Sequence[str], Subtype], bool]) -> str:
        """Classes with the folds of which it is so: `subdural hemorrhage (fold 3)`."""
        folds = {c: [k for k, notes in enumerate(self.notes) if applies(notes, c)] for c in CLASSES}
        told = {c: where for c, where in folds.items() if where and c.value in self.classes}
        return ", ".join(c.display_name.lower() + self._where(where) for c, where in told.items())

    def _where(self, folds: Sequence[int]) -> str:
        if len(self.notes) == 1:
            return ""
        *first, last = (str(k) for k in folds)
        return f" (folds {', '.join(first)} and {last})" if first else f" (fold {last})"


def _says(notes: Sequence[str], c: Subtype, what: str) -> bool:
    return any(note.startswith(f"{c.value}: {what}") for note in notes)


def _at_half(notes: Sequence[str], c: Subtype) -> set[str]:
    return {of for of in ("slice", "exam") if _says(notes, c, f"{of} {AT_HALF}")}
