"""A prepared set: lossless HU and labels of many exams in one folder, which serves every recipe."""

import json
from collections.abc import Callable
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from ichnos.data.shards import ShardReader
from ichnos.errors import SetError
from ichnos.recipe import Population
from ichnos.subtypes import CLASSES, SUBTYPES, Subtype

SET_VERSION = 1
"""Of the form on disk; a set of another version is refused and prepared anew."""

LABEL_COLUMNS = [subtype.value for subtype in SUBTYPES]
"""The index's label columns, in the order of SUBTYPES."""


ANY_COLUMN = Subtype.ANY.value
"""A column that the index has where a source labels `any` by itself: 1 or 0."""


class SetHeader(BaseModel):
    """header.json: what the set is. Written last, so a folder without it is not finished."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    source: str
    fingerprint: str
    """16 hex digits over every slice's name, labels and pixels, in order."""
    exams: int
    patients: int
    slices: int
    skipped: int
    positives: dict[str, int]
    """Slices with each subtype, and with any; exams, where labels are of exams."""
    labels_of: Literal["slice", "exam"] = "slice"
    """What a label is of. "exam": each slice carries its exam's labels, which do not say which slices bleed."""
    labelled: tuple[Subtype, ...] = CLASSES
    """The classes that labels tell; empty for a set without labels, of which predictions can be made, no more."""

    @property
    def teaches(self) -> bool:
        """Whether each slice's own labels are known, so that a model of slices can learn from them."""
        return self.labels_of == "slice" and set(SUBTYPES) <= set(self.labelled)


class PreparedSet:
    """A finished set, open for reading: what is asked for is read, and stays; pixels are mapped, never held."""

    def __init__(self, path: Path | str) -> None:
        """Open the set in `path`. Raises SetError where it is none, unfinished, damaged or of another version."""
        path = Path(path)
        self.path = path
        self.header = _read_header(path)
        self._shards = ShardReader(path / "shards")

    def __reduce__(self) -> tuple[Callable[..., "PreparedSet"], tuple[Any, ...]]:
        """To another process goes where it lies; it is opened once there, as its index can be long."""
        return _opened, (self.path, self.header.fingerprint)

    @property
    def sets(self) -> tuple["PreparedSet", ...]:
        """What it is made of: itself."""
        return (self,)

    @cached_property
    def index(self) -> pl.DataFrame:
        """One row a slice, exams in settled order, slices from foot to head.

        Columns: source, patient, exam, series, name, offset (mm), row_spacing and column_spacing (mm), rows, columns,
        the five subtypes, pixel_hash, near_air, shard and where in it, and whatever else the source knows (age, sex).
        """
        return _read_table(self.path / "index.parquet")

    @property
    def rows(self) -> pl.LazyFrame:
        """The index, to be read some rows at a time. Raises SetError where it is absent or damaged."""
        _read_table(self.path / "index.parquet", columns=[])
        return pl.scan_parquet(self.path / "index.parquet")

    @cached_property
    def exams(self) -> NDArray[np.str_]:
        """(slices,) the exam of each slice, and its series too where that exam has several.

        A reader of exams reads one series of each: slices of two are no neighbours, and each is judged by itself.
        """
        several = pl.col("series").n_unique().over("exam") > 1
        named = pl.when(several).then(pl.concat_str("exam", "series", separator=" ")).otherwise(pl.col("exam"))
        return self.index.select(named.alias("exam"))["exam"].to_numpy().astype(np.str_)

    @cached_property
    def heights(self) -> NDArray[np.float64]:
        """(slices,) how high each lies in its exam: 0 the lowest slice, 1 the highest, 0.5 where it is the only one."""
        offset = pl.col("offset")
        low, high = offset.min().over("exam"), offset.max().over("exam")
        height = pl.when(high > low).then((offset - low) / (high - low)).otherwise(0.5)
        named = self.index.select("offset", pl.Series("exam", self.exams))
        return named.select(height.alias("height"))["height"].to_numpy().astype(np.float64)

    @cached_property
    def skipped(self) -> pl.DataFrame:
        """What was left out: columns exam, name, reason."""
        return _read_table(self.path / "skipped.parquet")

    @cached_property
    def labels(self) -> NDArray[np.bool_]:
        """(slices, 5) in the order of SUBTYPES."""
        return _read_table(self.path / "index.parquet", LABEL_COLUMNS).to_numpy().astype(np.bool_)

    def labels_of(self, classes: tuple[Subtype, ...]) -> NDArray[np.bool_]:
        """(slices, len(classes)): the columns of `classes`, `any` being their union, or more where the set says so."""
        everything = np.column_stack([self.labels, self.labels.any(axis=1) | self._any])
        return everything[:, [CLASSES.index(c) for c in classes]]

    @cached_property
    def _any(self) -> NDArray[np.bool_]:
        """(slices,) those that a column `any` marks: readers may agree on a hemorrhage, and not on its kind."""
        path = self.path / "index.parquet"
        if ANY_COLUMN not in pl.read_parquet_schema(path):
            return np.zeros(len(self.labels), np.bool_)
        return _read_table(path, [ANY_COLUMN])[ANY_COLUMN].to_numpy() == 1

    def rows_of(self, population: Population) -> NDArray[np.int64]:
        """The rows of the index that a population takes, ascending."""
        taken = self.labels.any(axis=1) if population.slices == "positives" else np.ones(len(self.labels), np.bool_)
        for subtype in population.without:
            taken &= ~self.labels_of((subtype,))[:, 0]
        return np.flatnonzero(taken)

    def hu(self, row: int) -> NDArray[np.int16]:
        """The HU of one slice at the scanner's matrix."""
        start, length, shard, rows, columns = self._places[row]
        return self._shards.read(shard, start, length, (rows, columns), np.int16)

    def mask(self, row: int) -> NDArray[np.uint8] | None:
        """The mask of one slice, bit k set where SUBTYPES[k] bleeds; None where the source had none."""
        shard, rows, columns = self._places[row][2:]
        start, length = self.index["mask_start"][row], self.index["mask_length"][row]
        if length is None:
            return None
        return self._shards.read(shard, start, length, (rows, columns), np.uint8)

    @cached_property
    def _places(self) -> NDArray[np.int64]:
        places = ["start", "length", "shard", "rows", "columns"]
        return _read_table(self.path / "index.parquet", places).to_numpy().astype(np.int64)


