"""Which errors of an evaluation are shown, and by which slices."""

from collections.abc import Callable, Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from ichnos.data.set import PreparedSet
from ichnos.evaluation.levels import Judged
from ichnos.progress import SILENT, Progress
from ichnos.reporting.errors_gallery import COLUMNS, ShownError, errors_gallery
from ichnos.reporting.evaluation_tables import mark
from ichnos.reporting.style import Picture
from ichnos.subtypes import Subtype

Heat = Callable[[NDArray[np.intp], int, Subtype], NDArray[np.float32] | None]
"""(rows of an exam from foot to head, which of them, class) → the class's map over that slice, (rows, columns)."""


def error_pictures(
    prepared: PreparedSet,
    rows: NDArray[np.intp],
    slices: Judged,
    exams: Judged,
    classes: Sequence[Subtype],
    labelled: Sequence[Subtype],
    heat: Heat | None,
    mapped: Collection[Subtype] = (),
    progress: Progress = SILENT,
) -> tuple[Picture, ...]:
    """A gallery a class. rows: of the set's index for each of `slices`; classes: the columns of both tables; mapped:
    those that are measured against other classes of the set."""
    shower = _Shower(prepared, rows, slices, exams, heat)
    daggers = {c.value: () for c in mapped}
    order = [c for c in reversed(classes) if c in labelled]  # any first
    found: list[Picture | None] = []
    with progress.task("Drawing the surest errors", len(order)) as task:
        for c in order:
            found.append(errors_gallery(c, *shower.of(c, list(classes).index(c)), mark(c, daggers)))
            task.advance()
    return tuple(each for each in found if each is not None)


class _Shower:
    """Finds the slices of errors."""

    def __init__(
        self, prepared: PreparedSet, rows: NDArray[np.intp], slices: Judged, exams: Judged, heat: Heat | None
    ) -> None:
        self._prepared, self._rows, self._slices, self._exams, self._heat = prepared, rows, slices, exams, heat
        self._exam_of_slice = prepared.exams[rows]
        self._offset = prepared.index["offset"].to_numpy()[rows]

    def of(self, c: Subtype, k: int) -> tuple[list[ShownError], list[ShownError]]:
        """Misses and false calls of the class in column k."""
        said, so = self._exams.probabilities[:, k], self._exams.labels[:, k]
        called = self._exams.called["balanced"][:, k]
        misses = np.flatnonzero(so & ~called)
        false = np.flatnonzero(~so & called)
        misses = misses[np.argsort(said[misses], kind="stable")][:COLUMNS]
        false = false[np.argsort(-said[false], kind="stable")][:COLUMNS]
        return [self._shown(c, k, e, missed=True) for e in misses], [self._shown(c, k, e, missed=False) for e in false]

    def _shown(self, c: Subtype, k: int, exam: int, *, missed: bool) -> ShownError:
        own = np.flatnonzero(self._exam_of_slice == self._exams.name[exam])
        own = own[np.argsort(self._offset[own], kind="stable")]
        said = self._slices.probabilities[own, k]
        if missed:
            said = np.where(self._slices.labels[own, k], said, -1.0)
        place = int(said.argmax())
        hu = self._prepared.hu(int(self._rows[own[place]]))
        heat = self._heat(self._rows[own], place, c) if self._heat else None
        probability = self._exams.probabilities[exam, k]
        caption = f"exam {exam + 1}, slice {place + 1} of {len(own)}\np = {probability:.2f}"
        return ShownError(hu, heat, caption)
