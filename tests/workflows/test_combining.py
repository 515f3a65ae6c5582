"""What joins an ensemble with a network of exams among its members, where the final model has everyone in training."""

from dataclasses import replace

import pytest

from ichnos.data.preparing import prepare
from ichnos.data.splits import split
from ichnos.errors import TrainingError
from ichnos.evaluation.combination import FittedCombination
from ichnos.progress import SILENT
from ichnos.recipe import EnsembleRecipe
from ichnos.recipes import find
from ichnos.workflows.combining import out_of_fold_combinations
from ichnos.workflows.train import open_data, train_stages
from ichnos.workflows.trained import open_run
from tests.data.in_memory import InMemorySource
from tests.workflows.test_take_over import TINY


@pytest.mark.slow
def test_it_is_fitted_on_what_each_fold_says_of_patients_it_has_not_seen(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    root = tmp_path_factory.mktemp("joined")
    made = prepare(InMemorySource(exams=24, slices=3), root / "set", SILENT, workers=1)
    split(made, seed=0, folds=3)
    data = open_data(made.path)
    plain = find("three_windows").of_one_model.derive(**TINY)
    exams = find("bigru").recipe.derive(slices=plain.model_dump(mode="json"), **{"head.hidden": 4, "fit.epochs": 2})
    recipe = EnsembleRecipe.model_validate(
        {"name": "both", "title": "Both", "combine": "stacking", "members": {"plain": plain, "exams": exams}}
    )
    runs = [root / f"fold-{k}" for k in range(3)]
    for k, run in enumerate(runs):
        train_stages(recipe, replace(data, fold=k), run, SILENT, device="cpu")
    fitted = out_of_fold_combinations(recipe, data, runs, SILENT, device="cpu")
    assert fitted[""].fitted_on["slices"] == made.header.slices
    everyone = replace(data, everyone=True)
    with pytest.raises(TrainingError, match="fits it out of fold"):
        train_stages(recipe, everyone, root / "final", SILENT, device="cpu")
    train_stages(recipe, everyone, root / "final", SILENT, combinations=fitted, device="cpu")
    taken = FittedCombination.model_validate_json((root / "final" / "combination.json").read_bytes())
    assert taken.combination == fitted[""].combination
    assert open_run(root / "final").recipe == recipe
