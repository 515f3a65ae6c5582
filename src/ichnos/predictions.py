"""The table of predictions that passes between stages: one row a slice, a probability and a label a class."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ichnos.counting import counted
from ichnos.errors import InputError
from ichnos.files import parquet_bytes
from ichnos.subtypes import Subtype

if TYPE_CHECKING:
    import polars as pl

OUT_OF_FOLD = "out-of-fold"
"""The part of predictions of every patient, each by the model of the fold that has not seen them."""

OUT_OF_FOLD_CALIBRATED = "out-of-fold, calibrated"
"""The part of the same as each fold's readout calibrated them: to compare models by, not to calibrate one on."""

Unit = Literal["slice", "exam"]
"""What a row of a table is, or what a label is of."""

_NAMED = 8
"""Rows that are named where many are wrong."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model says of slices, beside what is true.

    patient, exam, slice_name: (n,) strings; offset: (n,) mm along the slice normal. exam: what is judged as one, so a
    series by itself where an exam has several.
    probabilities: (n, classes) in [0, 1]; labels: (n, classes) bool; both in the order of `classes`.
    part: of a split, OUT_OF_FOLD or OUT_OF_FOLD_CALIBRATED; None where nobody knows. What is fitted on test patients
    flatters their results.
    labels_of: "exam" where each slice carries its exam's labels, which do not say which slices bleed (CQ500).
    rows_of: "exam" where a row is a whole exam: its slice_name is empty, its offset 0.
    """

    classes: tuple[Subtype, ...]
    patient: NDArray[np.str_]
    exam: NDArray[np.str_]
    slice_name: NDArray[np.str_]
    offset: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    labels: NDArray[np.bool_]
    part: str | None = None
    labels_of: Unit = "slice"
    rows_of: Unit = "slice"

    def __post_init__(self) -> None:
        shape = (len(self.patient), len(self.classes))
        if self.probabilities.shape != shape or self.labels.shape != shape:
            raise InputError(
                f"predictions of {counted(shape[0], 'slice')} and {counted(shape[1], 'class', 'classes')} need arrays "
                f"of shape {shape}, "
                f"got probabilities {self.probabilities.shape} and labels {self.labels.shape}"
            )
        if len(bad := no_probabilities(self.probabilities)):
            raise InputError(
                f"probabilities must be numbers in [0, 1]; {counted(len(bad), 'row')} of {len(self):,} "
                f"{'has' if len(bad) == 1 else 'have'} others ({named_rows(bad)}, counted from 0): the model or its "
                "file is damaged"
            )

    def __len__(self) -> int:
        return len(self.patient)

    @classmethod
    def joined(cls, tables: Sequence["Predictions"]) -> "Predictions":
        """Several tables of the same classes, one below the other; at least one."""
        first = tables[0].classes
        if any(table.classes != first for table in tables):
            raise InputError("predictions of different classes cannot be joined")
        columns = ("patient", "exam", "slice_name", "offset", "probabilities", "labels")
        joined = {name: np.concatenate([getattr(table, name) for table in tables]) for name in columns}
        parts = {table.part for table in tables}
        if len({(table.labels_of, table.rows_of) for table in tables}) > 1:
            raise InputError("predictions cannot be joined where some are of slices, or labelled by them, others not")
        return replace(tables[0], **joined, part=tables[0].part if len(parts) == 1 else None)

    @staticmethod
    def cascaded(gate: "Predictions", subtypes: "Predictions") -> "Predictions":
        """A gate's and a second stage's, of the same slices, as one: P(any) · P(subtype | positive), then P(any)."""
        if not (np.array_equal(gate.exam, subtypes.exam) and np.array_equal(gate.slice_name, subtypes.slice_name)):
            raise InputError("a cascade's two stages must be asked of the same slices, in the same order")
        some = gate.restrict((Subtype.ANY,))
        return replace(
            gate,
            classes=(*subtypes.classes, Subtype.ANY),
            probabilities=np.hstack([some.probabilities * subtypes.probabilities, some.probabilities]),
            labels=np.hstack([subtypes.labels, some.labels]),
        )

    def select(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> "Predictions":
        """The given rows, by mask or by index."""
        return replace(
            self,
            patient=self.patient[rows],
            exam=self.exam[rows],
            slice_name=self.slice_name[rows],
            offset=self.offset[rows],
            probabilities=self.probabilities[rows],
            labels=self.labels[rows],
        )

    def restrict(self, classes: tuple[Subtype, ...]) -> "Predictions":
        """The given classes only, in the given order."""
        columns = [self.classes.index(c) for c in classes]
        return replace(
            self, classes=classes, probabilities=self.probabilities[:, columns], labels=self.labels[:, columns]
        )

    def write_parquet(self, path: Path) -> None:
        """Write `path`: columns part, labels_of, rows_of, patient, exam, slice, offset, then for each class p_<class>,
        and for each y_<class>."""
        import polars as pl  # the base install reads exams without polars

        told = {"part": self.part, "labels_of": self.labels_of, "rows_of": self.rows_of}
        columns: dict[str, object] = {
            **{name: pl.Series([value], dtype=pl.String).new_from_index(0, len(self)) for name, value in told.items()},
            "patient": self.patient,
            "exam": self.exam,
            "slice": self.slice_name,
            "offset": self.offset,
        }
        for k, c in enumerate(self.classes):
            columns[f"p_{c.value}"] = self.probabilities[:, k]
        for k, c in enumerate(self.classes):
            columns[f"y_{c.value}"] = self.labels[:, k]
        path.write_bytes(parquet_bytes(pl.DataFrame(columns)))

    @classmethod
    def read_parquet(cls, path: Path) -> "Predictions":
        """Read what `write_parquet` wrote; files of before it wrote the part have none, and older ones than labels_of
        are taken for labels of slices.

        Raises InputError where there is no such file, or it holds something else.
        """
        import polars as pl

        if not path.is_file():
            raise InputError(f"no predictions at {path}; `ichnos evaluate` and `ichnos study folds` write such files")
        try:
            return cls._of_frame(pl.read_parquet(path))
        except (OSError, ValueError, pl.exceptions.PolarsError) as error:
            raise InputError(f"the predictions {path.name} cannot be read: {error}") from error
        except InputError as error:
            raise InputError(f"the predictions {path.name} cannot be used: {error}") from error

    @classmethod
    def _of_frame(cls, frame: "pl.DataFrame") -> "Predictions":
        if "model" in frame.columns:
            raise ValueError("they are of several models; `ichnos evaluate` writes those of one")
        classes = tuple(Subtype(name[2:]) for name in frame.columns if name.startswith("p_"))
        nameless = bool(len(frame)) and (frame["slice"] == "").all()  # as exams were written before rows_of
        return cls(
            classes,
            frame["patient"].to_numpy().astype(np.str_),
            frame["exam"].to_numpy().astype(np.str_),
            frame["slice"].to_numpy().astype(np.str_),
            frame["offset"].to_numpy(),
            frame.select([f"p_{c.value}" for c in classes]).to_numpy().astype(np.float64),
            frame.select([f"y_{c.value}" for c in classes]).to_numpy().astype(np.bool_),
            _only(frame["part"].unique().to_list()) if "part" in frame.columns else None,
            _unit(frame, "labels_of", "slice"),
            _unit(frame, "rows_of", "exam" if nameless else "slice"),
        )


def _only(parts: list[str | None]) -> str | None:
    """Of rows of several parts nobody knows the one."""
    return parts[0] if len(parts) == 1 else None


def _unit(frame: "pl.DataFrame", column: str, otherwise: Unit) -> Unit:
    """What a column says of all rows; `otherwise` where an older file has no such column."""
    said = frame[column].unique().to_list() if column in frame.columns else []
    match said:
        case []:
            return otherwise
        case ["slice"]:
            return "slice"
        case ["exam"]:
            return "exam"
        case _:
            raise ValueError(f"its column {column} says {', '.join(map(str, said))}, not slice or exam throughout")


def no_probabilities(values: NDArray[np.floating]) -> NDArray[np.intp]:
    """The rows of (n, classes) in which some number is not in [0, 1]."""
    return np.flatnonzero(~((values >= 0) & (values <= 1)).all(axis=1))  # NaN is neither


def named_rows(rows: NDArray[np.integer]) -> str:
    """`row 5`, `rows 5, 9`, or the first few of many and how many more."""
    more = f" and {len(rows) - _NAMED:,} more" if len(rows) > _NAMED else ""
    return f"row{'s' if len(rows) > 1 else ''} {', '.join(map(str, rows[:_NAMED].tolist()))}{more}"
