"""Synthetic lesions of a set: drawn once, of training patients alone, among their own neighbours."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from ichnos.data import grafts as module
from ichnos.data.cache import open_cache
from ichnos.data.grafts import open_grafts, synthetic_slices
from ichnos.data.preparing import prepare
from ichnos.data.set import PreparedSet
from ichnos.data.sources.phantom import PhantomSource
from ichnos.data.splits import Part, split
from ichnos.errors import SetError
from ichnos.inputs import to_planes
from ichnos.phantom import CohortSettings
from ichnos.progress import SILENT
from ichnos.recipe import InputSpec, Population, Synthetic
from ichnos.recipes.paper_model_2 import RECIPE as PAPER_MODEL_2
from ichnos.recipes.reader import RECIPE as READER
from ichnos.subtypes import CLASSES, Subtype
from ichnos.workflows.phantom import write_cohort
from ichnos.workflows.train import OpenData
from tests.data.in_memory import InMemorySource

SPEC = READER.input.model_copy(update={"size": 32})
SYNTHETIC = Synthetic(copies=2)
ALL = Population(slices="all")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedSet:
    folder = tmp_path_factory.mktemp("grafts")
    prevalence = {Subtype.SUBDURAL: 0.3}
    cohort = write_cohort(CohortSettings(9, 3, prevalence, 128, (12, 14)), folder / "cohort", SILENT, workers=1)
    made = prepare(PhantomSource(cohort), folder / "set", SILENT, workers=1)
    split(made, seed=0, folds=3)
    return made


def test_they_are_the_road_over_changed_slices(prepared: PreparedSet) -> None:
    drawn = open_grafts(prepared, SPEC, SYNTHETIC, SILENT, workers=1)
    assert len(drawn.rows) == len(drawn.images) == len(drawn.masks) == len(drawn.labels) > 20
    assert not prepared.labels[drawn.rows].any()
    for k in range(0, len(drawn.rows), 7):
        before = to_planes(SPEC, prepared.hu(int(drawn.rows[k])))
        assert (before != drawn.images[k]).any()
    large = drawn.labels.any(axis=1) & ((drawn.masks > 0).sum(axis=(1, 2)) >= 3)
    assert large.any()
    for k in np.flatnonzero(large):
        shown = sum(int((drawn.masks[k] >> j & 1).any()) for j in range(5))
        assert shown >= 1


def test_exams_with_hemorrhage_are_left_alone(prepared: PreparedSet) -> None:
    drawn = open_grafts(prepared, SPEC, SYNTHETIC, SILENT, workers=1)
    exam = prepared.index["exam"].to_numpy()
    bleeding = set(exam[prepared.labels.any(axis=1)])
    assert not bleeding & set(exam[drawn.rows])


def test_a_stopped_drawing_goes_on_to_the_same(
    prepared: PreparedSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = open_grafts(prepared, SPEC, SYNTHETIC, SILENT, workers=1)
    images, rows = whole.images.copy(), whole.rows.copy()
    shutil.copytree(prepared.path, tmp_path / "set", ignore=shutil.ignore_patterns("caches"))
    again = PreparedSet(tmp_path / "set")
    calls: list[int] = []
    real = module._drawn

    def stopping(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(module, "_drawn", stopping)
    with pytest.raises(KeyboardInterrupt):
        open_grafts(again, SPEC, SYNTHETIC, SILENT, workers=1)
    monkeypatch.setattr(module, "_drawn", real)
    continued = open_grafts(again, SPEC, SYNTHETIC, SILENT, workers=1)
    assert np.array_equal(continued.rows, rows)
    assert np.array_equal(continued.images, images)
    monkeypatch.setattr(module, "_drawn", stopping)  # kept: nothing is drawn again
    assert np.array_equal(open_grafts(again, SPEC, SYNTHETIC, SILENT).images, images)


def test_neighbours_are_of_the_same_synthetic_exam(prepared: PreparedSet) -> None:
    drawn = open_grafts(prepared, SPEC, SYNTHETIC, SILENT, workers=1)
    cache = open_cache(prepared, SPEC, ALL, SILENT, workers=1)
    every = np.arange(len(prepared.labels))
    stacked = synthetic_slices(prepared, SPEC, cache, drawn, every)
    alone = SPEC.model_copy(update={"neighbours": 0})
    single = synthetic_slices(prepared, alone, open_cache(prepared, alone, ALL, SILENT, workers=1), drawn, every)
    assert np.array_equal(stacked.labels, single.labels)
    middle = stacked.images[np.arange(len(stacked.labels))][:, 1]
    assert np.array_equal(middle, single.images[np.arange(len(single.labels))][:, 0])
    assert 0 < (~stacked.labels.any(axis=1)).sum() < stacked.labels.any(axis=1).sum()  # a clean slice at either end
    assert single.labels_of(CLASSES)[:, CLASSES.index(Subtype.ANY)].sum() == single.labels.any(axis=1).sum()


def test_masks_stand_with_their_slices(prepared: PreparedSet) -> None:
    """Where a mask marks blood, the slice that it came from was changed; slices beside a lesion are free of blood."""
    drawn = open_grafts(prepared, SPEC, SYNTHETIC, SILENT, workers=1)
    cache = open_cache(prepared, SPEC, ALL, SILENT, workers=1)
    shown = synthetic_slices(prepared, SPEC, cache, drawn, np.arange(len(prepared.labels)))
    every = np.arange(len(shown.labels))
    marks = shown.masks[every]
    assert shown.masks.known(every).all()
    assert not marks[~shown.labels.any(axis=1)].any()
    assert marks.any(axis=(1, 2)).sum() > 10
    images = shown.images[every][:, 1]
    for k in np.flatnonzero(marks.any(axis=(1, 2))):
        (place,) = np.flatnonzero((drawn.images[:, 0] == images[k]).all(axis=(1, 2)))[:1]
        np.testing.assert_array_equal(marks[k], drawn.masks[place])


def test_training_sees_its_own_patients_lesions_only(prepared: PreparedSet) -> None:
    splits = split(prepared, seed=0, folds=3)
    recipe = READER.derive(**{"input.size": 32, "synthetic": {"copies": 2}})
    data = OpenData(prepared, splits, fold=0)
    training = data.slices(recipe, Part.TRAIN, SILENT)
    real = len(data.rows(recipe.population, Part.TRAIN))
    assert 0 < training.synthetic == len(training) - real
    assert data.slices(recipe, Part.VALIDATION, SILENT).synthetic == 0
    drawn = open_grafts(prepared, recipe.input, recipe.synthetic or SYNTHETIC, SILENT)
    patient = prepared.index["patient"].to_numpy()
    rows = data.rows(ALL, Part.TRAIN)
    mine = np.isin(drawn.rows, rows)
    assert 0 < mine.sum() < len(mine)
    assert (training.labels[real:].any(axis=1)).sum() == drawn.labels[mine].any(axis=1).sum()
    assert not set(patient[drawn.rows[mine]]) & set(patient[data.rows(ALL, Part.TEST)])
    alone = PAPER_MODEL_2.derive(**{"input.size": 32, "synthetic": {"copies": 2}, "network.init": "random"})
    positives = data.slices(alone, Part.TRAIN, SILENT)
    shown = len(data.rows(alone.population, Part.TRAIN))
    assert positives.synthetic == len(positives) - shown == drawn.labels[mine].any(axis=1).sum()
    assert positives.labels.any(axis=1).all(), "what lies beside a lesion is no positive"
    negatives = ~training.labels.any(axis=1)
    assert negatives[real:].any()


def test_a_set_without_a_head_says_so(tmp_path: Path) -> None:
    nothing = prepare(InMemorySource(exams=6, slices=3), tmp_path / "set", SILENT, workers=1)
    with pytest.raises(SetError, match="no synthetic lesion could be drawn"):
        open_grafts(nothing, InputSpec(windows=SPEC.windows, size=32), SYNTHETIC, SILENT, workers=1)
