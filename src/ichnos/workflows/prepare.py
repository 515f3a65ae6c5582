"""From labelled CT as it lies on somebody's disk to a prepared set with its splits."""

from pathlib import Path

from ichnos.data.preparing import prepare
from ichnos.data.set import PreparedSet
from ichnos.data.sources import Source
from ichnos.data.splits import FEWEST_PATIENTS, FOLDS, split
from ichnos.progress import Progress


def prepare_set(
    source: Source,
    out: Path,
    progress: Progress,
    *,
    split_seed: int = 0,
    folds: int = FOLDS,
    workers: int | None = None,
) -> PreparedSet:
    """Read all of `source` into `out` and split it by patient. See ichnos.data.preparing.prepare for what it raises."""
    prepared = prepare(source, out, progress, workers, fewest_patients=FEWEST_PATIENTS)
    split(prepared, seed=split_seed, folds=folds)
    return prepared
