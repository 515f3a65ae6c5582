"""Splits: train, validation and test, and k folds, by patient and by identical pixels, stratified by subtype."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ichnos.data.set import LABEL_COLUMNS, PreparedSet, read_json
from ichnos.errors import SetError, UsageError
from ichnos.files import join_parquet, write_json, write_parquet

FRACTIONS = (0.6, 0.2, 0.2)
"""Train, validation, test: with some eighty patients rare subtypes still reach all three; a large set loses little."""

FOLDS = 5

FEWEST_FOLDS = 3

FEWEST_PATIENTS = 3
"""One to train on, one to validate, one to test."""


_SLICES_AT_A_TIME = 1 << 16
"""That are in memory while pixels are compared, and while a split is written."""


class Part(StrEnum):
    """What a slice is used for."""

    TRAIN = "train"
    """To learn from."""
    VALIDATION = "validation"
    """To choose the epoch, to calibrate and to set thresholds."""
    TEST = "test"
    """To report; touched once."""


@dataclass(frozen=True, eq=False)
class Splits:
    """Who is in which part and fold: one split for every model of a set.

    part, fold: (slices,) in the order of the set's index.
    """

    seed: int
    part: NDArray[np.str_]
    fold: NDArray[np.int64]
    folds: int

    def rows(self, part: Part) -> NDArray[np.int64]:
        """The set's rows in a part, ascending."""
        return np.flatnonzero(self.part == part.value)

    def rows_of_fold(self, k: int, part: Part) -> NDArray[np.int64]:
        """The set's rows in a part when fold k tests, fold k+1 validates and the rest train."""
        if not 0 <= k < self.folds:
            raise UsageError(f"no fold {k}: this set has folds 0 to {self.folds - 1}")
        test, validation = self.fold == k, self.fold == (k + 1) % self.folds
        match part:
            case Part.TEST:
                return np.flatnonzero(test)
            case Part.VALIDATION:
                return np.flatnonzero(validation)
            case Part.TRAIN:
                return np.flatnonzero(~test & ~validation)


def split(prepared: PreparedSet, *, seed: int = 0, folds: int = FOLDS) -> Splits:
    """The set's splits: read where they are stored with this seed, else made and stored. Raises as `store_splits`."""
    store_splits(prepared, seed=seed, folds=folds)
    return _read(prepared, seed, folds)


def store_splits(prepared: PreparedSet, *, seed: int = 0, folds: int = FOLDS) -> None:
    """Make the set's splits, unless they are stored with this seed already; memory is taken by patient, not by slice.

    Raises SetError where another split is stored already: one split is shared by all models of a set.
    """
    stored = prepared.path / "splits.json"
    if stored.exists():
        _check_stored(prepared, seed, folds)
        return
    index = prepared.rows
    patients = _assigned(index, seed, folds)
    with TemporaryDirectory(prefix="ichnos-") as scratch:
        parts: list[Path] = []
        for start in range(0, prepared.header.slices, _SLICES_AT_A_TIME):
            names = index.select("patient", "exam", "name").slice(start, _SLICES_AT_A_TIME).collect(engine="streaming")
            parts.append(Path(scratch) / f"{start}.parquet")
            write_parquet(parts[-1], names.with_columns(_of_slices(patients)))
        join_parquet(prepared.path / "splits.parquet", parts)
    write_json(
        stored,
        {"set": prepared.header.fingerprint, "seed": seed, "folds": folds, "fractions": FRACTIONS}
        | {"counts": _counts(patients)},
    )


def check_split(seed: int, folds: int) -> None:
    """Raise UsageError where no set could be split so."""
    if folds < FEWEST_FOLDS:
        raise UsageError(
            f"folds must be at least {FEWEST_FOLDS} (one tests, one validates, the rest train), got {folds}"
        )
    if seed < 0:
        raise UsageError(f"the split's seed must be 0 or more, got {seed}")


def stored_splits(prepared: PreparedSet) -> Splits:
    """The splits that are stored with the set. Raises SetError where there are none, or of another set."""
    if not (prepared.path / "splits.json").exists():
        raise SetError(f"the set at {prepared.path} is not split; give its `ichnos prepare` command again")
    header = read_json(prepared.path / "splits.json")
    return _read(prepared, header.get("seed"), header.get("folds"))


def make_splits(index: pl.DataFrame, *, seed: int, folds: int = FOLDS) -> Splits:
    """Assign every slice a part and a fold. Slices of one patient, or with one pixel hash, stay together.

    index: needs the columns patient, pixel_hash, near_air and the five subtypes.
    """
    slices = index.select(_of_slices(_assigned(index.lazy(), seed, folds)))
    return Splits(seed, slices["part"].to_numpy().astype(np.str_), slices["fold"].to_numpy(), folds)


def same_patients(index: pl.DataFrame) -> NDArray[np.int64]:
    """(slices,) a number for each group of patients who are chained by identical, telling pixels."""
    patients = index["patient"].unique().sort()
    groups = _groups(patients, _sharing_pixels(index.lazy(), len(index)))
    return index["patient"].replace_strict(patients, groups, return_dtype=pl.Int64).to_numpy()


