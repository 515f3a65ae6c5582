"""One recipe of a comparison, as it was measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ichnos.evaluation.folds import OutOfFold
from ichnos.recipe import AnyKind
from ichnos.subtypes import Subtype


@dataclass(frozen=True, eq=False)
class MeasuredRecipe:
    """One recipe, measured."""

    name: str
    recipe: AnyKind
    reported: tuple[Subtype, ...]
    """Columns of what was judged."""
    card: Mapping[str, Any]
    """The scorecard of its study by folds."""
    judged: Mapping[str, OutOfFold]
    """`slices`, `exams` and `patients`."""
    journals: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]
    """For each stage the epochs of each fold."""
    cost: Mapping[str, Any]

    def of_classes(self, level: str, classes: Sequence[Subtype]) -> OutOfFold:
        """What was judged at a level, of some classes."""
        table = self.judged[level]
        columns = [self.reported.index(c) for c in classes]
        return OutOfFold(
            table.patient,
            table.fold,
            table.raw[:, columns],
            table.probabilities[:, columns],
            table.labels[:, columns],
            {name: called[:, columns] for name, called in table.called.items()},
        )

    def auc(self, level: str, c: Subtype = Subtype.ANY) -> float | None:
        """Mean of the folds'."""
        row = self.card[level]["classes"].get(c.value)
        return row["auc_mean_of_folds"]["value"] if row else None

    def inner(self) -> dict[str, float | None]:
        """Mean over the folds of the inner validation patients' AUC of any hemorrhage: what variants are chosen by."""
        found: dict[str, float | None] = {}
        for level in ("slices", "exams"):
            values = [fold["validation_auc"][level].get("any") for fold in self.card["folds"]]
            known = [value for value in values if value is not None]
            found[level] = sum(known) / len(known) if known else None
        return found

    def inner_of_fold(self, k: int) -> float | None:
        """Mean of the same AUC of slices and of exams in one fold, of those that are defined."""
        aucs = [tree.get("any") for tree in self.card["folds"][k]["validation_auc"].values()]
        known = [value for value in aucs if value is not None]
        return sum(known) / len(known) if known else None
