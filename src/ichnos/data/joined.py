"""Several prepared sets as one: their slices one behind the other, and splits that no patient crosses between sets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ichnos.data.set import PreparedSet, SetHeader
from ichnos.data.splits import Part, Splits, same_patients, stored_splits
from ichnos.errors import SetError, UsageError
from ichnos.subtypes import CLASSES

NAMED_FOR_ALL = ("rsna", "ct-ich", "cq500")
"""Sources whose patients have one name, whoever prepares them; elsewhere two hospitals' 001 are two patients."""

_LATER = {Part.TRAIN: (Part.VALIDATION, Part.TEST), Part.VALIDATION: (Part.TEST,), Part.TEST: ()}
"""Parts that keep a patient whom two sets put into different ones: what is measured on stays whole."""


class JoinedSet(PreparedSet):
    """Sets, open for reading, as if they were one. Patients and exams are named anew, so that none go by one name."""

    def __init__(self, sets: Sequence[PreparedSet]) -> None:
        """Raises UsageError where a set is given twice."""
        fingerprints = [each.header.fingerprint for each in sets]
        if len(set(fingerprints)) < len(fingerprints):
            raise UsageError("one set is given twice (--data); give each once")
        self._sets = tuple(sets)
        self.path = sets[0].path.parent
        self.header = _joined_header([each.header for each in sets])

    def __reduce__(self) -> tuple[Callable[..., PreparedSet], tuple[Any, ...]]:
        return JoinedSet, (self._sets,)

    @property
    def sets(self) -> tuple[PreparedSet, ...]:
        """Those that are joined, in order."""
        return self._sets

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """(sets + 1,) at which row each set begins, and after the last."""
        return np.cumsum([0, *(each.header.slices for each in self._sets)])

    @cached_property
    def index(self) -> pl.DataFrame:
        """One set's rows behind the other's; a column that a set lacks is empty there."""
        return pl.concat([_renamed(each) for each in self._sets], how="diagonal_relaxed")

    @property
    def rows(self) -> pl.LazyFrame:
        """The index."""
        return self.index.lazy()

    @cached_property
    def skipped(self) -> pl.DataFrame:
        """What each set left out."""
        return pl.concat([each.skipped for each in self._sets], how="diagonal_relaxed")

    @cached_property
    def labels(self) -> NDArray[np.bool_]:
        """(slices, 5) in the order of SUBTYPES."""
        return np.concatenate([each.labels for each in self._sets])

    @cached_property
    def _any(self) -> NDArray[np.bool_]:
        return np.concatenate([each.labels_of(CLASSES)[:, -1] for each in self._sets])

    def hu(self, row: int) -> NDArray[np.int16]:
        """The HU of one slice at the scanner's matrix."""
        number, own = self._place(row)
        return self._sets[number].hu(own)

    def mask(self, row: int) -> NDArray[np.uint8] | None:
        """The mask of one slice; None where its source had none."""
        number, own = self._place(row)
        return self._sets[number].mask(own)

    def rows_of_set(self, number: int, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of rows of the whole those of one set, as that set counts them."""
        start, stop = self.starts[number], self.starts[number + 1]
        return rows[(rows >= start) & (rows < stop)] - start

    def _place(self, row: int) -> tuple[int, int]:
        number = int(np.searchsorted(self.starts, row, side="right")) - 1
        return number, row - int(self.starts[number])


@dataclass(frozen=True, eq=False)
class JoinedSplits(Splits):
    """Each set's own split. Whoever is in a later part of another set too (train, validation, test) is left out here.

    groups: (slices,) a number for all slices of one patient, and of patients of any set that share telling pixels.
    """

    groups: NDArray[np.int64]

    def rows(self, part: Part) -> NDArray[np.int64]:
        """The rows in a part, ascending."""
        return self._kept({each: super(JoinedSplits, self).rows(each) for each in Part}, part)

    def rows_of_fold(self, k: int, part: Part) -> NDArray[np.int64]:
        """The rows in a part when fold k of every set tests. Raises UsageError where sets have unlike folds."""
        if not self.folds:
            raise UsageError(
                "these sets were split into unlike numbers of folds; prepare them with one, or leave --fold out"
            )
        return self._kept({each: super(JoinedSplits, self).rows_of_fold(k, each) for each in Part}, part)

    def left_out(self, fold: int | None) -> tuple[int, int]:
        """How many slices, of how many patients, are in no part."""
        kept = np.concatenate([self.rows(p) if fold is None else self.rows_of_fold(fold, p) for p in Part])
        out = np.setdiff1d(np.arange(len(self.groups)), kept)
        return len(out), len(np.unique(self.groups[out]))

    def _kept(self, parts: dict[Part, NDArray[np.int64]], part: Part) -> NDArray[np.int64]:
        own = parts[part]
        crossing = [self.groups[parts[later]] for later in _LATER[part]]
        return own[~np.isin(self.groups[own], np.concatenate(crossing))] if crossing else own


def join_splits(joined: JoinedSet) -> JoinedSplits:
    """The splits that are stored with the sets, as one. Raises SetError where a set is not split."""
    each = [stored_splits(one) for one in joined.sets]
    seeds, folds = {one.seed for one in each}, {one.folds for one in each}
    return JoinedSplits(
        seed=seeds.pop() if len(seeds) == 1 else -1,
        part=np.concatenate([one.part for one in each]),
        fold=np.concatenate([one.fold for one in each]),
        folds=folds.pop() if len(folds) == 1 else 0,
        groups=same_patients(joined.index),
    )


def _joined_header(headers: Sequence[SetHeader]) -> SetHeader:
    for number, header in enumerate(headers, start=1):
        if not header.teaches:
            raise SetError(
                f"set {number} of those given has no labels of single slices, so nothing can be learnt from it beside "
                "the others; leave it out, and measure on it with `ichnos evaluate`"
            )
    return SetHeader(
        version=headers[0].version,
        source="+".join(dict.fromkeys(header.source for header in headers)),
        fingerprint="+".join(header.fingerprint for header in headers),
        exams=sum(header.exams for header in headers),
        patients=sum(header.patients for header in headers),
        slices=sum(header.slices for header in headers),
        skipped=sum(header.skipped for header in headers),
        positives=reduce(
            lambda sums, more: {key: sums.get(key, 0) + more.get(key, 0) for key in sums | more},
            (dict(header.positives) for header in headers),
        ),
    )


def _renamed(each: PreparedSet) -> pl.DataFrame:
    header = each.header
    mark = f"{header.source}-{header.fingerprint[:6]}"
    patients = header.source if header.source in NAMED_FOR_ALL else mark
    return each.index.with_columns(
        pl.concat_str(pl.lit(f"{patients}/"), pl.col("patient").cast(pl.String)).alias("patient"),
        pl.concat_str(pl.lit(f"{mark}/"), pl.col("exam").cast(pl.String)).alias("exam"),
    )
