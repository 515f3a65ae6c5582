"""The tables of a study: Table 1 on validation and on test, like for like, class by class, the set, what is missing."""

from ichnos.evaluation import Comparison, Evaluation
from ichnos.evaluation.intervals import Estimate
from ichnos.networks import init_name
from ichnos.reporting.measured import FEW_PATIENTS, PARTS, MeasuredModel, MeasuredPair, MeasuredStudy, Part
from ichnos.reporting.paper import PaperRow
from ichnos.reporting.study import ModelResult, SetSummary, SkippedReason
from ichnos.reporting.table import Cell, Column, Kind, Table
from ichnos.subtypes import Subtype

VALIDATION_NOTE = (
    "Validation chose the epoch of each model, so these numbers are optimistic. The paper reports its validation set."
)
TEST_NOTE = (
    "No choice was made on these patients: these are the numbers to quote. "
    "The paper has no such set; its validation numbers stand beside ours for orientation only."
)
INTERVAL_NOTE = "In brackets: 95 % intervals from a bootstrap over patients, {resamples:,} resamples."
SHARE_NOTE = (
    "“In … % of resamples”: the others lack a class and so do not define the number; the interval is of those that do."
)
METRICS_NOTE = (
    "Accuracy is exact match; it and F1 are at a probability of 0.5. "
    "Loss is binary cross-entropy in nats, mean and sum over the classes; lower is better."
)


def study_tables(study: MeasuredStudy) -> tuple[Table, ...]:
    """All tables of a study, in the order in which the report shows them."""
    return (
        *(table_1(study, part) for part in reversed(PARTS)),
        *(like_for_like(pair) for pair in study.pairs),
        *(class_wise(study, part) for part in reversed(PARTS)),
        training(study),
        the_set(study.result.set_summary),
        skipped(study.result.skipped),
    )


def table_1(study: MeasuredStudy, part: Part) -> Table:
    """The paper's Table 1: ours with intervals, the paper's column beside each of ours."""
    columns = (
        Column("Model", Kind.TEXT),
        Column("Classes", Kind.COUNT),
        Column("Slices", Kind.COUNT),
        Column("Patients", Kind.COUNT),
        Column("Accuracy", Kind.PERCENT),
        Column("Paper's accuracy", Kind.PERCENT),
        Column("Macro F1", Kind.RATIO),
        Column("Paper's macro F1", Kind.RATIO),
        Column("Mean AUC", Kind.RATIO),
        Column("Paper's mean AUC", Kind.RATIO),
        Column("Loss, mean", Kind.RATIO),
        Column("Paper's loss", Kind.RATIO),
        Column("Loss, sum", Kind.RATIO),
    )
    return Table(
        name=f"table_1_{part}",
        title=f"Table 1 on {part}",
        columns=columns,
        rows=tuple(_table_1_row(m, m.part(part)) for m in study.models),
        notes=(
            VALIDATION_NOTE if part == "validation" else TEST_NOTE,
            INTERVAL_NOTE.format(resamples=study.result.resamples),
            *_share_notes([e[metric] for m in study.models for e in [m.part(part)] for metric in _TABLE_1_METRICS]),
            METRICS_NOTE,
            *_few_patients(min(m.part(part).patients for m in study.models)),
            *_mean_notes(study, part),
        ),
    )


_TABLE_1_METRICS = ("exact_match", "macro_f1", "mean_auc", "loss_mean", "loss_sum")


def _share_notes(estimates: list[Estimate]) -> list[str]:
    return [SHARE_NOTE] if any(e.interval and e.interval.defined_share < 1 for e in estimates) else []


def _few_patients(patients: int) -> list[str]:
    if patients >= FEW_PATIENTS:
        return []
    return [f"Only {patients} patient{'s' * (patients != 1)}: intervals of so few are themselves too narrow."]


def _untested_notes(comparison: Comparison) -> list[str]:
    reasons = dict.fromkeys(d.untested for d in comparison.differences.values() if d.untested)
    return [f"No p where it would mislead: {'; '.join(reasons)}."] if reasons else []


