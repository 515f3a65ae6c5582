"""The table of predictions that passes between stages: one row a slice, a probability and a label a class."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

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


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model says of slices, beside what is true.

    patient, exam, slice_name: (n,) strings; offset: (n,) mm along the slice normal. exam: what is judged as one, so a
    series by itself where an exam has several.
    probabilities: (n, classes) in [0, 1]; labels: (n, classes) bool; both in the order of `classes`.
    part: of a split, or OUT_OF_FOLD; None where nobody knows. What is fitted on test patients flatters their results.
    """

    classes: tuple[Subtype, ...]
    patient: NDArray[np.str_]
    exam: NDArray[np.str_]
    slice_name: NDArray[np.str_]
    offset: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    labels: NDArray[np.bool_]
    part: str | None = None

    def __post_init__(self) -> None:
        shape = (len(self.patient), len(self.classes))
        if self.probabilities.shape != shape or self.labels.shape != shape:
            raise InputError(
                f"predictions of {counted(shape[0], 'slice')} and {counted(shape[1], 'class', 'classes')} need arrays "
                f"of shape {shape}, "
                f"got probabilities {self.probabilities.shape} and labels {self.labels.shape}"
            )
        if not np.isfinite(self.probabilities).all() or ((self.probabilities < 0) | (self.probabilities > 1)).any():
            raise InputError("probabilities must be numbers in [0, 1]; some are not: the model or its file is damaged")

    def __len__(self) -> int:
        return len(self.patient)

    @classmethod
    def joined(cls, tables: Sequence["Predictions"]) -> "Predictions":
        """Several tables of the same classes, one below the other; at least one."""
        first = tables[0].classes
        if any(table.classes != first for table in tables):
            raise InputError("predictions of different classes cannot be joined")
        columns = ("patient", "exam", "slice_name", "offset", "probabilities", "labels")
        joined = (np.concatenate([getattr(table, name) for table in tables]) for name in columns)
        parts = {table.part for table in tables}
        return cls(first, *joined, part=tables[0].part if len(parts) == 1 else None)

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
        return Predictions(
            self.classes,
            self.patient[rows],
            self.exam[rows],
            self.slice_name[rows],
            self.offset[rows],
            self.probabilities[rows],
            self.labels[rows],
            self.part,
        )

    def restrict(self, classes: tuple[Subtype, ...]) -> "Predictions":
        """The given classes only, in the given order."""
        columns = [self.classes.index(c) for c in classes]
        return Predictions(
            classes,
            self.patient,
            self.exam,
            self.slice_name,
            self.offset,
            self.probabilities[:, columns],
            self.labels[:, columns],
            self.part,
        )

    def write_parquet(self, path: Path) -> None:
        """Write `path`: columns part, patient, exam, slice, offset, then p_<class> and y_<class> for each class."""
        import polars as pl  # the base install reads exams without polars

        columns: dict[str, object] = {
            "part": pl.Series([self.part], dtype=pl.String).new_from_index(0, len(self)),
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
        """Read what `write_parquet` wrote; files of before it wrote the part have none.

        Raises InputError where there is no such file, or it holds something else.
        """
        import polars as pl

        if not path.is_file():
            raise InputError(f"no predictions at {path}; `ichnos evaluate` and `ichnos study folds` write such files")
        try:
            return cls._of_frame(pl.read_parquet(path))
        except (OSError, ValueError, pl.exceptions.PolarsError) as error:
            raise InputError(f"the predictions {path.name} cannot be read: {error}") from error

    @classmethod
    def _of_frame(cls, frame: "pl.DataFrame") -> "Predictions":
        if "model" in frame.columns:
            raise ValueError("they are of several models; `ichnos evaluate` writes those of one")
        classes = tuple(Subtype(name[2:]) for name in frame.columns if name.startswith("p_"))
        return cls(
            classes,
            frame["patient"].to_numpy().astype(np.str_),
            frame["exam"].to_numpy().astype(np.str_),
            frame["slice"].to_numpy().astype(np.str_),
            frame["offset"].to_numpy(),
            frame.select([f"p_{c.value}" for c in classes]).to_numpy().astype(np.float64),
            frame.select([f"y_{c.value}" for c in classes]).to_numpy().astype(np.bool_),
            _only(frame["part"].unique().to_list()) if "part" in frame.columns else None,
        )


def _only(parts: list[str | None]) -> str | None:
    """Of rows of several parts nobody knows the one."""
    return parts[0] if len(parts) == 1 else None
