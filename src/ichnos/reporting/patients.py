"""A curve by training patients as one self-contained page, as Markdown, and its figure."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import ichnos
from ichnos.counting import counted
from ichnos.evaluation.intervals import Estimate
from ichnos.files import write_bytes, write_text
from ichnos.progress import SILENT, Progress
from ichnos.recipe import AnyKind
from ichnos.reporting.field_gains import TOO_FEW, WHY_TOO_FEW
from ichnos.reporting.folds import doubts, first_weights
from ichnos.reporting.folds_page import of_stages
from ichnos.reporting.patients_checklist import answers_of_patients
from ichnos.reporting.patients_figure import curve_names, curve_title, patients_figure
from ichnos.reporting.rendering import rendered
from ichnos.reporting.study_checklist import left_of_study
from ichnos.reporting.style import drawn
from ichnos.reporting.table import Cell, Column, Kind, Table, Written, write_cell
from ichnos.subtypes import CLASSES, Subtype

Tree = Mapping[str, Any]


TRAINED_ONCE = (
    "Each point is trained once, by one seed: intervals and p are of these trained networks on other test patients, "
    "not of the procedure trained again."
)
"""What no resample of patients can tell, where a point has one run."""


def write_patients(card: Tree, recipe: AnyKind, out: Path, progress: Progress = SILENT) -> None:
    """Write report.md, report.html and figures/ into `out`; the page holds everything it shows."""
    items = answers_of_patients(card, recipe)
    (figure,) = drawn([partial(patients_figure, card)], progress)
    told: dict[str, Any] = {
        "card": card,
        "title": f"{card['recipe']['title']}: by patients learnt from, {card['source']}",
        "doubts": doubts(card["source"], [recipe]),
        "in_short": in_short(card),
        "how": how_read(card),
        "first_weights": first_weights(card["first_weights"]),
        "left_out": [f"{each['reason']}: {counted(each['count'], 'slice')}" for each in card["skipped"]],
        "tables": [learnt_from(card), *(_of_level(card, level) for level in card["levels"]), trained(card)],
        "items": items,
        "left": left_of_study(items),
        "machines": machines(card),
        "version": ichnos.__version__,
    }
    for kind, data in (("svg", figure.svg), ("png", figure.png)):
        write_bytes(out / "figures" / f"{figure.name}.{kind}", data)
    write_text(out / "report.md", rendered("patients.md.j2", **told))
    write_text(out / "report.html", rendered("patients.html.j2", **told, figure=figure))


def in_short(card: Tree) -> list[str]:
    """A sentence a level: the mean AUC of the smallest and the largest point, and their difference."""
    small, large = card["points"][0]["patients"], card["points"][-1]["patients"]
    said: list[str] = []
    for level, tree in card["levels"].items():
        one, other = tree["points"][0]["mean"], tree["points"][-1]["mean"]
        first, last = (write_cell(Estimate.from_json(each["auc"]), Kind.RATIO) for each in (one, other))
        gain = write_cell(Estimate.from_json(one["gain_of_the_largest"]), Kind.CHANGE)
        note = f" ({gain.note})" if gain.note else ""
        said.append(
            f"Mean AUC of {level}s: {_number(first)} from {counted(small, 'training patient')}, {_number(last)} from "
            f"{large:,}; difference {_number(gain)}{note}."
        )
    return said


def _number(cell: Written) -> str:
    """Without its note, which is the same for all of a sentence."""
    return f"{cell.main} {cell.interval}".strip()


def how_read(card: Tree) -> list[str]:
    """What is alike at every point, and what is not."""
    counts, repeats = card["counts"], card["repeats"]
    drawn = (
        f"Every point is the same recipe, learnt from a share of the {counted(counts['train']['patients'], 'patient')} "
        "in the training part who have slices of its population. Shares are nested (a larger one holds the smaller) "
        "and stratified by each patient's rarest class; every class that the training part has is in all of them, so a "
        "class that is due less than one patient has one."
    )
    same = (
        f"The validation and test parts are the same at every point: {counts['validation']['patients']:,} and "
        f"{counts['test']['patients']:,} patients. Whoever has only so few patients to learn from has fewer to choose "
        "the epoch and calibrate by too, which is not shown here."
    )
    lines = [drawn, same, card["held_equal"]]
    if repeats > 1:
        lines.append(
            f"Each point has {repeats} runs, with patients (all of them where the share is 1) and seeds of training of "
            "their own; a point's AUC is the mean of its runs'."
        )
    else:
        lines.append(
            "Each point is one run: another draw of patients or another seed would give another curve (`--repeats`)."
        )
    return lines


def learnt_from(card: Tree) -> Table:
    """A row a run: how many patients it has learnt from, and how many of them have each class."""
    named = [c for c in CLASSES if c.value in card["points"][0]["runs"][0]["positive_patients"]]
    several = (Column("Run", Kind.COUNT),) if card["repeats"] > 1 else ()
    columns = (
        Column("Share", Kind.PERCENT),
        *several,
        Column("Patients", Kind.COUNT),
        Column("Exams", Kind.COUNT),
        Column("Slices", Kind.COUNT),
        *(Column(c.display_name, Kind.COUNT) for c in named),
    )
    rows = tuple(
        (
            point["share"],
            *((run["repeat"] + 1,) if several else ()),
            point["patients"],
            run["exams"],
            run["slices"],
            *(run["positive_patients"][c.value] for c in named),
        )
        for point in card["points"]
        for run in point["runs"]
    )
    notes = ("Under each class: training patients who have it.",)
    return Table("learnt_from", "What each point has learnt from", columns, rows, notes, grouped=True)


def _of_level(card: Tree, level: str) -> Table:
    tree = card["levels"][level]
    columns = (
        Column("Class", Kind.TEXT),
        Column("Test patients with it", Kind.COUNT),
        Column("Training patients", Kind.COUNT),
        Column("Of them with it", Kind.TEXT),
        Column("Test AUC", Kind.RATIO),
        *((Column("Runs, lowest to highest", Kind.TEXT),) if card["repeats"] > 1 else ()),
        Column("Largest point less this one", Kind.CHANGE),
        Column("p", Kind.P),
        Column("p after Holm", Kind.P),
    )
    rows = tuple(_row(card, level, name, k) for name in curve_names(card) for k in range(len(card["points"])))
    mean_over = ", ".join(Subtype(c).display_name.lower() for c in tree["mean_over"]) or "no class"
    notes = (
        f"The mean is over {mean_over}; as test patients with it stand those of the rarest.",
        f"Brackets: 95 % intervals, {card['resamples']:,} resamples of test patients, drawn alike for all points.",
        "An interval of a difference that holds 0 shows none.",
        f"Holm's correction is over all {card['tests']} p of this page, levels and classes together."
        if card["tests"]
        else "No p stands on this page, so none is corrected.",
        f"{WHY_TOO_FEW} Of the mean: its rarest class decides.",
        *((TRAINED_ONCE,) if card["repeats"] == 1 else ()),
    )
    title = f"By {level}: {tree['n']:,} {level}s of {counted(tree['patients'], 'test patient')}"
    return Table(level, title, columns, rows, notes, grouped=True)


def _row(card: Tree, level: str, name: str, k: int) -> tuple[Cell, ...]:
    tree, point = card["levels"][level], card["points"][k]
    told, stands_on = tree["points"][k][name], tree["classes"][name]
    gain = told["gain_of_the_largest"]
    few = stands_on["descriptive_only"] and gain is not None
    p_values = (TOO_FEW, TOO_FEW) if few else (None, None) if gain is None else (gain["bootstrap_p"], gain["holm_p"])
    return (
        curve_title(name),
        stands_on["positive_patients"],
        point["patients"],
        _range([run["positive_patients"].get(name) for run in point["runs"]], ",.0f"),
        Estimate.from_json(told["auc"]),
        *((_range(told["runs"], ".3f"),) if card["repeats"] > 1 else ()),
        None if gain is None else Estimate.from_json(gain),
        *p_values,
    )


def _range(values: list[float | None], form: str) -> str | None:
    """One number, or the lowest to the highest; None where there is none."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    low, high = f"{min(known):{form}}", f"{max(known):{form}}"
    return low if low == high else f"{low} to {high}"


