"""What joins an ensemble's members where that is fitted: on validation patients, or out of fold; never on test."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ichnos.data.splits import Part
from ichnos.errors import TrainingError
from ichnos.evaluation.combination import FittedCombination, fit_combination
from ichnos.files import write_json
from ichnos.predictions import Predictions
from ichnos.progress import Progress
from ichnos.recipe import AnyKind, EnsembleRecipe
from ichnos.workflows.trained import COMBINATION, open_run
from ichnos.workflows.trained_together import digest_of_members

if TYPE_CHECKING:
    from ichnos.workflows.train import OpenData


def combine_members(
    recipe: EnsembleRecipe,
    data: "OpenData",
    run: Path,
    progress: Progress,
    *,
    given: FittedCombination | None = None,
    device: str = "auto",
) -> None:
    """Fit and write `run`/combination.json where the recipe needs one and the one that is there is of other weights.

    given: fitted elsewhere, for members that were trained on everyone and have no validation patients. Raises
    TrainingError where these have none given.
    """
    path = run / COMBINATION
    if recipe.combine == "mean":
        path.unlink(missing_ok=True)
        return
    members = [open_run(run / part) for part in recipe.parts]
    checkpoints = digest_of_members(members)
    if given is None and data.everyone:
        raise TrainingError(
            f"{recipe.name} joins its members by what is fitted on validation patients, and all are trained on: take "
            "combine=mean, or `ichnos study folds --bundle`, which fits it out of fold"
        )
    if given is not None:
        fitted = given.model_copy(update={"checkpoints": checkpoints})
    elif _is_of(path, recipe, checkpoints):
        return
    else:
        tables = [member.predict(data, Part.VALIDATION, progress, device=device) for member in members]
        of = {"of": "the run's validation patients", "origin": data.origin}
        fitted = _fit(recipe, tables, of, checkpoints)
    write_json(path, fitted.model_dump(mode="json"))


def out_of_fold_combinations(
    recipe: AnyKind, data: "OpenData", runs: Sequence[Path], progress: Progress, *, device: str = "auto"
) -> Mapping[str, FittedCombination]:
    """For every ensemble in the recipe that needs it, by its folder: fitted on what the members of each fold's run say
    of the patients that they have not seen."""
    made: dict[str, FittedCombination] = {}
    for path, each in recipe.composites.items():
        if not isinstance(each, EnsembleRecipe) or each.combine == "mean":
            continue
        tables: list[Predictions] = []
        for part in each.parts:
            said = [
                open_run(run / path / part).predict(replace(data, fold=k), Part.TEST, progress, device=device)
                for k, run in enumerate(runs)
            ]
            tables.append(Predictions.joined(said))
        made[path] = _fit(each, tables, {"of": "all patients, each by the fold that has not seen them"}, "")
    return made


def _fit(
    recipe: EnsembleRecipe, tables: Sequence[Predictions], fitted_on: Mapping[str, object], checkpoints: str
) -> FittedCombination:
    assert recipe.combine != "mean"
    combination, record = fit_combination(recipe.combine, tables, recipe.shares)
    return FittedCombination(
        combine=recipe.combine,
        members=tuple(recipe.members),
        classes=recipe.classes,
        shares=recipe.shares,
        checkpoints=checkpoints,
        fitted_on={**fitted_on, **record},
        combination=combination,
    )


def _is_of(path: Path, recipe: EnsembleRecipe, checkpoints: str) -> bool:
    """Whether the file was made of these very weights in this way."""
    try:
        found = FittedCombination.model_validate_json(path.read_bytes())
    except (ValidationError, OSError):
        return False
    theirs = (found.combine, found.members, found.shares, found.checkpoints)
    return theirs == (recipe.combine, tuple(recipe.members), recipe.shares, checkpoints)
