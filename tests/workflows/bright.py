"""A set whose bleeding slices are brighter, and a bundle of a tiny network that sees just that."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ichnos.ct import LabelledExam, LabelledSlice
from ichnos.data.preparing import prepare
from ichnos.data.sources import ExamReference, Scan
from ichnos.data.splits import store_splits
from ichnos.inference.bundle import write_bundle
from ichnos.inference.manifest import DataOrigin
from ichnos.progress import SILENT, Progress
from ichnos.subtypes import CLASSES, SUBTYPES, Subtype
from tests.inference.networks import brightness, manifest


@dataclass(frozen=True)
class BrightSource:
    """Two exams a patient; every second patient bleeds, with the subtypes in turn, in the upper half of the slices."""

    exams: int = 40
    slices: int = 4
    name: str = "folder"
    labels_of: Literal["slice", "exam"] = "slice"
    labelled: tuple[Subtype, ...] = CLASSES
    masks: bool = False
    untold: bool = False
    """Which exams bleed is told, by which subtype is not: labels of exams, `any` alone."""

    def scan(self, progress: Progress, scratch: Path) -> Scan:
        references = tuple(
            ExamReference(f"p{n // 2:03d}", f"e{n:03d}", f"s{n:03d}", self.slices, ()) for n in range(self.exams)
        )
        return Scan(references, labels_of=self.labels_of, labelled=self.labelled)

    def read(self, reference: ExamReference) -> LabelledExam:
        number = int(reference.exam[1:])
        rng = np.random.default_rng(number)
        patient = number // 2
        subtype = patient // 2 % len(SUBTYPES)
        slices = []
        for k in range(self.slices):
            bleeds = patient % 2 == 1 and k >= self.slices // 2
            labels = np.zeros(5, np.bool_)
            labels[subtype] = bleeds if self.labels_of == "slice" else patient % 2 == 1
            labels &= not self.untold
            hu = np.full((32, 32), round(rng.normal(70 if bleeds else 30, 20)), np.int16)
            hu[8:16, 8:16] += 100 * bleeds
            mask = np.zeros((32, 32), np.uint8)
            mask[8:16, 8:16] = bleeds << subtype
            slices.append(
                LabelledSlice(f"{reference.exam}-{k}", hu, labels, 5.0 * k, (0.5, 0.5), mask if self.masks else None)
            )
        attributes: dict[str, str | float] = {"age": 30.0 + patient, "sex": "FM"[patient // 2 % 2]}
        if self.untold:
            attributes["any"] = float(patient % 2)
        return LabelledExam(reference.patient, reference.exam, reference.series, tuple(slices), (), attributes)


def bright_set(folder: Path, **changes: Any) -> Path:
    """Prepared and split."""
    prepared = prepare(BrightSource(**changes), folder, SILENT, workers=1)
    store_splits(prepared)
    return folder


def bright_bundle(path: Path, fingerprint: str | None = None, *, gain: float = 0.1, **changes: Any) -> Path:
    """A bundle of six classes that finds brightness; fingerprint: of the set that it says it was made of.

    gain: of its logits, an HU.
    """
    made = manifest()
    if fingerprint is not None:
        data = DataOrigin(source="ct-ich", fingerprint=fingerprint, licence="ours", attribution="us")
        made = made.model_copy(update={"data": data})
    made = made.model_copy(update=changes)
    write_bundle(path, made, brightness(len(made.readout.classes), gain).SerializeToString(), "# Tiny\n")
    return path
