"""A made-up study with plausible numbers: what each test reports."""

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ichnos.ct import Window
from ichnos.evaluation import slice_metrics
from ichnos.predictions import Predictions
from ichnos.recipe import Fit, InputSpec, Population, SliceRecipe
from ichnos.reporting import MODEL_1, MODEL_2, MODEL_3, LikeForLike, ModelResult, PaperRow, StudyResult
from ichnos.reporting.study import PartSummary, SetSummary, SkippedReason
from ichnos.subtypes import SUBTYPES, Subtype

PREVALENCE = np.array([0.08, 0.34, 0.25, 0.33, 0.44])


def slices(seed: int, patients: int, absent: tuple[Subtype, ...] = ()) -> tuple[NDArray[np.str_], NDArray[np.bool_]]:
    """Patients of positive slices and labels (n, 5); a patient's slices are alike."""
    rng = np.random.default_rng(seed)
    names = np.repeat([f"patient-{seed}{k:03d}" for k in range(patients)], 8)
    base = rng.random((patients, 5)) < PREVALENCE
    labels = base.repeat(8, axis=0) & (rng.random((len(names), 5)) < 0.85)
    for c in absent:
        labels[:, SUBTYPES.index(c)] = False
    empty = ~labels.any(axis=1)
    labels[empty, 4] = True
    return names, labels


def predict(names: NDArray[np.str_], labels: NDArray[np.bool_], skill: float, seed: int) -> Predictions:
    rng = np.random.default_rng(seed)
    patient = np.unique(names, return_inverse=True)[1]
    shared = rng.normal(0, 0.6, (patient.max() + 1, 5))[patient]
    logits = skill * (2.0 * labels - 1) + shared + rng.normal(0, 1.0, labels.shape) - 0.3
    n = len(names)
    return Predictions(
        SUBTYPES,
        names,
        np.char.replace(names, "patient", "exam"),
        np.array([f"slice-{k:05d}" for k in range(n)]),
        np.arange(n) % 8 * 5.0 - 20,
        1 / (1 + np.exp(-logits)),
        labels,
    )


def without_epidural(predictions: Predictions) -> Predictions:
    kept = predictions.select(~predictions.labels[:, 0])
    return kept.restrict(SUBTYPES[1:])


def history(predictions: Predictions, epochs: int, skill: float) -> tuple[dict[str, Any], ...]:
    lines: list[dict[str, Any]] = []
    for epoch in range(1, epochs + 1):
        line: dict[str, Any] = {"epoch": epoch, "step": 100 * epoch, "seconds": 60.0, "learning_rate": 1e-4}
        for part, extra in (("training", 0.1 * epoch), ("validation", -0.02 * max(0, epoch - 5))):
            at = predict(predictions.patient, _five(predictions), skill * (epoch / epochs) ** 0.5 + extra, seed=epoch)
            columns = [SUBTYPES.index(c) for c in predictions.classes]
            shown = slice_metrics(at.probabilities[:, columns], predictions.labels, predictions.classes)
            line[part] = shown.to_json()
        lines.append(line)
    return tuple(lines)


def _five(predictions: Predictions) -> NDArray[np.bool_]:
    labels = np.zeros((len(predictions), 5), dtype=np.bool_)
    labels[:, [SUBTYPES.index(c) for c in predictions.classes]] = predictions.labels
    return labels


def recipe(number: int, epochs: int) -> SliceRecipe:
    reduced = number == 3
    return SliceRecipe(
        name=f"paper_model_{number}",
        title=f"The paper's Model {number}",
        input=InputSpec(windows=(Window(level=40, width=80), Window(level=80, width=200))),
        population=Population(without=(Subtype.EPIDURAL,) if reduced else ()),
        classes=SUBTYPES[1:] if reduced else SUBTYPES,
        fit=Fit(epochs=epochs),
    )


def head(exam: str, slice_name: str) -> NDArray[np.uint8]:
    """A grey ellipse with a bright rim and a bright spot, so that a picture is not empty."""
    rng = np.random.default_rng(zlib.crc32(f"{exam}{slice_name}".encode()))
    y, x = np.mgrid[-1:1:128j, -1:1:128j]
    radius = np.hypot(x / 0.72, y / 0.88)
    picture = np.where(radius < 0.92, 110 + rng.normal(0, 14, x.shape), 0)
    picture[(radius >= 0.92) & (radius < 1)] = 255
    spot = np.hypot(x - rng.uniform(-0.3, 0.3), y - rng.uniform(-0.3, 0.3)) < rng.uniform(0.08, 0.2)
    return np.clip(np.where(spot, 200, picture), 0, 255).astype(np.uint8)


def part(name: str, names: NDArray[np.str_], labels: NDArray[np.bool_]) -> PartSummary:
    return PartSummary(
        name,
        len(np.unique(names)),
        len(np.unique(names)),
        len(names) * 4,
        {c: int(labels[:, k].sum()) for k, c in enumerate(SUBTYPES)},
        {c: len(np.unique(names[labels[:, k]])) for k, c in enumerate(SUBTYPES)},
    )


def make_study(patients: int = 24, resamples: int = 60, absent: tuple[Subtype, ...] = ()) -> StudyResult:
    validation, test = slices(1, patients, absent), slices(2, patients, absent)
    models: list[ModelResult] = []
    rows: tuple[tuple[float, int, PaperRow], ...] = ((0.5, 10, MODEL_1), (1.6, 10, MODEL_2), (1.7, 6, MODEL_3))
    for number, (skill, epochs, row) in enumerate(rows, start=1):
        pair = [predict(*validation, skill, seed=number), predict(*test, skill, seed=10 + number)]
        early = [predict(*validation, skill - 0.2, seed=20), predict(*test, skill - 0.2, seed=21)]
        if number == 3:
            pair = [without_epidural(p) for p in pair]
        models.append(
            ModelResult(
                label=f"Model {number}",
                recipe=recipe(number, epochs),
                history=history(pair[0], epochs, skill),
                best_epoch=epochs - 2,
                stopped_early=number == 2,
                parameters=4_172_161,
                training_seconds=5400.0 * number,
                validation=pair[0],
                test=pair[1],
                until_milestone={6: (early[0], early[1])} if number == 2 else {},
                paper_row=row,
            )
        )
    return StudyResult(
        title="Intracranial hemorrhage subtypes: the paper's study",
        subtitle="Models 1-3 on a made-up set",
        notices=("Made-up numbers: nothing here was measured.",),
        models=tuple(models),
        set_summary=SetSummary(
            "made up",
            "0123456789abcdef",
            2 * patients,
            2 * patients,
            8 * 8 * patients,
            (part("train", *validation), part("validation", *validation), part("test", *test)),
        ),
        skipped=(SkippedReason("pixel data truncated: 153,710 of 524,288 bytes", 1, ("ID_0a1b2c3d4",)),),
        environment={"Python": "3.11", "torch": "2.13.0", "Machine": "2 cores", "Device": "cpu"},
        seed=0,
        command="ichnos study paper --data set --out study",
        slice_picture=head,
        like_for_like=LikeForLike("paper_model_2", "paper_model_3"),
        resamples=resamples,
    )


@pytest.fixture(scope="session")
def study() -> StudyResult:
    return make_study()


@pytest.fixture
def study_without() -> Callable[[Subtype], StudyResult]:
    """A study whose set lacks a class."""
    return lambda c: make_study(patients=8, resamples=30, absent=(c,))
