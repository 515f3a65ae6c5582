"""Whom first weights have met: nobody who is measured or chosen by afterwards."""

from pathlib import Path
from typing import Any

import pytest

from ichnos.errors import InputError, UsageError
from ichnos.models import SliceClassifier, save_checkpoint
from ichnos.progress import SILENT
from ichnos.recipe import SliceRecipe
from ichnos.recipes.cascade import RECIPE as CASCADE
from ichnos.recipes.reader import RECIPE as READER
from ichnos.workflows.adapt import AdaptOptions, Method, adapt_run
from ichnos.workflows.export import ExportOptions, export_runs
from ichnos.workflows.folds import FoldOptions, study_folds
from ichnos.workflows.patients import study_patients
from ichnos.workflows.seen import check_first_weights
from ichnos.workflows.shares import PatientsOptions
from ichnos.workflows.train import train_model
from tests.workflows.bright import bright_set

pytestmark = pytest.mark.usefixtures("one_thread", "undrawn")

TINY: SliceRecipe = READER.derive(
    network={"backbone": "separable", "init": "random"},
    synthetic=None,
    augmentation=None,
    **{"input.size": 32, "fit.epochs": 1, "fit.batch_size": 8, "fit.steps_per_epoch": 2, "fit.best": "loss"},
)


def origin(**changes: Any) -> dict[str, Any]:
    """Of data with the set `a`."""
    own = {"set": "a", "source": "ct-ich", "split_seed": 0, "folds": 5, "fold": 1, "everyone": False}
    return own | ({"source": "dicom"} if "set" in changes else {}) | changes


def begun_from(path: Path, *known: dict[str, Any]) -> SliceRecipe:
    """A recipe whose first weights have learnt from all of these, the first of them at last."""
    metadata = {"origin": known[0] if known else {}, "first_weights": {"learnt_from": list(known[1:])}}
    save_checkpoint(path, SliceClassifier(TINY), metadata)
    return TINY.derive(**{"network.init": str(path)})


@pytest.mark.parametrize(
    "known",
    [
        (origin(fold=2),),
        (origin(fold=None),),
        (origin(split_seed=3),),
        (origin(everyone=True),),
        (origin(split="drawn for several sets together"),),
        (origin(set="b"), origin(fold=0)),
        (origin(set="another edition", source="ct-ich"),),
        ({"sets": [origin(set="b"), origin(fold=0)]},),
    ],
)
def test_weights_that_met_who_is_measured_are_refused(tmp_path: Path, known: tuple[dict[str, Any], ...]) -> None:
    recipe = begun_from(tmp_path / "a.safetensors", *known)
    with pytest.raises(UsageError, match="has learnt from patients of this set whom this run would choose"):
        check_first_weights(recipe, origin())
    second = CASCADE.subtypes.derive(name="tiny_second", **{"network.init": recipe.network.init})
    cascade = CASCADE.derive(subtypes=second)
    with pytest.raises(UsageError, match=r"network\.init of tiny_second"):
        check_first_weights(cascade, origin())
    check_first_weights(recipe, origin(everyone=True))


@pytest.mark.parametrize("known", [(), (origin(),), (origin(set="b", fold=4),), (origin(set="b"), origin())])
def test_weights_of_the_same_split_or_another_set_pass(tmp_path: Path, known: tuple[dict[str, Any], ...]) -> None:
    recipe = begun_from(tmp_path / "a.safetensors", *known)
    check_first_weights(recipe, origin())
    if any(each["set"] == "a" for each in known):
        with pytest.raises(UsageError, match="would count as new"):
            check_first_weights(recipe, origin(), at_all=True)
    check_first_weights(TINY, origin())
    check_first_weights(TINY.derive(**{"network.init": str(tmp_path / "gone.safetensors")}), origin())


def test_several_sets_that_were_split_together_go_on_together(tmp_path: Path) -> None:
    together = {"split": "drawn for several sets together"}
    joined = origin(set="a+b") | {"sets": [origin(**together), origin(set="b", **together)]}
    recipe = begun_from(tmp_path / "a.safetensors", joined)
    check_first_weights(recipe, joined)
    alone = begun_from(tmp_path / "b.safetensors", origin())
    apart = origin(set="a+b") | {"sets": [origin(), origin(set="b")]}
    with pytest.raises(UsageError, match="has learnt from patients"):  # someone it trained on may be in b's test part
        check_first_weights(alone, apart)
    with pytest.raises(UsageError, match="has learnt from patients"):
        check_first_weights(recipe, origin())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bright_set(tmp_path_factory.mktemp("seen") / "set", exams=60)


@pytest.fixture(scope="module")
def run(data: Path) -> Path:
    """Trained on fold 0."""
    train_model(TINY, data, data.parent / "run", SILENT, fold=0, device="cpu")
    return data.parent / "run"


def test_studies_refuse_them_before_anything_is_trained(data: Path, run: Path, tmp_path: Path) -> None:
    recipe = TINY.derive(**{"network.init": str(run / "best.safetensors")})
    with pytest.raises(UsageError, match="would flatter it"):
        study_folds(recipe, data, tmp_path / "folds", SILENT, FoldOptions(), device="cpu")
    with pytest.raises(UsageError, match="would flatter it"):
        train_model(recipe, data, tmp_path / "run", SILENT, fold=1, device="cpu")
    with pytest.raises(UsageError, match="would count as new"):
        study_patients(recipe, data, tmp_path / "patients", SILENT, PatientsOptions(fold=0), device="cpu")
    with pytest.raises(UsageError, match="has learnt from patients of this set's validation or test part"):
        adapt_run(run, data, tmp_path / "adapted", AdaptOptions(Method.CALIBRATE), SILENT, device="cpu")
    assert list(tmp_path.iterdir()) == []
    train_model(recipe, data, tmp_path / "same", SILENT, fold=0, device="cpu")


def test_no_bundle_is_calibrated_on_whom_the_first_weights_met(
    data: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a run from before this was checked would be."""
    recipe = TINY.derive(**{"network.init": str(run / "best.safetensors")})
    monkeypatch.setattr("ichnos.workflows.train.check_first_weights", lambda *_: None)
    train_model(recipe, data, tmp_path / "run", SILENT, fold=1, device="cpu")
    with pytest.raises(InputError, match="what run began from has learnt from patients"):
        export_runs([tmp_path / "run"], tmp_path / "a.ichnos", SILENT, ExportOptions(data=(data,), fold=1))
