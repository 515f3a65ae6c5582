"""Measures the means of every two and of every three trained recipes by inner validation, and writes their table.

With `--data` and `--of` it opens the runs of a study of the field, asks them of each fold's validation patients and
writes results/means-ct-ich.json (the command stands in that file and above the table); with `--keep` as well, a
measuring that was stopped goes on. Without, it makes the table in results/means-ct-ich.md from that file. `--check`
says whether the table is up to date (a test asks).
"""

import argparse
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pages import ROOT, command_block, rewrite

from ichnos.reporting.table import Column, Kind, Table

if TYPE_CHECKING:
    from ichnos.predictions import Predictions
    from ichnos.workflows.train import OpenData
    from ichnos.workflows.trained_model import Trained

NAME = "means-ct-ich"

LEVELS = ("slices", "exams")

Fold = dict[str, "Predictions"]
"""What each member says of one fold's validation patients."""


def table(told: Mapping[str, Any]) -> Table:
    """A row a mean, the best first: it is how one of them was chosen."""
    columns = (
        Column("Members", Kind.TEXT),
        Column("Slices", Kind.RATIO),
        Column("Exams", Kind.RATIO),
        Column("Mean", Kind.RATIO),
        Column("Exams, the folds' lowest and highest", Kind.NUMBER),
    )
    rows = sorted(told["means"], key=lambda row: -_score(row))
    return Table("means", "Any hemorrhage, inner validation: AUC, mean of folds", columns, tuple(map(_cells, rows)))


def page(told: Mapping[str, Any]) -> str:
    """The table under the command that made its numbers."""
    made = f"`results/{NAME}.json`, made by\n\n{command_block(told['command'])}"
    return f"{made}\n\n{table(told).to_markdown()}".rstrip()


def means_of(folds: Sequence[Fold]) -> list[dict[str, Any]]:
    """Every member alone and the mean of the logits of every two and every three: {"members", "slices", "exams"}, at a
    level the AUC of any hemorrhage of each fold. folds: of the same members each."""
    names = list(folds[0])
    groups = [group for size in (1, 2, 3) for group in combinations(names, size)]
    return [{"members": list(group)} | _aucs([[fold[name] for name in group] for fold in folds]) for group in groups]


def _score(row: Mapping[str, Any]) -> float:
    return float(np.mean([np.mean(row[level]) for level in LEVELS]))


def _cells(row: Mapping[str, Any]) -> tuple[str | float, ...]:
    named = ", ".join(name if " " in name else f"`{name}`" for name in row["members"])
    ends = f"{min(row['exams']):.3f} to {max(row['exams']):.3f}"
    return (named, *(float(np.mean(row[level])) for level in LEVELS), _score(row), ends)


def _aucs(folds: Sequence[Sequence["Predictions"]]) -> dict[str, list[float]]:
    """Of each fold, as a study by folds measures its inner validation: behind a readout that was fitted there."""
    from sklearn.metrics import roc_auc_score

    from ichnos.evaluation.combination import Linear, combined
    from ichnos.evaluation.levels import Level, judge
    from ichnos.evaluation.readout import fit_readout, reported_labels
    from ichnos.subtypes import Subtype

    found: dict[str, list[float]] = {level: [] for level in LEVELS}
    for tables in folds:
        shares = [1 / len(tables)] * len(tables)
        said = combined(Linear.mean(shares, len(tables[0].classes)), tables)
        readout = fit_readout(said).readout
        judged = judge(said, reported_labels(said), readout)
        column = readout.reported.index(Subtype.ANY)
        for name, level in zip(LEVELS, (Level.SLICE, Level.EXAM), strict=True):
            part = judged[level]
            found[name].append(float(roc_auc_score(part.labels[:, column], part.raw[:, column])))
    return found


def _measured(data: Path, members: Mapping[str, Path], keep: Path | None) -> dict[str, Any]:
    """The file: which networks of which set, and every mean. members: folders of studies by folds."""
    from ichnos.workflows.folds import open_folds
    from ichnos.workflows.trained import open_run

    opened, parts = open_folds([data], None, None)
    folds: list[Fold] = []
    digests: dict[str, list[str]] = {name: [] for name in members}
    for k in parts:
        runs = {name: open_run(folder / f"fold-{k}") for name, folder in members.items()}
        for name, run in runs.items():
            digests[name].append(run.digest())
        folds.append({name: _said(run, replace(opened, fold=k), keep) for name, run in runs.items()})
    return {
        "form": "ichnos-means",
        "notice": "Research use only. Not a medical device.",
        "source": opened.prepared.header.source,
        "set": opened.prepared.header.fingerprint,
        "split_seed": opened.splits.seed,
        "command": _command(data, members),
        "networks": digests,
        "validation_patients": [len(np.unique(next(iter(fold.values())).patient)) for fold in folds],
        "means": means_of(folds),
    }


def _command(data: Path, members: Mapping[str, Path]) -> str:
    """What to type to measure the same again."""
    words = ["python", "tools/means_table.py", "--data", str(data)]
    for name, folder in members.items():
        words += ["--of", f"{name}={folder}"]
    return shlex.join(words)


def _said(run: "Trained", here: "OpenData", keep: Path | None) -> "Predictions":
    """Of the fold's validation patients; from the folder `keep` where this network was asked already."""
    from ichnos.data.splits import Part
    from ichnos.predictions import Predictions
    from ichnos.progress import SILENT

    if keep is None:
        return run.predict(here, Part.VALIDATION, SILENT, device="cpu")
    kept = keep / f"{run.digest()}-{here.prepared.header.fingerprint}-{here.fold}.parquet"
    if not kept.exists():
        keep.mkdir(parents=True, exist_ok=True)
        run.predict(here, Part.VALIDATION, SILENT, device="cpu").write_parquet(kept)
    return Predictions.read_parquet(kept)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare the table with the file, write nothing")
    parser.add_argument("--data", type=Path, help="a prepared set: measure anew")
    parser.add_argument("--of", action="append", default=[], metavar="NAME=FOLDER", help="a recipe's study by folds")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="for what the networks say, so that it can go on")
    return parser.parse_args()


def main() -> int:
    """Measure where a set is given; rewrite the table, or with --check compare."""
    given = _arguments()
    path = ROOT / "results" / f"{NAME}.json"
    if given.data:
        members = {name: Path(folder) for name, _, folder in (each.partition("=") for each in given.of)}
        told = json.dumps(_measured(given.data, members, given.keep), indent=2)
        path.write_text(told + "\n", encoding="utf-8")
    told = json.loads(path.read_text(encoding="utf-8"))
    return rewrite("means_table.py", {f"results/{NAME}.md": {"means": page(told)}})


if __name__ == "__main__":
    sys.exit(main())
