"""A network from random weights learns an easy task in a short run: the whole loop works together."""

from pathlib import Path

import pytest

from ichnos.recipe import SliceRecipe
from ichnos.training import train
from tests.training.conftest import parts


@pytest.mark.slow
def test_blobs_are_learnt_from_scratch(recipe: SliceRecipe, tmp_path: Path):
    longer = recipe.derive(
        **{"input.size": 64, "fit.batch_size": 16, "fit.epochs": 6, "fit.patience": None},
        augmentation={"rotation": 5, "horizontal_flip": False},
    )
    summary = train(longer, *parts(240, 80, size=64), tmp_path, device="cpu")
    assert summary.journal[-1]["validation"]["mean_auc"] > 0.9