def trained(card: Tree) -> Table:
    """A row a run: how long it was trained."""
    columns = (
        Column("Patients", Kind.COUNT),
        Column("Run", Kind.COUNT),
        Column("Epochs", Kind.TEXT),
        Column("Best", Kind.TEXT),
        Column("Optimiser steps", Kind.TEXT),
        Column("Validation loss", Kind.TEXT),
        Column("Minutes", Kind.TEXT),
        Column("Folder", Kind.TEXT),
    )
    rows = tuple(
        (
            point["patients"],
            run["repeat"] + 1,
            of_stages(run["epochs"]),
            of_stages(run["best_epoch"]),
            of_stages(run["steps"], ","),
            of_stages(run["validation_loss"], ".4f"),
            f"{run['seconds'] / 60:.1f}",
            run["folder"],
        )
        for point in card["points"]
        for run in point["runs"]
    )
    notes = ("Epochs: how many were trained, and which was kept, by the validation patients. Steps are those of all.",)
    return Table("trained", "What was trained, and how long", columns, rows, notes, grouped=True)


def machines(card: Tree) -> list[str]:
    """On what the runs were trained: one line where all were on the same."""
    lines = [
        f"{told['device']}, {told['precision']}, {counted(told['threads'], 'thread')}, {told['processor']}, "
        f"{told['system']}, ichnos {told['versions']['ichnos']}, torch {told['versions']['torch']}, Python "
        f"{told['versions']['python']}"
        for told in (run["trained"] for point in card["points"] for run in point["runs"])
    ]
    return list(dict.fromkeys(lines))
