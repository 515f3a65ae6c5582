"""The class maps of a trained run, made slice by slice as its exported graph makes them."""

from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from ichnos.data.set import PreparedSet
from ichnos.inputs import neighbour_stacks
from ichnos.progress import Progress
from ichnos.reporting.exam.heat import placed
from ichnos.subtypes import Subtype
from ichnos.training.devices import choose
from ichnos.workflows.exam_data import said_of_exam
from ichnos.workflows.localise import MapsAgainstMasks
from ichnos.workflows.trained_model import Trained


class RunMaps:
    """Grad-CAM of a run by the closed form (see models.export): only slices that are asked for are shown to it."""

    def __init__(self, model: Trained, prepared: PreparedSet, *, device: str = "auto") -> None:
        """prepared: whose slices are asked for."""
        self._classes = model.recipe.classes
        self._road = model.recipe.widest
        self._graph = model.graph()
        self._prepared = prepared
        self._offsets = prepared.index["offset"].to_numpy().astype(np.float64)
        if self.side:
            self._graph.to(choose(device, "32-true").device)

    @property
    def side(self) -> int:
        """Rows and columns of a map; 0: the network has none, and none may be asked for."""
        return self._graph.map_side

    def of(self, rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """(n, classes, side, side) for rows of one exam of the set's index, with the neighbours that the exam has."""
        exam = np.flatnonzero(self._prepared.exams == self._prepared.exams[rows[0]])
        exam = exam[np.argsort(self._offsets[exam], kind="stable")]
        places = np.flatnonzero(np.isin(exam, rows))
        shown = np.unique(neighbour_stacks(self._road, self._offsets[exam])[places])
        hu = {int(place): self._prepared.hu(int(exam[place])) for place in shown}
        _, _, maps = said_of_exam(self._graph, self._road, hu, self._offsets[exam], places=places, maps=True)
        assert maps is not None  # no map is asked of a network without
        found = {int(row): each for row, each in zip(exam[places], maps, strict=True)}
        return np.stack([found[int(row)] for row in rows])

    def heat(self, rows: NDArray[np.intp], place: int, c: Subtype) -> NDArray[np.float32]:
        """The map of a class over one of an exam's slices, as large as the slice; see workflows.errors.Heat.

        `any`, where the run does not name it, is the largest of what it names.
        """
        row = rows[place : place + 1]
        maps = self.of(row)[0]
        shown = maps[self._classes.index(c)] if c in self._classes else maps.max(axis=0)
        return placed(shown, self._prepared.hu(int(row[0])).shape)

    def against_masks(self, rows: NDArray[np.integer], progress: Progress) -> MapsAgainstMasks:
        """How the maps lie to the masks of those rows of the index that have one which marks something."""
        collected = MapsAgainstMasks(self._prepared, self._classes)
        marked = collected.marked(rows)
        exams = self._prepared.exams
        ordered = marked[np.argsort(exams[marked], kind="stable")]
        with progress.task("Class maps of marked slices", len(marked)) as task:
            for _, own in groupby(ordered.tolist(), key=lambda row: exams[row]):
                shown = np.array(list(own))
                collected(shown, self.of(shown))
                task.advance(len(shown))
        return collected