def read_json(path: Path) -> Any:
    """A JSON file of a set. Raises SetError where it is absent or damaged."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SetError(f"{path.name} of the prepared set is absent or damaged; prepare the set again") from error


def _read_header(path: Path) -> SetHeader:
    if path.parts and path.parts[0].endswith(":") and not path.exists():
        raise SetError(
            f"a set is read from a disk, not from {path.parts[0]}//; copy it to this machine, with its shards"
        )
    if not path.is_dir():
        raise SetError(f"no prepared set at {path}: there is no such folder; `ichnos prepare` makes one")
    if (path / "prepare.json").exists() and not (path / "header.json").exists():
        raise SetError(f"the set at {path} is not finished; give the same `ichnos prepare` command again to go on")
    if not (path / "header.json").exists():
        raise SetError(f"{path} is not a prepared set (it has no header.json); `ichnos prepare` makes one")
    tree = read_json(path / "header.json")
    if not isinstance(tree, dict) or tree.get("version") != SET_VERSION:
        found = tree.get("version") if isinstance(tree, dict) else None
        raise SetError(
            f"the set at {path} has version {found}, this ichnos reads version {SET_VERSION}; prepare it again"
        )
    try:
        return SetHeader.model_validate(tree)
    except ValidationError as error:
        raise SetError(f"the header of the set at {path} is damaged; prepare it again") from error


def _read_table(path: Path, columns: list[str] | None = None) -> pl.DataFrame:
    """columns: None for all."""
    try:
        return pl.read_parquet(path, columns=columns)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SetError(f"{path.name} of the prepared set is absent or damaged; prepare the set again") from error


@lru_cache(maxsize=1)
def _opened(path: Path, fingerprint: str) -> PreparedSet:
    prepared = PreparedSet(path)
    if prepared.header.fingerprint != fingerprint:
        raise SetError(f"{path} became another set while it was read; give the same command again")
    return prepared
