"""From labelled CT as it lies on somebody's disk to a prepared set with its splits."""

from contextlib import nullcontext
from pathlib import Path

from ichnos.cluster import Cluster, connected
from ichnos.data.preparing import prepare
from ichnos.data.set import PreparedSet
from ichnos.data.sources import Source
from ichnos.data.splits import FEWEST_PATIENTS, FOLDS, check_split, store_splits
from ichnos.errors import UsageError
from ichnos.processes import Workers
from ichnos.progress import Progress


def prepare_set(
    source: Source,
    out: Path,
    progress: Progress,
    *,
    split_seed: int = 0,
    folds: int = FOLDS,
    workers: Workers = None,
) -> PreparedSet:
    """Read all of `source` into `out` and split it by patient. See ichnos.data.preparing.prepare for what it raises.

    workers: processes of this machine, None for one a core, or a cluster, to which this connects (and by which it
    raises ClusterError or MissingExtraError before anything is read). The set's bytes are the same.

    Raises UsageError, before anything is read, where the split or the number of workers makes no sense.
    """
    check_split(split_seed, folds)
    if isinstance(workers, int) and workers < 1:
        raise UsageError(f"workers must be at least 1 (or not given: one a core), got {workers}")
    with connected(workers) if isinstance(workers, Cluster) else nullcontext():
        prepared = prepare(source, out, progress, workers, fewest_patients=FEWEST_PATIENTS)
    if prepared.header.teaches:
        store_splits(prepared, seed=split_seed, folds=folds)
    if prepared.header.teaches and not prepared.header.positives["any"]:
        progress.message(
            "no slice of this set is positive: there is no hemorrhage to train on; labels of whole exams give negative "
            "slices only (docs/own-data.md)"
        )
    return prepared
