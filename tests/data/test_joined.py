"""Several sets as one: nobody crosses between parts, and each slice is still its own set's."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ichnos.data.cache import open_cache
from ichnos.data.joined import JoinedSet, JoinedSplits, join_splits
from ichnos.data.preparing import prepare
from ichnos.data.set import PreparedSet
from ichnos.data.splits import Part, make_splits, split, stored_splits
from ichnos.errors import SetError, UsageError
from ichnos.progress import SILENT
from ichnos.recipe import InputSpec, Population
from ichnos.recipes.neighbours import RECIPE as NEIGHBOURS
from ichnos.subtypes import CLASSES
from ichnos.workflows.train import OpenData, open_data
from tests.data.in_memory import InMemorySource, Messages

OTHERS = {number: 1000 + number for number in range(24)}
"""Exams whose pixels no exam of the first set has."""


def made(folder: Path, twins: dict[int, int] | None = None, *, exams: int = 24, seed: int = 0) -> PreparedSet:
    prepared = prepare(InMemorySource(exams=exams, slices=3, twins=twins or {}), folder, SILENT, workers=1)
    split(prepared, seed=seed, folds=3)
    return prepared


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> PreparedSet:
    return made(tmp_path_factory.mktemp("joined") / "first")


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> PreparedSet:
    """Another hospital, whose exams 3, 8 and 15 are also in the first set."""
    return made(tmp_path_factory.mktemp("joined") / "second", OTHERS | {3: 3, 8: 8, 15: 15}, seed=3)


def test_a_joined_set_is_its_sets_one_behind_the_other(first: PreparedSet, second: PreparedSet) -> None:
    joined = JoinedSet([first, second])
    assert joined.header.fingerprint == f"{first.header.fingerprint}+{second.header.fingerprint}"
    assert (joined.header.patients, joined.header.slices, joined.header.source) == (24, 144, "in-memory")
    for row, prepared, own in ((0, first, 0), (71, first, 71), (72, second, 0), (143, second, 71)):
        assert (joined.hu(row) == prepared.hu(own)).all()
        assert joined.index["name"][row] == prepared.index["name"][own]
    assert (joined.labels == np.concatenate([first.labels, second.labels])).all()
    assert (joined.labels_of(CLASSES)[72:] == second.labels_of(CLASSES)).all()
    assert (joined.heights == np.concatenate([first.heights, second.heights])).all()
    assert len(np.unique(joined.exams)) == 48, "exams of one name in two sets stay two"
    assert joined.index["patient"].n_unique() == 24
    assert joined.mask(0) is not None
    assert joined.mask(143) is None


@pytest.mark.parametrize("fold", [None, 0, 1, 2])
def test_no_pixels_cross_between_parts(first: PreparedSet, second: PreparedSet, fold: int | None) -> None:
    joined = JoinedSet([first, second])
    splits = join_splits(joined)
    rows = {part: splits.rows(part) if fold is None else splits.rows_of_fold(fold, part) for part in Part}
    hashes = joined.index["pixel_hash"].to_numpy()
    patients = joined.index["patient"].to_numpy()
    for part, other in ((Part.TRAIN, Part.VALIDATION), (Part.TRAIN, Part.TEST), (Part.VALIDATION, Part.TEST)):
        assert not set(hashes[rows[part]].tolist()) & set(hashes[rows[other]].tolist())
        assert not set(patients[rows[part]].tolist()) & set(patients[rows[other]].tolist())
    alone = [stored_splits(each) for each in joined.sets]
    whole = [each.rows(Part.TEST) if fold is None else each.rows_of_fold(fold, Part.TEST) for each in alone]
    assert len(rows[Part.TEST]) == sum(map(len, whole)), "every set's test part stays whole"
    slices, _ = splits.left_out(fold)
    assert slices == 144 - sum(len(part) for part in rows.values())


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(list(Part)), min_size=12, max_size=12), st.lists(st.integers(0, 5), min_size=12))
def test_whoever_is_in_two_parts_stays_in_the_later_one(parts: list[Part], groups: list[int]) -> None:
    names, chained = np.array([part.value for part in parts]), np.array(groups[:12])
    splits = JoinedSplits(0, names, np.zeros(12, np.int64), 3, chained)
    rows = {part: set(splits.rows(part).tolist()) for part in Part}
    assert rows[Part.TEST] == set(np.flatnonzero(names == "test").tolist())
    of_groups = {part: set(chained[sorted(mine)].tolist()) for part, mine in rows.items()}
    assert not of_groups[Part.TRAIN] & of_groups[Part.VALIDATION]
    assert not (of_groups[Part.TRAIN] | of_groups[Part.VALIDATION]) & of_groups[Part.TEST]
    assert set(chained.tolist()) == set().union(*of_groups.values()), "nobody is lost altogether"


def test_folds_drawn_for_all_keep_the_same_exam_together(first: PreparedSet, second: PreparedSet) -> None:
    joined = JoinedSet([first, second])
    splits = make_splits(joined.index, seed=1, folds=3)
    hashes = joined.index["pixel_hash"].to_numpy()
    for fold in range(3):
        inside = set(hashes[splits.fold == fold].tolist())
        assert not inside & set(hashes[splits.fold != fold].tolist())


def test_images_are_those_of_each_sets_own_cache(first: PreparedSet, second: PreparedSet) -> None:
    data = OpenData(joined := JoinedSet([first, second]), join_splits(joined))
    recipe = NEIGHBOURS.derive(**{"input.size": 32, "network.init": "random"})
    for population in (Population(slices="all"), Population(slices="positives")):
        rows = data.rows(population, Part.TEST)
        slices = data.slices_of(recipe, population, Part.TEST, SILENT)
        alone = [open_cache(each, recipe.input, population, SILENT) for each in (first, second)]
        shown = [alone[0].images[np.flatnonzero(alone[0].rows == row)[0]] for row in rows[rows < 72]]
        shown += [alone[1].images[np.flatnonzero(alone[1].rows == row - 72)[0]] for row in rows[rows >= 72]]
        assert (slices.images[slices.rows] == np.stack(shown)).all()
        assert (slices.labels == joined.labels_of(recipe.classes)[rows]).all()
        assert slices.exams is not None
        assert len(np.unique(slices.exams)) == len(np.unique(joined.exams[rows]))


def test_a_set_without_positives_beside_one_with(first: PreparedSet, tmp_path: Path) -> None:
    source = InMemorySource(exams=8, slices=3, twins=OTHERS, bleeding=False)
    healthy = prepare(source, tmp_path / "healthy", SILENT, workers=1)
    joined = JoinedSet([healthy, first])
    spec, positives = InputSpec(windows=NEIGHBOURS.input.windows, size=32), Population(slices="positives")
    cache = open_cache(joined, spec, positives, SILENT)
    assert (cache.rows == joined.rows_of(positives)).all()
    assert cache.rows.min() >= 24


@pytest.mark.slow
def test_lesions_are_drawn_into_each_set_or_passed_over(first: PreparedSet, second: PreparedSet) -> None:
    data = OpenData(joined := JoinedSet([first, second]), join_splits(joined))
    recipe = NEIGHBOURS.derive(**{"input.size": 32, "synthetic": {"share": 0.5, "copies": 1}})
    said = Messages()
    with pytest.raises(SetError, match="no braincase was found"):  # noise has none
        data.slices(recipe, Part.TRAIN, said)
    assert any(text.startswith("set 1: no synthetic lesion") for text in said.texts)


def test_what_makes_no_joined_set(first: PreparedSet, second: PreparedSet, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="given twice"):
        open_data([first.path, second.path, first.path])
    with pytest.raises(UsageError, match="at least one prepared set"):
        open_data([])
    other = prepare(InMemorySource(exams=12, slices=3, twins=OTHERS), tmp_path / "other", SILENT, workers=1)
    split(other, seed=0, folds=4)
    unlike = open_data([first.path, other.path])
    assert unlike.splits.seed == 0
    assert len(unlike.rows(Population(slices="all"), Part.TRAIN))
    with pytest.raises(UsageError, match="unlike numbers of folds"):
        open_data([first.path, other.path], fold=0).rows(Population(slices="all"), Part.TRAIN)


def test_one_set_given_as_a_list_is_that_set(first: PreparedSet) -> None:
    one, alone = open_data([first.path]), open_data(first.path)
    assert one.origin == alone.origin
    assert "sets" not in one.origin
