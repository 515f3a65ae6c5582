"""Train with masks on a small synthetic cohort, with drawn lesions too, and export. test_every_recipe reads with it."""

import json
from pathlib import Path

import numpy as np
import pytest

from ichnos.data.masks import mask_at
from ichnos.data.set import PreparedSet
from ichnos.data.sources.phantom import PhantomSource
from ichnos.data.splits import Part
from ichnos.inference import read_bundle
from ichnos.phantom import RAISED_PREVALENCE, CohortSettings
from ichnos.progress import SILENT
from ichnos.recipe import SliceRecipe
from ichnos.recipes import find
from ichnos.training.journal import read_journal
from ichnos.workflows.phantom import write_cohort
from ichnos.workflows.prepare import prepare_set
from ichnos.workflows.train import open_data
from tests.stories.running import Ran, ichnos

SETTINGS = CohortSettings(exams=10, seed=8, prevalence=dict(RAISED_PREVALENCE), matrix=128, slices=(10, 10))

SHORT = ("fit.epochs=1", "fit.steps_per_epoch=2", "fit.batch_size=6", "synthetic.copies=1")
SHORT += ("input.size=64",)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("masks")
    cohort = write_cohort(SETTINGS, root / "cohort", SILENT, workers=1)
    prepare_set(PhantomSource(cohort), root / "set", SILENT, workers=1)
    return root / "set"


def trained(prepared: Path, run: Path, *more: str) -> Ran:
    words = [word for change in (*SHORT, *more) for word in ("--set", change)]
    return ichnos("train", "reader_masks", "--data", str(prepared), "--out", str(run), "--device", "cpu", *words)


@pytest.mark.slow
def test_the_sets_masks_and_the_drawn_ones_stand_with_their_slices(prepared: Path):
    """Each marked slice has a label, and each slice's masks are the set's own; drawn lesions come behind them."""
    data = open_data(prepared)
    made = PreparedSet(prepared)
    recipe: SliceRecipe = find("reader_masks").of_one_model.override({"input.size": "32", "synthetic.copies": "1"})
    part = data.slices(recipe, Part.TRAIN, SILENT)
    assert part.masks is not None
    assert len(part.masks) == len(part.images)
    real, drawn = part.rows[: len(part) - part.synthetic], part.rows[len(part) - part.synthetic :]
    assert part.masks.known(drawn).all()
    known = part.masks.known(real)
    assert known.mean() > 0.9, "only traces that are too small to be labelled make a slice without a mask"
    for row, bits, told in zip(real, part.masks[real], known, strict=True):
        own = made.mask(int(row))
        assert (own is not None) is bool(told)
        if own is not None:
            np.testing.assert_array_equal(bits, mask_at(own, 32))
    marked = part.masks[drawn].any(axis=(1, 2))
    assert marked.any()
    assert not (marked & ~part.labels[len(real) :].any(axis=1)).any()
    alone = data.slices(recipe.derive(synthetic=None), Part.VALIDATION, SILENT)
    assert alone.masks is not None
    assert data.slices(recipe.derive(segmentation=None), Part.TRAIN, SILENT).masks is None


@pytest.mark.slow
def test_a_run_says_how_well_it_outlines_and_its_bundle_is_without_the_head(prepared: Path, tmp_path: Path):
    done = trained(prepared, tmp_path / "run")
    assert done.exit_code == 0, done.stderr
    (epoch,) = read_journal(tmp_path / "run" / "journal.jsonl")
    assert set(epoch["validation"]["marked"]) == set(epoch["validation"]["dice"])
    assert sum(epoch["validation"]["marked"].values()) > 0
    out = tmp_path / "masks.ichnos"
    done = ichnos("export", str(tmp_path / "run"), "--out", str(out), "--data", str(prepared), "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["agreement"] <= 1e-4
    bundle = read_bundle(out)
    recipe = bundle.manifest.recipe
    assert isinstance(recipe, SliceRecipe)
    assert recipe.segmentation is not None
    assert b"outlines." not in bundle.network
