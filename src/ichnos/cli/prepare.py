"""`ichnos prepare SOURCE ROOT --out SET`: one verb a source."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ichnos.counting import counted

if TYPE_CHECKING:
    from ichnos.processes import Workers as Where

app = typer.Typer(help="Make a prepared set from labelled head CT.", no_args_is_help=True, rich_markup_mode=None)

Root = Annotated[Path, typer.Argument(help="Where the data lies.", show_default=False)]
Out = Annotated[Path, typer.Option("--out", help="The folder of the new set.", show_default=False)]
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
        help="A Ray cluster that does the work: auto, local, HOST:PORT or ray://HOST:PORT; see docs/cluster.md.",
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

    root, where = _where(root, workers, cluster)
    _prepare(RsnaSource(root, workers=where, test=test), out, split_seed, folds, where, as_json=as_json)


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

    root, where = _where(root, workers, cluster)
    _prepare(CtIchSource(root), out, split_seed, folds, where, as_json=as_json)


@app.command("cq500")
def cq500(root: Root, out: Out, workers: Workers = None, cluster: OnCluster = None, as_json: Json = False) -> None:
    """CQ500 as unzipped, with its reads.csv: labels of whole exams by three readers, to measure on, not to train on."""
    from ichnos.data.sources.cq500 import Cq500Source

    root, where = _where(root, workers, cluster)
    _prepare(Cq500Source(root), out, 0, 5, where, as_json=as_json)


@app.command("folder")
def folder(
    root: Root,
    out: Out,
    labels: Annotated[
        Path, typer.Option("--labels", help="A CSV of labels: see docs/own-data.md.", show_default=False)
    ],
    split_seed: Seed = 0,
    folds: Folds = 5,
    workers: Workers = None,
    cluster: OnCluster = None,
    as_json: Json = False,
) -> None:
    """Your own DICOM files, however they are nested, and a table of labels."""
    from ichnos.data.sources.folder import FolderSource

    root, where = _where(root, workers, cluster)
    _prepare(FolderSource(root, labels, where), out, split_seed, folds, where, as_json=as_json)


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

    root, where = _where(root, workers, cluster)
    _prepare(PhantomSource(root, where), out, split_seed, folds, where, as_json=as_json)


def _where(root: Path, workers: int | None, cluster: str | None) -> "tuple[Path, Where]":
    """Where the data lies, for whoever does the work, and who that is: every machine of a cluster must see it."""
    from ichnos.cluster import Cluster
    from ichnos.errors import UsageError

    if cluster is None:
        return root, workers
    if workers is not None:
        raise UsageError("--workers is of this machine's processes; a cluster takes all of its own cores")
    root = root.absolute()  # its machines stand in other folders
    return root, Cluster(cluster).sharing(root)


def _prepare(source: Any, out: Path, seed: int, folds: int, workers: "Where", *, as_json: bool) -> None:
    from ichnos.cli.progress import on_standard_error
    from ichnos.workflows.prepare import prepare_set

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