def _table_1_row(m: MeasuredModel, e: Evaluation) -> tuple[Cell, ...]:
    paper = m.model.paper_row
    return (
        m.model.label,
        len(e.classes),
        e.slices,
        e.patients,
        e["exact_match"],
        paper.accuracy if paper else None,
        e["macro_f1"],
        paper.macro_f1 if paper else None,
        e["mean_auc"],
        paper.mean_auc if paper else None,
        e["loss_mean"],
        paper.loss if paper else None,
        e["loss_sum"],
    )


def _mean_notes(study: MeasuredStudy, part: Part) -> list[str]:
    """Which classes a mean leaves out, model by model, as they are not defined."""
    notes: list[str] = []
    for m in study.models:
        e = m.part(part)
        for what, metric in (("macro F1", "f1"), ("mean AUC", "auc")):
            absent = {c: e[metric, c].note for c in e.classes if e[metric, c].value is None}
            if absent:
                why = ", ".join(f"{c.display_name.lower()} is {note}" for c, note in absent.items())
                count = len(e.classes) - len(absent)
                notes.append(f"{m.model.label}: {what} is over {count} class{'es' * (count != 1)}; {why}.")
    return notes


def like_for_like(pair: MeasuredPair) -> Table:
    """Two models on the same slices and classes, and their paired differences."""
    comparison = pair.comparison
    e = comparison.first
    stop = f", {pair.full_label.split(', ')[0]} stopped at epoch {pair.milestone}" if pair.milestone else ""
    overall = [
        _difference_row("Accuracy (exact match)", comparison, ("exact_match", None)),
        _difference_row("Macro F1", comparison, ("macro_f1", None)),
        _difference_row("Mean AUC", comparison, ("mean_auc", None)),
        _difference_row("Loss (mean over classes)", comparison, ("loss_mean", None)),
    ]
    f1 = [_difference_row(f"F1, {c.display_name.lower()}", comparison, ("f1", c)) for c in e.classes]
    auc = [_difference_row(f"AUC, {c.display_name.lower()}", comparison, ("auc", c)) for c in e.classes]
    return Table(
        name=f"like_for_like_{pair.part}" + (f"_{pair.milestone}_epochs" if pair.milestone else ""),
        title=f"Like for like on {pair.part}{stop}",
        columns=(
            Column("Metric", Kind.TEXT),
            Column(pair.full_label, Kind.RATIO),
            Column(pair.reduced_label, Kind.RATIO),
            Column(f"Difference ({pair.reduced_label} − {pair.full_label.split(', ')[0]})", Kind.CHANGE),
            Column("Bootstrap p", Kind.P),
        ),
        rows=(*overall, *f1, *auc),
        notes=(
            f"{e.slices:,} slices of {e.patients:,} patients, the same for both; {len(e.classes)} classes.",
            "Differences are paired: the same patients are drawn for both models.",
            "p is two-sided, not corrected for the number of rows.",
            *_untested_notes(comparison),
            *([VALIDATION_NOTE] if pair.part == "validation" else []),
        ),
    )


def _difference_row(title: str, comparison: Comparison, key: tuple[str, Subtype | None]) -> tuple[Cell, ...]:
    difference = comparison[key]
    first, second = comparison.first[key], comparison.second[key]
    return (title, first, second, difference.estimate, difference.bootstrap_p)


def class_wise(study: MeasuredStudy, part: Part) -> Table:
    """Every class of every model, with how many slices and patients it stands on."""
    rates = ("f1", "auc", "average_precision", "sensitivity", "specificity", "precision")
    titles = ("F1", "AUC", "Average precision", "Sensitivity", "Specificity", "Precision")
    return Table(
        name=f"class_wise_{part}",
        title=f"Class by class on {part}",
        columns=(
            Column("Model", Kind.TEXT),
            Column("Class", Kind.TEXT),
            Column("Positive slices", Kind.COUNT),
            Column("Positive patients", Kind.COUNT),
            *(Column(t, Kind.RATIO) for t in titles),
            Column("The paper says", Kind.TEXT),
        ),
        rows=tuple(_class_row(m, m.part(part), c, rates) for m in study.models for c in m.part(part).classes),
        notes=(
            INTERVAL_NOTE.format(resamples=study.result.resamples),
            *_share_notes(
                [m.part(part)[rate, c] for m in study.models for rate in rates for c in m.part(part).classes]
            ),
            "F1, sensitivity, specificity and precision at a probability of 0.5.",
            *([VALIDATION_NOTE] if part == "validation" else []),
        ),
        grouped=True,
    )


