"""By what an evaluation parts its exams, and what is measured of each part."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from ichnos.data.set import PreparedSet
from ichnos.errors import InputError, UsageError
from ichnos.evaluation.level_measures import Measuring, StatedThresholds
from ichnos.evaluation.levels import Judged
from ichnos.evaluation.subgroups import VARIES, grouped, measure_subgroups
from ichnos.subtypes import CLASSES


@dataclass(frozen=True)
class Subgrouping:
    """By what exams make subgroups. Raises UsageError where there is a table, and no column of it."""

    by: str | None = None
    """A column of the set's index, or of `table`; None: nothing is parted."""
    table: Path | None = None
    """A CSV with a column `exam` or `patient`, and what is known of each."""

    def __post_init__(self) -> None:
        if self.table is not None and self.by is None:
            raise UsageError("a table of subgroups needs --by COLUMN, which says which column makes them")

    @property
    def words(self) -> list[str]:
        """As they are given to a command."""
        words = ["--by", self.by] if self.by else []
        return words + (["--table", str(self.table)] if self.table else [])

    def is_told(self, card: Mapping[str, Any]) -> bool:
        """Whether a scorecard has what is asked for. Of a table nobody knows whether it has changed."""
        told = card.get("subgroups") or {}
        if self.by is None:
            return not told
        return self.table is None and told.get("by") == self.by and not told.get("table")

    def see_that_it_can_be(self, prepared: PreparedSet, *, judges_exams: bool = True) -> None:
        """Before any network runs. Raises UsageError or InputError where this makes no groups of exams."""
        if self.by is None:
            return
        if not judges_exams:
            raise UsageError("--by makes subgroups of exams, and what knows slices with hemorrhage alone judges none")
        grouped(list(_values(prepared, self.by, self.table).values()))

    def measured(
        self, prepared: PreparedSet, exams: Judged, thresholds: StatedThresholds, asked: Measuring
    ) -> dict[str, Any]:
        """{"subgroups": ...} for a scorecard; nothing where none are asked for. Raises UsageError, see `grouped`."""
        if self.by is None:
            return {}
        values = _values(prepared, self.by, self.table)
        groups = grouped([values.get(name) for name in exams.name.tolist()])
        told = measure_subgroups(self.by, groups, exams, thresholds, asked)
        return {"subgroups": told | ({"table": self.table.name} if self.table else {})}


_KEYS = ("exam", "patient")
"""By which a table names exams."""


def _values(prepared: PreparedSet, column: str, table: Path | None) -> dict[str, object]:
    """What the column says of each exam: of the index, or of a CSV by exam or patient."""
    if table is None:
        return _of_index(prepared, column)
    try:
        rows = pl.read_csv(table, schema_overrides=dict.fromkeys(_KEYS, pl.String))  # 007 is a name, not a number
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"the table {table} cannot be read as CSV ({type(error).__name__})") from error
    key = next((name for name in _KEYS if name in rows.columns), None)
    if key is None or column not in rows.columns:
        raise InputError(f"{table} must have a column {column}, and one `exam` or `patient`; it has {rows.columns}")
    told = dict(zip(rows[key].to_list(), rows[column].to_list(), strict=True))
    if len(told) < len(rows):
        raise InputError(f"{table} names {len(rows) - len(told)} of its {key}s twice; keep one row of each")
    own = prepared.index[key].cast(pl.String).to_list()
    if told.keys().isdisjoint(own):
        raise InputError(
            f"{table} names no {key} of this set: it needs the names that the set's index and exams.parquet have "
            "(of several sets each with its set's before it)"
        )
    return {exam: told.get(name) for exam, name in zip(prepared.exams.tolist(), own, strict=True)}


_NO_GROUPS = {"name", "offset", "pixel_hash", "near_air", "shard", "start", "length", "mask_start", "mask_length"}
"""Columns of the index that say nothing of an exam."""


def _of_index(prepared: PreparedSet, column: str) -> dict[str, object]:
    """A class: whether any slice of the exam has it. Anything else: what all its slices say, or VARIES."""
    index = prepared.index
    if column not in index.columns or column in _NO_GROUPS:
        known = ", ".join(name for name in index.columns if name not in _NO_GROUPS)
        has = "has no column" if column not in index.columns else "says nothing of an exam in its column"
        raise UsageError(f"the set's index {has} {column}; give one of {known}; or --table FILE")
    slices = pl.DataFrame({"exam": prepared.exams, "value": index[column]})
    value = pl.col("value")
    if column in {c.value for c in CLASSES}:
        exams = slices.group_by("exam", maintain_order=True).agg(value.any(ignore_nulls=False))
        return dict(exams.iter_rows())
    exams = slices.group_by("exam", maintain_order=True).agg(value.first(), value.n_unique().alias("values"))
    told: dict[str, object] = {exam: VARIES if values > 1 else said for exam, said, values in exams.iter_rows()}
    if all(said == VARIES for said in told.values()):
        raise UsageError(f"{column} varies from slice to slice in every exam, so that it makes no groups of exams")
    return told
