"""Splits: nobody crosses, everybody is used, rare subtypes reach every part."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ichnos.data.preparing import prepare
from ichnos.data.set import LABEL_COLUMNS
from ichnos.data.splits import Part, make_splits, split
from ichnos.errors import SetError, UsageError
from ichnos.progress import SILENT
from tests.data.in_memory import InMemorySource


def an_index(seed: int, patients: int, twins: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    rows = []
    for patient in range(patients):
        kinds = rng.random(5) < np.array([0.06, 0.2, 0.15, 0.2, 0.25])
        rows += [
            {
                "patient": f"p{patient}",
                "pixel_hash": f"h{patient}-{k}",
                "near_air": k == 0,
                **{c: bool(kinds[j] and rng.random() < 0.4) for j, c in enumerate(LABEL_COLUMNS)},
            }
            for k in range(int(rng.integers(3, 12)))
        ]
        rows[-1]["pixel_hash"] = "vertex air" if not twins else rows[-1]["pixel_hash"]
        rows[-1]["near_air"] = True
    for n in range(twins):  # patients 2n and 2n+1 share a slice
        rows.append(
            next(r for r in rows if r["patient"] == f"p{2 * n}") | {"near_air": False, "pixel_hash": f"twin{n}"}
        )
        rows.append(rows[-1] | {"patient": f"p{2 * n + 1}"})
    return pl.DataFrame(rows)


@given(seed=st.integers(0, 10**6), patients=st.integers(12, 60), twins=st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_no_patient_and_no_pixel_hash_crosses(seed: int, patients: int, twins: int) -> None:
    index = an_index(seed, patients, twins)
    made = make_splits(index, seed=seed)
    frame = index.with_columns(pl.Series("part", made.part.tolist()), pl.Series("fold", made.fold))
    telling = frame.filter(~pl.col("near_air"))
    for column in ("part", "fold"):
        assert frame.group_by("patient").agg(pl.col(column).n_unique())[column].max() == 1
        assert telling.group_by("pixel_hash").agg(pl.col(column).n_unique())[column].max() == 1


def test_near_air_slices_do_not_chain_strangers() -> None:
    index = an_index(3, 40).with_columns(
        pl.when(pl.col("near_air")).then(pl.lit("air")).otherwise(pl.col("pixel_hash")).alias("pixel_hash")
    )
    assert len(set(make_splits(index, seed=0).part.tolist())) == 3


@given(seed=st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_a_subtype_with_three_patients_reaches_every_part(seed: int) -> None:
    index = an_index(seed, 60)
    made = make_splits(index, seed=seed)
    for c in LABEL_COLUMNS:
        positive = index[c].to_numpy()
        if len(set(index["patient"].to_numpy()[positive])) >= 3:
            assert set(made.part[positive]) == {"train", "validation", "test"}, c


def test_parts_are_stratified() -> None:
    index = an_index(1, 2000)
    made = make_splits(index, seed=0)
    for c in LABEL_COLUMNS:
        positive = index[c].to_numpy()
        for part, share in zip(Part, (0.6, 0.2, 0.2), strict=True):
            assert (made.part[positive] == part.value).mean() == pytest.approx(share, abs=0.02)
        assert np.bincount(made.fold[positive], minlength=5) / positive.sum() == pytest.approx([0.2] * 5, abs=0.02)


def test_folds_test_validate_and_train_everybody_once() -> None:
    made = make_splits(an_index(5, 50), seed=0)
    tested = np.concatenate([made.rows_of_fold(k, Part.TEST) for k in range(5)])
    assert sorted(tested.tolist()) == list(range(len(made.fold)))
    for k in range(5):
        parts = [set(made.rows_of_fold(k, part).tolist()) for part in Part]
        assert len(set().union(*parts)) == sum(len(part) for part in parts) == len(made.fold)
        validated = made.rows_of_fold(k, Part.VALIDATION)
        assert (made.fold[validated] == (k + 1) % 5).all()
    with pytest.raises(UsageError, match="folds 0 to 4"):
        made.rows_of_fold(5, Part.TEST)


def test_the_seed_decides_and_nothing_else() -> None:
    index = an_index(1, 80)
    assert (make_splits(index, seed=3).part == make_splits(index, seed=3).part).all()
    assert (make_splits(index, seed=3).part != make_splits(index, seed=4).part).any()


def test_a_set_has_one_split_stored_with_it(tmp_path: Path) -> None:
    prepared = prepare(InMemorySource(twins={5: 0}), tmp_path / "set", SILENT, workers=1)
    first = split(prepared, seed=7)
    again = split(prepared, seed=7)
    assert (first.part == again.part).all()
    assert (first.fold == again.fold).all()
    assert first.part[0] == first.part[25]  # exam 5 shows the pixels of exam 0
    with pytest.raises(SetError, match="split already with seed 7"):
        split(prepared, seed=8)
    (tmp_path / "set" / "splits.parquet").unlink()
    with pytest.raises(SetError, match=r"splits.parquet is absent"):
        split(prepared, seed=7)


def test_too_few_patients_to_split(tmp_path: Path) -> None:
    with pytest.raises(SetError, match="at least 3 patients, got 2"):
        make_splits(an_index(0, 2), seed=0)
