"""What the training of networks of exams is given: a part's slices as the slice stage sees them, exam by exam."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ichnos.errors import TrainingError
from ichnos.models.exam_heads.head import Exams
from ichnos.models.exam_network import SliceSizes
from ichnos.recipe import ExamFit
from ichnos.training.batches import onto


@dataclass(frozen=True, eq=False)
class ExamSlices:
    """One part (training, validation or test) of a set. Exams stand one behind the other, each from foot to head."""

    rows: NDArray[np.int64]
    """(n,) of the set."""
    starts: NDArray[np.int64]
    """(exams + 1,) where each exam begins; n at the end."""
    offsets: NDArray[np.float64]
    """(n,) mm along the slice normal."""
    labels: NDArray[np.bool_]
    """(n, classes)."""
    features: NDArray[np.float32]
    """(n, features)."""
    logits: NDArray[np.float32]
    """(n, classes)."""
    maps: NDArray[np.float32] | None
    """(n, classes, side, side), where the head looks at them."""
    made_by: str
    """The digest of the slice stage's checkpoints."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def exams(self) -> int:
        """How many."""
        return len(self.starts) - 1

    @property
    def sizes(self) -> SliceSizes:
        """What a network over it is made for."""
        return SliceSizes(self.features.shape[1], 0 if self.maps is None else self.maps.shape[-1])

    def check(self, name: str) -> None:
        """Raise TrainingError where there is no exam, or the slice stage said of some slice what is no number."""
        if not self.exams:
            raise TrainingError(
                f"the {name} part has no exams, at least one is needed: use a larger set or another split"
            )
        bad = ~(np.isfinite(self.features).all(axis=1) & np.isfinite(self.logits).all(axis=1))
        if bad.any():
            raise TrainingError(
                f"what the slice stage says of {bad.sum()} {name} slices is not finite, rows "
                f"{self.rows[bad][:20].tolist()} of the set among them; train it with a lower learning rate"
            )

    def fingerprint(self) -> str:
        """16 hex digits that change with slices, their order, labels and the slice stage."""
        return part_fingerprint(self.rows, self.labels, self.made_by)


def part_fingerprint(rows: NDArray[np.int64], labels: NDArray[np.bool_], made_by: str) -> str:
    """Of ExamSlices that need not be made for it."""
    digest = hashlib.sha256(made_by.encode())
    digest.update(np.ascontiguousarray(rows, dtype="<i8").tobytes())
    digest.update(np.ascontiguousarray(labels, dtype=np.uint8).tobytes())
    return digest.hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class ExamBatch:
    """Some exams, side by side."""

    exams: Exams
    rows: NDArray[np.intp]
    """(slices,) places in the part of all slices, exam by exam."""
    places: Tensor
    """(slices,) where each stands among the b · n of the exams laid side by side."""

    def of_slices(self, answers: Tensor) -> Tensor:
        """(b, n, classes) → (slices, classes), without what stands behind an exam's end."""
        return answers.flatten(0, 1).index_select(0, self.places)  # by a mask it would wait for the device

    def targets(self, part: ExamSlices) -> Tensor:
        """(slices, classes) float32 on the device."""
        return onto(self.places.device, torch.from_numpy(part.labels[self.rows]).to(torch.float32))


def batch_of(
    part: ExamSlices,
    exams: Sequence[int] | NDArray[np.intp],
    device: torch.device,
    fit: ExamFit | None = None,
    generator: np.random.Generator | None = None,
) -> ExamBatch:
    """Exams of a part, zeros behind the shorter ones. fit, generator: thin and reverse them as the recipe says."""
    shown = [_shown(part, exam, fit, generator) for exam in exams]
    valid = np.zeros((len(shown), max(len(places) for places, _ in shown)), dtype=np.bool_)
    for row, (places, _) in zip(valid, shown, strict=True):
        row[: len(places)] = True
    rows = np.concatenate([places for places, _ in shown])

    def laid(values: NDArray[np.float32]) -> Tensor:
        padded = np.zeros((*valid.shape, *values.shape[1:]), dtype=np.float32)
        padded[valid] = values
        return onto(device, torch.from_numpy(padded))

    whole = torch.from_numpy(valid)
    shorter = not valid.all()
    offsets = np.concatenate([offsets for _, offsets in shown]).astype(np.float32)
    given = Exams(
        laid(part.features[rows]),
        laid(part.logits[rows]),
        laid(offsets),
        None if part.maps is None else laid(part.maps[rows]),
        onto(device, whole) if shorter else None,
        whole.sum(dim=1) if shorter else None,
    )
    return ExamBatch(given, rows, onto(device, torch.from_numpy(np.flatnonzero(valid))))


def _shown(
    part: ExamSlices, exam: int, fit: ExamFit | None, generator: np.random.Generator | None
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Which slices of an exam are shown in which order, and how far each is above the lowest."""
    places = np.arange(part.starts[exam], part.starts[exam + 1])
    offsets = part.offsets[places]
    if fit is not None and generator is not None:
        thin, start, turn = generator.random(), int(generator.integers(2)), generator.random()
        if thin < fit.subsampling and len(places) > 1:
            places, offsets = places[start::2], offsets[start::2]
        if turn < fit.reversal:
            places, offsets = places[::-1], -offsets[::-1]
    return places, offsets - offsets.min()