def _class_row(m: MeasuredModel, e: Evaluation, c: Subtype, rates: tuple[str, ...]) -> tuple[Cell, ...]:
    support = e.support[c]
    numbers: tuple[Estimate, ...] = tuple(e[rate, c] for rate in rates)
    counts = (support.positive_slices, support.positive_patients)
    return (m.model.label, c.display_name, *counts, *numbers, _paper_says(m.model.paper_row, c))


def _paper_says(paper: PaperRow | None, c: Subtype) -> str:
    if paper is None:
        return "–"
    said = [("F1", paper.class_f1), ("AUC", paper.class_auc), ("sensitivity", paper.class_sensitivity)]
    return ", ".join(f"{what} {words[c]}" for what, words in said if c in words) or "–"


def training(study: MeasuredStudy) -> Table:
    """How each model was trained, and for how long."""
    return Table(
        name="training",
        title="Training",
        columns=(
            Column("Model", Kind.TEXT),
            Column("Recipe", Kind.TEXT),
            Column("Recipe fingerprint", Kind.TEXT),
            Column("Initial weights", Kind.TEXT),
            Column("Seed", Kind.COUNT),
            Column("Parameters", Kind.COUNT),
            Column("Epochs run", Kind.COUNT),
            Column("Best epoch", Kind.COUNT),
            Column("Stopped early", Kind.TEXT),
            Column("Training time", Kind.TEXT),
            Column("Trained on", Kind.TEXT),
        ),
        rows=tuple(_training_row(m.model) for m in study.models),
        notes=(
            "Best epoch: the lowest validation loss. Its weights are what is measured.",
            *(f"{m.model.label}: {m.model.first_weights}." for m in study.models if m.model.first_weights),
        ),
    )


def _training_row(model: ModelResult) -> tuple[Cell, ...]:
    return (
        model.label,
        model.recipe.name,
        model.recipe.fingerprint(),
        initial_weights(model),
        model.recipe.fit.seed,
        model.parameters,
        len(model.history),
        model.best_epoch,
        "yes" if model.stopped_early else "no",
        duration(model.training_seconds),
        model.trained_on or "–",
    )


def initial_weights(model: ModelResult) -> str:
    """Where the first weights came from."""
    return init_name(model.recipe.network.init) + (", frozen" if model.recipe.network.frozen else "")


def duration(seconds: float) -> str:
    """45 s, 12 min, 3 h 05 min."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def the_set(summary: SetSummary) -> Table:
    """The parts of the split, with positive slices and positive patients of each class."""
    classes = tuple(dict.fromkeys(c for part in summary.parts for c in part.positive_slices))
    rows = tuple(
        (
            part.name,
            part.patients,
            part.exams,
            part.slices,
            *(f"{part.positive_slices.get(c, 0):,} ({part.positive_patients.get(c, 0):,})" for c in classes),
        )
        for part in summary.parts
    )
    counts = tuple(Column(title, Kind.COUNT) for title in ("Patients", "Exams", "Slices"))
    return Table(
        name="set",
        title="The set",
        columns=(Column("Part", Kind.TEXT), *counts, *(Column(c.display_name, Kind.COUNT) for c in classes)),
        rows=rows,
        notes=("Classes: positive slices (positive patients). No patient is in two parts.",),
    )


def skipped(reasons: tuple[SkippedReason, ...]) -> Table:
    """What was left out, why, and a few examples."""
    return Table(
        name="skipped",
        title="What was skipped",
        columns=(Column("Reason", Kind.TEXT), Column("Slices", Kind.COUNT), Column("Examples", Kind.TEXT)),
        rows=tuple((r.reason, r.count, ", ".join(r.examples) or "–") for r in reasons),
        notes=() if reasons else ("Nothing was skipped.",),
    )
