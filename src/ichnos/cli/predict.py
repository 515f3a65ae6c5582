"""`ichnos predict PATH... --out DIR`: head CT in, findings out."""

import gc
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ichnos.cli.failures import stopped_with
from ichnos.counting import counted

if TYPE_CHECKING:
    from ichnos.reporting.exam import Format


Formats = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="FORM,...",
        help=(
            "What to write of each exam, with commas between: json (always), sr (DICOM structured report), "
            "key-objects (DICOM), heatmap (DICOM pictures and maps), html (a page, and one of all exams): "
            "see docs/outputs.md."
        ),
    ),
]


def predict(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...", help="Folders, zips, DICOM or NIfTI files; or URLs (s3://...).", show_default=False
        ),
    ],
    out: Annotated[
        str, typer.Option("--out", help="The folder of findings, a folder an exam; or a URL.", show_default=False)
    ],
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle", help="What `ichnos export` wrote; by default what ICHNOS_BUNDLE names, or ichnos' own."
        ),
    ] = None,
    rules: Annotated[
        Path | None, typer.Option("--rules", help="A JSON file of rules for choosing series: see docs/reading.md.")
    ] = None,
    formats: Formats = "json",
    force: Annotated[bool, typer.Option("--force", help="Replace findings that are there.")] = False,
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster",
            metavar="ADDRESS",
            help="A Ray cluster that reads the exams: auto, local or HOST:PORT; see docs/cluster.md.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json on standard output.")] = False,
) -> None:
    """Say of each exam under PATH... which hemorrhages it holds. Research use only, not a medical device.

    Exit 0: all was read; 1: nothing could be read; 3: some of it could not.
    """
    from ichnos.inference import load_bundle

    with _collecting_seldom(), ThreadPoolExecutor(1, "ichnos-bundle") as beside:
        opened = beside.submit(load_bundle, bundle)  # while the rest is imported, which takes as long
        from ichnos.cli.inspect import rules_of
        from ichnos.cli.progress import on_standard_error
        from ichnos.cluster import Cluster
        from ichnos.remote import place_of, place_to_write
        from ichnos.workflows.predict import is_partial, predict_paths

        asked, chosen = _formats(formats), rules_of(rules)
    given, to = [place_of(path) for path in paths], place_to_write(out)
    where = None if cluster is None else Cluster(cluster)
    classifier = opened.result()
    word = f"Exams that were finished are in {out}: the same command with --force reads all of them again."
    with stopped_with(word), on_standard_error() as progress:
        summary = predict_paths(
            given, to, classifier, progress, rules=chosen, formats=asked, force=force, cluster=where
        )
    if as_json:
        print(json.dumps(summary, indent=2, ensure_ascii=False))
    else:
        _tell(summary, out)
    if not any(exam["findings"] for exam in summary["exams"]):
        raise typer.Exit(1)
    if is_partial(summary):
        raise typer.Exit(3)


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """Imports make hundreds of thousands of objects that all stay: looking through them time and again, as Python does
    from every 700th on, takes a tenth of the start."""
    before = gc.get_threshold()
    gc.set_threshold(100_000)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _tell(summary: dict[str, Any], out: str) -> None:
    """A line an exam, what was not written or read of it, and what the whole is worth."""
    for exam in summary["exams"]:
        print(_line(exam))
        for form, reason in exam["refused_formats"].items():
            print(f"  {form} not written: {reason}")
    for each in summary["unreadable"]:
        print(f"not read: {each['files']} × in path {each['path']}: {each['reason']}")
    if summary["other_files"]:
        print(f"passed over, neither DICOM nor NIfTI: {counted(summary['other_files'], 'file')}")
    page = f", all exams on {summary['page']}" if summary["page"] else ""
    print(f"findings and summary.json in {out}{page}. {summary['notice']}")
    if said := summary["bundle"]["demonstration"]:
        print(f"A demonstration: {said}.")


def _formats(words: str) -> "list[Format]":
    from ichnos.errors import UsageError
    from ichnos.reporting.exam import Format

    names = [word.strip() for word in words.split(",") if word.strip()]
    if unknown := [name for name in names if name not in list(Format)]:
        raise UsageError(f"--format has no {unknown[0]!r}; there are: {', '.join(Format)}")
    return [Format(name) for name in names]


def _line(exam: dict[str, Any]) -> str:
    if exam["findings"] is None:
        return f"exam {exam['exam']}: refused: {exam['refusal']}"
    named = "hemorrhage of no subtype called" if exam["any_present"] else "no hemorrhage called"
    said = ", ".join(exam["present"]) or named
    flag = "URGENT, " if exam["urgent"] else ""
    doubts = f" ({counted(len(exam['doubts']), 'doubt')})" if exam["doubts"] else ""
    return f"exam {exam['exam']}: {flag}{said}, any {exam['probability_any']:.2f}{doubts}"
