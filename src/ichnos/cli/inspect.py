"""`ichnos inspect PATH...`: what would be read, and why, without classifying anything."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ichnos.cli.failures import NOTHING_KEPT, stopped_with
from ichnos.errors import InputError, UsageError

if TYPE_CHECKING:
    from ichnos.dicom.series_rules import SeriesRules


def inspect(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Folders, zips, DICOM or NIfTI files; or URLs (s3://...).",
            show_default=False,
        ),
    ],
    rules: Annotated[
        Path | None, typer.Option("--rules", help="A JSON file of rules for choosing series: see docs/reading.md.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Say which exams lie under PATH..., which series of each would be read, and what is doubtful or refused.

    Exit 0: all was read; 1: nothing can be read; 3: some of it cannot.
    """
    from ichnos.cli.progress import on_standard_error
    from ichnos.remote import place_of
    from ichnos.workflows.inspect import inspect_paths, is_partial, lines_of

    with stopped_with(NOTHING_KEPT), on_standard_error() as progress:
        tree = inspect_paths([*map(place_of, paths)], progress, rules_of(rules))
    if as_json:
        print(json.dumps(tree, indent=2, ensure_ascii=False))
    elif tree["exams"]:
        print("\n".join(lines_of(tree)))
    else:
        reasons = [each["reason"] for each in tree["unreadable"]] or ["no DICOM or NIfTI file is there"]
        raise InputError(f"no exam found: {reasons[0]}")
    if not any(exam["read"] for exam in tree["exams"]):
        raise typer.Exit(1)
    if is_partial(tree):
        raise typer.Exit(3)


def rules_of(path: Path | None) -> "SeriesRules":
    """The rules in a file, or the usual ones. Raises UsageError."""
    from ichnos.dicom.series_rules import DEFAULT_RULES, parse_rules

    if path is None:
        return DEFAULT_RULES
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--rules wants a readable JSON file: {error}") from None
    return parse_rules(text)
