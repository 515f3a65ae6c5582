"""From labelled CT as it lies on somebody's disk to a prepared set with its splits."""

from contextlib import closing, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from ichnos.cluster import Cluster, connected
from ichnos.data.depot import Depot
from ichnos.data.preparing import prepare
from ichnos.data.set import PreparedSet
from ichnos.data.sources import Source
from ichnos.data.splits import FEWEST_PATIENTS, FOLDS, check_split, store_splits
from ichnos.dicom.decoder import shared_decoder
from ichnos.errors import UsageError
from ichnos.files import explained
from ichnos.processes import Workers, kept_processes
from ichnos.progress import Progress
from ichnos.remote import Place, RemotePath


def prepare_set(
    source: Source,
    out: Place,
    progress: Progress,
    *,
    split_seed: int = 0,
    folds: int = FOLDS,
    workers: Workers = None,
) -> PreparedSet:
    """Read all of `source` into `out` and split it by patient. See ichnos.data.preparing.prepare for what it raises.

    workers: processes of this machine, None for one a core, or a cluster, to which this connects (and by which it
    raises ClusterError or MissingExtraError before anything is read). The set's bytes are the same. out: on a storage
    too; then the set that is returned tells its header and what was left out, and no more.

    Raises UsageError, before anything is read, where the split or the number of workers makes no sense.
    """
    check_split(split_seed, folds)
    if isinstance(workers, int) and workers < 1:
        raise UsageError(f"workers must be at least 1 (or not given: one a core), got {workers}")
    with connected(workers) if isinstance(workers, Cluster) else nullcontext():
        if isinstance(out, RemotePath):
            return _prepare_on_storage(source, out, progress, workers, split_seed, folds)
        return _prepare_and_split(source, out, progress, workers, split_seed, folds)


def _prepare_on_storage(
    source: Source, out: RemotePath, progress: Progress, workers: Workers, split_seed: int, folds: int
) -> PreparedSet:
    """Tables are made in a temporary folder; shards, which are nearly all of a set, never lie there."""
    with explained(out):
        scratch = TemporaryDirectory(prefix="ichnos-")
    with scratch as folder:
        depot = Depot(Path(folder) / "set", out)
        was_finished = depot.fetch()
        prepared = _prepare_and_split(source, depot.work, progress, workers, split_seed, folds, out)
        (depot.tidy if was_finished else depot.finish)()
        _ = prepared.skipped  # read while it is there
    return prepared


def _prepare_and_split(
    source: Source,
    out: Path,
    progress: Progress,
    workers: Workers,
    split_seed: int,
    folds: int,
    target: RemotePath | None = None,
) -> PreparedSet:
    with kept_processes(), closing(shared_decoder()):  # threads may have begun one each, of no more use to a notebook
        prepared = prepare(source, out, progress, workers, fewest_patients=FEWEST_PATIENTS, target=target)
    if prepared.header.teaches:
        store_splits(prepared, seed=split_seed, folds=folds)
    if prepared.header.teaches and not prepared.header.positives["any"]:
        progress.message(
            "no slice of this set is positive: there is no hemorrhage to train on; labels of whole exams give negative "
            "slices only (docs/own-data.md)"
        )
    return prepared
