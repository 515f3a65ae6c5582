"""A trained slice stage with a network of exams over it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ichnos.data.splits import Part
from ichnos.errors import InputError, WeightsError
from ichnos.models.exam_checkpoint import load_exam_network
from ichnos.models.exam_export import export_exam_network
from ichnos.models.exam_network import ExamNetwork
from ichnos.models.export import Graph
from ichnos.predictions import Predictions
from ichnos.progress import Progress
from ichnos.readout import sigmoid
from ichnos.recipe import EXAM, ExamRecipe, Population
from ichnos.training.devices import choose
from ichnos.training.exam_session import answers_of
from ichnos.training.exam_slices import part_fingerprint
from ichnos.workflows.exam_data import exam_slices, ordered_slices, said_of_exam
from ichnos.workflows.trained_model import Trained, TrainedModel, best_of, table_of

if TYPE_CHECKING:
    from ichnos.workflows.train import OpenData


@dataclass(frozen=True, eq=False)
class TrainedExam:
    """A slice stage, and what answers for its slices anew, exam by exam."""

    recipe: ExamRecipe
    slices: Trained
    run: Path
    """Of the network of exams."""
    network: ExamNetwork
    metadata: dict[str, Any]
    """Of its checkpoint."""

    @classmethod
    def open(cls, recipe: ExamRecipe, slices: Trained, run: Path) -> "TrainedExam":
        """run: the folder of the whole. Raises WeightsError where the network of exams is missing, damaged, or was
        trained over another slice stage."""
        network, metadata = load_exam_network(best_of(run / EXAM))
        if metadata["slices"] != slices.digest():
            raise WeightsError(
                f"{run.name}: the network of exams was trained over another slice stage than the one beside it; train "
                "it anew with `ichnos train`, into another folder"
            )
        recipe = recipe.derive(head=network.recipe.head, fit=network.recipe.fit)
        return cls(recipe, slices, run / EXAM, network, metadata)

    @property
    def models(self) -> tuple[TrainedModel, ...]:
        """The slice stage's."""
        return self.slices.models

    def predict(
        self,
        data: "OpenData",
        part: Part,
        progress: Progress,
        *,
        population: Population | None = None,
        device: str = "auto",
    ) -> Predictions:
        """What it says of the slices of one part; exams are read whole, whatever of them is asked for."""
        maps, kept = self.recipe.head.sees_maps, kept_file(self.run, part)
        said = exam_slices(self.slices, data, part, progress, maps=maps, kept=kept, device=device)
        place = choose(device, "32-true").device
        logits = answers_of(self.network.to(place), said, place)
        self.network.cpu()
        order = np.argsort(said.rows)
        table = table_of(self.recipe, data.prepared, said.rows, sigmoid(logits), part)
        wanted = data.rows(population or self.recipe.population, part)
        return table.select(order[np.isin(said.rows[order], wanted)])

    def logits(self, hu: NDArray[np.int16]) -> NDArray[np.float64]:
        """As TrainedModel.logits: the slices' by torch behind numpy's road, features and maps by the graph in torch."""
        return self.logits_at(hu, np.arange(len(hu)) * self.recipe.widest.neighbour_spacing)

    def logits_at(self, hu: NDArray[np.int16], offsets: NDArray[np.floating]) -> NDArray[np.float64]:
        """The same of slices that lie so far, in mm, above the lowest; what is shown beside one is the next."""
        road = self.recipe.widest
        beside = np.arange(len(hu)) * road.neighbour_spacing
        _, features, maps = said_of_exam(self.graph(), road, list(hu), beside, maps=self.recipe.head.sees_maps)
        given = (features, self.slices.logits(hu).astype(np.float32), offsets.astype(np.float32), maps)
        with torch.inference_mode():
            tensors = [None if each is None else torch.from_numpy(each) for each in given]
            assert tensors[0] is not None
            assert tensors[1] is not None
            assert tensors[2] is not None
            return self.network.answer(tensors[0], tensors[1], tensors[2], tensors[3]).double().numpy()

    def check_unseen(self, data: "OpenData") -> None:
        """Raise InputError unless the set's validation part is what the network of exams was validated on, or it is one
        of several sets with the split that it had among them."""
        if data.origin in self.metadata.get("origin", {}).get("sets", ()):
            return
        rows, labels = ordered_slices(self.recipe.classes, data, Part.VALIDATION)
        if self.metadata["data"]["validation"] != part_fingerprint(rows, labels, self.slices.digest()):
            raise InputError(
                f"{self.run.parent.name}: the network of exams was validated on other slices than this set's "
                "validation part, so it may have learnt from them; give --data the set, and --fold the fold, that it "
                "was trained with"
            )

    def digest(self) -> str:
        """By which a scorecard names what it measured."""
        mine = hashlib.sha256(best_of(self.run).read_bytes()).hexdigest()
        return hashlib.sha256(f"{self.slices.digest()} {mine}".encode()).hexdigest()

    def graph(self) -> Graph:
        """The slice stage's, which is exported as slice.onnx."""
        return self.slices.graph()

    def exam_graph(self) -> bytes:
        """exam.onnx."""
        return export_exam_network(self.network)


def kept_file(run: Path, part: Part) -> Path:
    """Where what the slice stage says of a part lies, beside the network of exams."""
    return run / f"slices_{part.value}.safetensors"