def _assigned(index: pl.LazyFrame, seed: int, folds: int) -> pl.DataFrame:
    """A row a patient, by name: patient, how many slices with each subtype and in all, part, fold."""
    check_split(seed, folds)
    sums = [*(pl.col(label).sum() for label in LABEL_COLUMNS), pl.len().alias("slices")]
    patients = index.group_by("patient").agg(sums).sort("patient").collect(engine="streaming")
    groups = _groups(patients["patient"], _sharing_pixels(index, int(patients["slices"].sum())))
    counts = np.zeros((int(groups.max()) + 1, len(LABEL_COLUMNS) + 1), dtype=np.int64)
    np.add.at(counts, groups, patients.select(*LABEL_COLUMNS, "slices").to_numpy().astype(np.int64))
    if len(counts) < FEWEST_PATIENTS:
        raise SetError(
            f"a split needs at least {FEWEST_PATIENTS} patients, got {len(counts)} "
            "(patients with shared pixels count as 1)"
        )
    part = _assign(counts, np.array(FRACTIONS), np.random.default_rng([seed, 0]))
    fold = _assign(counts, np.full(folds, 1 / folds), np.random.default_rng([seed, 1]))
    names = np.array([p.value for p in Part])
    return patients.with_columns(
        pl.Series("part", names[part[groups]].tolist(), pl.String), pl.Series("fold", fold[groups])
    )


def _of_slices(patients: pl.DataFrame) -> list[pl.Expr]:
    """Each slice's part and fold, which are its patient's."""
    patient = pl.col("patient")
    return [patient.replace_strict(patients["patient"], patients[each]).alias(each) for each in ("part", "fold")]


def _sharing_pixels(index: pl.LazyFrame, slices: int) -> Iterator[list[str]]:
    """The patients of each telling image that several have. A share of the images at a time: there may be very many."""
    shares = -(-slices // _SLICES_AT_A_TIME)
    for share in range(shares):
        images = index.filter(~pl.col("near_air"), pl.col("pixel_hash").hash() % shares == share)
        patients = images.group_by("pixel_hash").agg(pl.col("patient").unique())
        yield from patients.filter(pl.col("patient").list.len() > 1).collect(engine="streaming")["patient"].to_list()


def _groups(patients: pl.Series, sharing: Iterable[list[str]]) -> NDArray[np.int64]:
    """(patients,) a number for each group of patients that are chained by identical, telling pixels (union-find)."""
    number = {patient: place for place, patient in enumerate(patients)}
    parent = np.arange(len(patients))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = int(parent[node])
        return node

    for first, *others in sharing:
        for other in others:
            low, high = sorted((root(number[first]), root(number[other])))
            parent[high] = low
    return np.unique([root(node) for node in range(len(parent))], return_inverse=True)[1]


def _assign(counts: NDArray[np.int64], shares: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Iterative stratification over groups (Sechidis 2011): the rarest label's groups first, each to the neediest part.

    counts: (groups, labels + 1) slices with each label, then slices in all. A part needs a label by how much of its due
    share of the label's patients and slices it still lacks; what carries no label is shared out by slices.
    """
    present = np.minimum(counts[:, :-1], 1)
    patients = np.outer(shares, np.ones(present.shape[1]))
    slices = np.outer(shares, np.ones(counts.shape[1]))
    patient_shares = present / np.maximum(present.sum(axis=0), 1)
    slice_shares = counts / np.maximum(counts.sum(axis=0), 1)
    result = np.full(len(counts), -1)
    order = rng.permutation(len(counts))
    order = order[np.argsort(-counts[order, -1], kind="stable")]  # large groups first, small ones even things out

    def place(group: int, part: int) -> None:
        result[group] = part
        patients[part] -= patient_shares[group]
        slices[part] -= slice_shares[group]

    left = present.copy()
    while left.any():
        totals = left.sum(axis=0)
        label = int(np.argmin(np.where(totals > 0, totals, np.iinfo(np.int64).max)))
        lacking = np.array([not present[result == part, label].any() for part in range(len(shares))])
        waiting = order[left[order, label] > 0]
        for number, group in enumerate(waiting):
            need = (patients[:, label] + slices[:, label]) / shares
            if len(waiting) - number <= lacking.sum():  # a part without the label could not measure it
                need = np.where(lacking, need, -np.inf)
            part = int(np.argmax(need))
            place(int(group), part)
            lacking[part] = False
        left[waiting] = 0
    for group in order[result[order] < 0]:
        place(int(group), int(np.argmax(slices[:, -1] / shares)))
    return result


def _counts(patients: pl.DataFrame) -> dict[str, dict[str, int]]:
    return {
        part.value: {
            "patients": len(chosen := patients.filter(pl.col("part") == part.value)),
            **{column: int(chosen[column].sum()) for column in ("slices", *LABEL_COLUMNS)},
        }
        for part in Part
    }


def _check_stored(prepared: PreparedSet, seed: int, folds: int) -> None:
    header = read_json(prepared.path / "splits.json")
    if header.get("set") != prepared.header.fingerprint:
        raise SetError("the stored splits belong to another set; delete splits.json and splits.parquet to split anew")
    if (header.get("seed"), header.get("folds")) != (seed, folds):
        raise SetError(
            f"the set is split already with seed {header.get('seed')} and {header.get('folds')} folds, asked for seed "
            f"{seed} and {folds}: one split serves all models; use it, or prepare the set again in a new folder"
        )
    _table(prepared, [])


def _read(prepared: PreparedSet, seed: int, folds: int) -> Splits:
    _check_stored(prepared, seed, folds)
    table = _table(prepared, ["part", "fold"])
    return Splits(seed, table["part"].to_numpy().astype(np.str_), table["fold"].to_numpy(), folds)


def _table(prepared: PreparedSet, columns: list[str]) -> pl.DataFrame:
    try:
        return pl.read_parquet(prepared.path / "splits.parquet", columns=columns)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SetError("splits.parquet is absent or damaged; delete splits.json to split anew (same seed)") from error
