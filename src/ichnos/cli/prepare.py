"""`ichnos prepare SOURCE ROOT --out SET`: one verb a source."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ichnos.counting import counted

if TYPE_CHECKING:
    from ichnos.processes import Workers as Where
    from ichnos.remote import Place


app = typer.Typer(help="Make a prepared set from labelled head CT.", no_args_is_help=True, rich_markup_mode=None)

Root = Annotated[str, typer.Argument(help="Where the data lies: a path, or a URL (s3://...).", show_default=False)]
Out = Annotated[
    str, typer.Option("--out", help="The folder of the new set: a path, or a URL (s3://...).", show_default=False)
]
Seed = Annotated[
    int, typer.Option("--split-seed", min=0, help="Who goes to train, validation and test, and to which fold.")
]
Folds = Annotated[int, typer.Option("--folds", min=3, help="How many folds, for cross-validation.")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Processes; one a core by default.")]
OnCluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="ADDRESS",
        help="A Ray cluster that does the work: auto, local or HOST:PORT; see docs/cluster.md.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the set's header as JSON on standard output.")]


@app.command("rsna")
def rsna(
    root: Root,
    out: Out,
    test: Annotated[
        bool, typer.Option("--test", help="The test images, which have no labels: a set to make a submission of.")
    ] = False,
    split_seed: Seed = 0,
    folds: Folds = 5,
    workers: Workers = None,
    cluster: OnCluster = None,
    as_json: Json = False,
) -> None:
    """RSNA 2019 as Kaggle gives it: the unpacked folder, or the zip itself."""
    from ichnos.data.sources.rsna import RsnaSource
    from ichnos.remote import place_of

    place, where = _where(workers, cluster, place_of(root))
    _prepare(RsnaSource(place, workers=where, test=test), out, split_seed, folds, where, as_json=as_json)


@app.command("ct-ich")
def ct_ich(
    root: Root,
    out: Out,
    split_seed: Seed = 0,
    folds: Folds = 5,
    workers: Workers = None,
    cluster: OnCluster = None,
    as_json: Json = False,
) -> None:
    """CT-ICH of PhysioNet: version 1.0 (pictures) or 1.3.1 (NIfTI)."""
    from ichnos.data.sources.ct_ich import CtIchSource
    from ichnos.remote import place_of

    place, where = _where(workers, cluster, place_of(root))
    _prepare(CtIchSource(place), out, split_seed, folds, where, as_json=as_json)


@app.command("cq500")
def cq500(root: Root, out: Out, workers: Workers = None, cluster: OnCluster = None, as_json: Json = False) -> None:
    """CQ500 as unzipped, with its reads.csv: labels of whole exams by three readers, to measure on, not to train on."""
    from ichnos.data.sources.cq500 import Cq500Source
    from ichnos.remote import place_of

    place, where = _where(workers, cluster, place_of(root))
    _prepare(Cq500Source(place), out, 0, 5, where, as_json=as_json)


@app.command("folder")
def folder(
    root: Root,
    out: Out,
    labels: Annotated[str, typer.Option("--labels", help="A CSV of labels: see docs/own-data.md.", show_default=False)],
    split_seed: Seed = 0,
    folds: Folds = 5,
    workers: Workers = None,
    cluster: OnCluster = None,
    as_json: Json = False,
) -> None:
    """Your own DICOM files, however they are nested, and a table of labels."""
    from ichnos.data.sources.folder import FolderSource
    from ichnos.remote import place_of

    place, where = _where(workers, cluster, place_of(root))
    _prepare(FolderSource(place, place_of(labels), where), out, split_seed, folds, where, as_json=as_json)


@app.command("phantom")
def phantom(
    root: Root,
    out: Out,
    split_seed: Seed = 0,
    folds: Folds = 5,
    workers: Workers = None,
    cluster: OnCluster = None,
    as_json: Json = False,
) -> None:
    """What `ichnos phantom` made, with its masks."""
    from ichnos.data.sources.phantom import PhantomSource
    from ichnos.remote import place_of

    place, where = _where(workers, cluster, place_of(root))
    _prepare(PhantomSource(place, where), out, split_seed, folds, where, as_json=as_json)


def _where(workers: int | None, cluster: str | None, root: "Place") -> "tuple[Any, Where]":
    """Where the data lies, for whoever does the work, and who that is: every machine of a cluster must see it."""
    from ichnos.cluster import Cluster
    from ichnos.errors import UsageError

    if cluster is None:
        return root, workers
    if workers is not None:
        raise UsageError("--workers is of this machine's processes; a cluster takes all of its own cores")
    if not isinstance(root, Path):
        return root, Cluster(cluster)
    root = root.absolute()  # its machines stand in other folders
    return root, Cluster(cluster).sharing(root)


def _prepare(source: Any, to: str, seed: int, folds: int, workers: "Where", *, as_json: bool) -> None:
    from ichnos.cli.progress import on_standard_error
    from ichnos.remote import place_to_write
    from ichnos.workflows.prepare import prepare_set

    out = place_to_write(to)
    with on_standard_error() as progress:
        prepared = prepare_set(source, out, progress, split_seed=seed, folds=folds, workers=workers)
        h = prepared.header
        progress.message(
            f"{counted(h.slices, 'slice')} of {counted(h.exams, 'exam')} and {counted(h.patients, 'patient')} in {out}"
        )
        counts = ", ".join(f"{name} {count:,}" for name, count in h.positives.items())
        progress.message(f"positive {h.labels_of}s: {counts}" if h.labelled else "no labels: to be predicted, no more")
        if h.skipped:
            progress.message(f"left out: {h.skipped:,} (every one with its reason in {out / 'skipped.parquet'})")
            for reason, count in _reasons(prepared.skipped)[:5]:
                progress.message(f"  {count:,} × {reason}")
    if as_json:
        print(prepared.header.model_dump_json(indent=2))


def _reasons(skipped: Any) -> list[tuple[str, int]]:
    return skipped["reason"].value_counts(sort=True).rows()
