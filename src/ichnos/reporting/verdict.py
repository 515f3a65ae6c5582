"""What the numbers say in plain sentences, derived from the intervals and nothing else."""

from dataclasses import replace

from ichnos.counting import counted
from ichnos.evaluation import Difference, Estimate
from ichnos.reporting.measured import FEW_PATIENTS, MeasuredPair, MeasuredStudy
from ichnos.reporting.table import Kind, write_cell

HYPOTHESIS = (
    "The paper's hypothesis: leaving epidural hemorrhage out improves the classification of the other subtypes."
)


def verdict(study: MeasuredStudy) -> str:
    """The hypothesis on test, judged by the macro F1 of both models' best epochs; "" where the study has no pair."""
    pair = next((p for p in study.pairs if p.part == "test" and p.milestone is None), None)
    if pair is None:
        return ""
    sentences = [_judge(pair), _auc(pair), _classes(pair)]
    sentences += [_early(p) for p in study.pairs if p.part == "test" and p.milestone is not None]
    sentences.append(_caution([pair.comparison["macro_f1"].estimate, pair.comparison["mean_auc"].estimate]))
    return " ".join(s for s in sentences if s)


def headline(study: MeasuredStudy) -> tuple[str, ...]:
    """A sentence a model: what it reaches on test, on how many slices and patients; a warning where they are few."""
    lines: list[str] = []
    for m in study.models:
        e = m.test
        accuracy, f1, auc = e["exact_match"], e["macro_f1"], e["mean_auc"]
        numbers = [
            f"accuracy {_write(accuracy, Kind.PERCENT)}",
            f"macro F1 {_write(f1, Kind.RATIO)}",
            f"mean AUC {_write(auc, Kind.RATIO)}",
        ]
        where = f"on {counted(e.slices, 'test slice')} of {counted(e.patients, 'patient')}"
        lines.append(f"{m.model.label}: " + "; ".join(numbers) + f", {where}.")
    caution = _caution([m.test[metric] for m in study.models for metric in ("macro_f1", "mean_auc")])
    lines += [caution] if caution else []
    patients = min(m.test.patients for m in study.models)
    if patients < FEW_PATIENTS:
        lines.append(
            f"Only {patients} test patients: bootstrap intervals of so few are themselves too narrow. "
            "Take them as the least doubt there is, and no difference here as settled."
        )
    return tuple(lines)


def _judge(pair: MeasuredPair) -> str:
    difference = pair.comparison["macro_f1"]
    estimate = difference.estimate
    if estimate.value is None or estimate.interval is None:
        reason = (estimate.note or "no interval").removeprefix("no interval: ")
        return f"It cannot be tested here by macro F1: {reason}."
    change = f"{_change(difference)} for macro F1 over the same slices and classes"
    if difference.untested:
        return f"It cannot be tested on this test set ({difference.untested}): {change}."
    match difference.sign:
        case 1:
            return f"It holds on this test set: {change}, an interval above 0."
        case -1:
            return f"It fails on this test set: {change}, an interval below 0."
        case _:
            return f"It is neither shown nor refuted on this test set: {change}, an interval that holds 0."


def _auc(pair: MeasuredPair) -> str:
    difference = pair.comparison["mean_auc"]
    if difference.estimate.interval is None:
        return ""
    if difference.untested:
        return f"Mean AUC differs by {_change(difference)}."
    match difference.sign:
        case 1:
            return f"Mean AUC rises ({_change(difference)})."
        case -1:
            return f"Mean AUC falls ({_change(difference)})."
        case _:
            return f"Mean AUC does not clearly change ({_change(difference)})."


def _classes(pair: MeasuredPair) -> str:
    differences = [pair.comparison["f1", c] for c in pair.comparison.first.classes]
    if all(difference.bootstrap_p is None for difference in differences):
        return ""
    signs = {c: d.sign for c, d in zip(pair.comparison.first.classes, differences, strict=True)}
    better = [c.display_name.lower() for c, sign in signs.items() if sign > 0]
    worse = [c.display_name.lower() for c, sign in signs.items() if sign < 0]
    if not better and not worse:
        return "No single class has an F1 whose interval leaves 0 out."
    parts = [f"better: {', '.join(better)}"] if better else []
    parts += [f"worse: {', '.join(worse)}"] if worse else []
    return f"Single classes whose F1 interval leaves 0 out – {'; '.join(parts)}."


def _early(pair: MeasuredPair) -> str:
    difference = pair.comparison["macro_f1"]
    if difference.estimate.interval is None:
        return ""
    return f"Against {pair.full_label}, as long as {pair.reduced_label} trains: {_change(difference)} for macro F1."


def _change(difference: Difference) -> str:
    return _write(difference.estimate, Kind.CHANGE)


def _write(estimate: Estimate, kind: Kind) -> str:
    """Number and interval; a note only where there is no number, as `_caution` says the rest once for all."""
    return str(write_cell(estimate if estimate.value is None else replace(estimate, note=None), kind))


def _caution(estimates: list[Estimate]) -> str:
    """Which intervals are too narrow and why, each reason once, in a sentence; "" where none is."""
    notes = [e.note.partition(";")[0] for e in estimates if e.note and e.interval is not None]
    narrow = dict.fromkeys(note.removeprefix("too narrow: ") for note in notes if note.startswith("too narrow"))
    return f"Intervals of means over classes are too narrow: {', '.join(narrow)}." if narrow else ""
