"""The synthetic cohort that `ichnos phantom` writes: RSNA's layout, and masks and a table of patients."""

import csv
from dataclasses import dataclass, replace
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ichnos.ct import LabelledExam, LabelledSlice
from ichnos.data.sources.base import ExamReference, Scan
from ichnos.data.sources.files import digest_of, open_store
from ichnos.data.sources.rsna import RsnaSource
from ichnos.data.sources.tables import new_tables
from ichnos.errors import SourceError
from ichnos.processes import Workers
from ichnos.progress import Progress
from ichnos.remote import Place
from ichnos.subtypes import SUBTYPES

_MASKS = "masks"
_EXAMS = "exams.csv"
_COLUMNS = ("PatientID", "StudyInstanceUID", "age", "sex", "slice_thickness")


@dataclass(frozen=True)
class PhantomSource:
    """A synthetic cohort. root: the folder with `stage_2_train.csv`, `stage_2_train/`, `masks/` and `exams.csv`."""

    root: Place
    workers: Workers = None

    @property
    def name(self) -> str:
        """The source's name in a set."""
        return "phantom"

    def scan(self, progress: Progress, scratch: Path) -> Scan:
        """See Source."""
        _exam_table.cache_clear()  # it may have changed since it was read
        table = sorted(_exam_table(self.root / _EXAMS).items())
        scan = self._images().scan(progress, scratch)
        with new_tables(scratch, "masks") as tables:
            tables.executemany("INSERT INTO found VALUES (?, ?, ?)", open_store(self.root).find(_MASKS))
            masks = tables.execute("SELECT name, key, size FROM found ORDER BY name")
            return replace(scan, contents=f"{scan.contents} {digest_of(masks, table)}")

    def read(self, reference: ExamReference) -> LabelledExam:
        """See Source. Raises SourceError where a mask is damaged or does not fit its slice."""
        exam = self._images().read(reference)
        slices = tuple(replace(each, mask=_mask(self.root / _MASKS / f"{each.name}.png", each)) for each in exam.slices)
        known = _exam_table(self.root / _EXAMS).get(reference.exam, {})
        return replace(exam, slices=slices, attributes={**exam.attributes, **known})

    def _images(self) -> RsnaSource:
        return RsnaSource(self.root, stage="stage_2", workers=self.workers)


def _mask(path: Place, slice_: LabelledSlice) -> NDArray[np.uint8] | None:
    """A slice's mask, uint8, of the slice's shape, bit k where SUBTYPES[k] bleeds.

    Where there is no file, a slice without hemorrhage has an empty mask and any other has none. Nor has one with traces
    of blood that are too small to be labelled: what it teaches would contradict its labels.
    """
    try:
        with Image.open(BytesIO(path.read_bytes())) as picture:
            mask = np.asarray(picture)
    except FileNotFoundError:
        return None if slice_.labels.any() else np.zeros(slice_.hu.shape, np.uint8)
    except (OSError, UnidentifiedImageError) as error:
        raise SourceError(f"{path} cannot be read as a PNG mask; write the cohort again") from error
    if mask.dtype != np.uint8 or mask.shape != slice_.hu.shape:
        raise SourceError(
            f"{path} is {mask.dtype} of shape {mask.shape}; wanted is uint8 of {slice_.hu.shape}: write the cohort anew"
        )
    unlabelled = sum(1 << k for k, labelled in enumerate(slice_.labels[: len(SUBTYPES)].tolist()) if not labelled)
    return None if (mask & unlabelled).any() else mask


@lru_cache(maxsize=4)
def _exam_table(table: Place) -> dict[str, dict[str, str | float]]:
    """Attributes by StudyInstanceUID; read once a process, since each exam asks for its own row."""
    try:
        with table.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{table} is missing or cannot be read; give a cohort that `ichnos phantom` wrote") from error
    if missing := [column for column in _COLUMNS if rows and column not in rows[0]]:
        raise SourceError(f"{table} lacks the columns {', '.join(missing)}; give a cohort that `ichnos phantom` wrote")
    return {row["StudyInstanceUID"]: _attributes(row, table) for row in rows}


def _attributes(row: dict[str, str], table: Place) -> dict[str, str | float]:
    try:
        return {"age": float(row["age"]), "sex": row["sex"], "slice_thickness": float(row["slice_thickness"])}
    except ValueError:
        raise SourceError(
            f"{table} has an age or a slice_thickness that is no number; write the cohort again"
        ) from None
