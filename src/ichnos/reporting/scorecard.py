"""The scorecard: every number of a study with its interval and n, as JSON for machines."""

from dataclasses import asdict
from typing import Any

import ichnos
from ichnos.evaluation.intervals import LEVEL
from ichnos.reporting.measured import MeasuredModel, MeasuredPair, MeasuredStudy, measure
from ichnos.reporting.study import PartSummary, StudyResult
from ichnos.reporting.tables import initial_weights
from ichnos.reporting.verdict import verdict

FORMAT = 1
"""Of the scorecard; it rises when a reader of older ones would misread a newer one."""


def scorecard(result: StudyResult) -> dict[str, Any]:
    """All numbers of a study as a JSON tree. Measures the study; `write_study` writes the same."""
    return scorecard_of(measure(result))


def scorecard_of(study: MeasuredStudy) -> dict[str, Any]:
    """All numbers of a measured study as a JSON tree; None stands for "not defined"."""
    result = study.result
    summary = result.set_summary
    return {
        "format": FORMAT,
        "ichnos": ichnos.__version__,
        "title": result.title,
        "subtitle": result.subtitle,
        "research_use_only": True,
        "notices": list(result.notices),
        "intervals": {
            "level": LEVEL,
            "method": "percentile bootstrap over patients",
            "resamples": result.resamples,
            "seed": result.seed,
        },
        "models": {m.model.name: _model(m) for m in study.models},
        "like_for_like": [_pair(pair) for pair in study.pairs],
        "verdict": verdict(study) or None,
        "set": {
            "source": summary.source,
            "fingerprint": summary.fingerprint,
            "patients": summary.patients,
            "exams": summary.exams,
            "slices": summary.slices,
            "parts": {part.name: _part(part) for part in summary.parts},
        },
        "skipped": [asdict(reason) for reason in result.skipped],
        "environment": dict(result.environment),
        "command": result.command,
    }


def _model(m: MeasuredModel) -> dict[str, Any]:
    model = m.model
    paper = model.paper_row
    return {
        "label": model.label,
        "recipe_fingerprint": model.recipe.fingerprint(),
        "initial_weights": initial_weights(model),
        "first_weights": model.first_weights,
        "seed": model.recipe.fit.seed,
        "trained_on": model.trained_on,
        "classes": [c.value for c in model.recipe.classes],
        "parameters": model.parameters,
        "epochs": len(model.history),
        "best_epoch": model.best_epoch,
        "stopped_early": model.stopped_early,
        "training_seconds": round(model.training_seconds, 1),
        "validation": m.validation.to_json(),
        "test": m.test.to_json(),
        "confusion_test": m.confusion.to_json(),
        "paper": None
        if paper is None
        else {
            "exact_match": paper.accuracy,
            "macro_f1": paper.macro_f1,
            "mean_auc": paper.mean_auc,
            "loss": paper.loss,
        },
    }


def _pair(pair: MeasuredPair) -> dict[str, Any]:
    comparison = pair.comparison
    differences: dict[str, Any] = {}
    for (name, c), difference in comparison.differences.items():
        if c is None:
            differences[name] = difference.to_json()
        else:
            differences.setdefault(name, {})[c.value] = difference.to_json()
    return {
        "part": pair.part,
        "full": pair.full_label,
        "full_best_of_epochs": pair.milestone,
        "reduced": pair.reduced_label,
        "full_metrics": comparison.first.to_json(),
        "reduced_metrics": comparison.second.to_json(),
        "differences_reduced_minus_full": differences,
    }


def _part(part: PartSummary) -> dict[str, Any]:
    return {
        "patients": part.patients,
        "exams": part.exams,
        "slices": part.slices,
        "positive_slices": {c.value: n for c, n in part.positive_slices.items()},
        "positive_patients": {c.value: n for c, n in part.positive_patients.items()},
    }
