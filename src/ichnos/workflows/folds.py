"""A recipe measured by nested folds, and the bundle of a final model that is trained on everyone."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from ichnos.counting import counted
from ichnos.data.splits import FEWEST_FOLDS, Part, Splits, make_splits, stored_splits
from ichnos.errors import OutputError, UsageError
from ichnos.evaluation.calls import Prevalence, check_prevalence
from ichnos.evaluation.folds import measure_folds
from ichnos.evaluation.levels import Judged, Level, judge
from ichnos.evaluation.readout import AS_USUAL, FittedReadout, Fitting, fit_readout, reported_labels
from ichnos.files import write_json
from ichnos.findings import NOTICE
from ichnos.models.checkpoint import load_checkpoint
from ichnos.networks import Weights
from ichnos.predictions import Predictions
from ichnos.progress import Progress
from ichnos.readout import Readout
from ichnos.recipe import Recipe, fits_of
from ichnos.reporting.folds_page import FoldsReport, write_folds
from ichnos.subtypes import Subtype
from ichnos.training.loop import TrainingSummary
from ichnos.workflows.anomaly import scales_of_folds
from ichnos.workflows.combining import out_of_fold_combinations
from ichnos.workflows.cost import parameters_of_run
from ichnos.workflows.export import ExportOptions, export_runs
from ichnos.workflows.fold_measures import FoldsJudged, measured_levels, subgroups_of_folds
from ichnos.workflows.growing import slices_out_of_fold
from ichnos.workflows.measured import BOOTSTRAP_SEED, demographics_of, prevalence_words, see_that_it_goes_on
from ichnos.workflows.seen import check_first_weights
from ichnos.workflows.study import skipped_reasons
from ichnos.workflows.subgrouping import Subgrouping
from ichnos.workflows.train import OpenData, Sets, check_epochs, data_words, open_data, train_stages
from ichnos.workflows.trained import open_run
from ichnos.workflows.trained_model import best_of

_FORM = "ichnos-folds"
"""Of the scorecard."""

VERSIONS = ("ichnos", "torch", "monai", "kornia", "numpy", "scikit-learn")
"""Whose versions a scorecard of a study tells."""


@dataclass(frozen=True)
class FoldOptions:
    """What can be chosen about a study by folds."""

    recipe: str | None = None
    """As it was asked for: a name, or the path of a file."""
    changes: Mapping[str, str] = field(default_factory=dict[str, str])
    """Of its fields, as text: they are in the recipe that is studied already."""
    split_seed: int | None = None
    """None: the folds that are stored with the set."""
    folds: int | None = None
    """None: as many as are stored with the set; 1: its one split into train, validation and test instead."""
    bundle: Path | None = None
    """Train a final model on everyone afterwards and export it there."""
    title: str | None = None
    """Of the bundle, and of the page."""
    licence: str | None = None
    """Of the bundle; None: that of the data, where its source states one."""
    demonstration: str | None = None
    """Why the bundle is no more than a demonstration."""
    weights: Weights = Weights.FLOAT32
    """Of the bundle's graphs."""
    force: bool = False
    """Replace a bundle that exists."""
    prevalence: Prevalence = field(default_factory=dict[Subtype, float])
    """Where predictive values are wanted besides the set's own."""
    subgroups: Subgrouping = field(default_factory=Subgrouping)
    fitting: Fitting = AS_USUAL
    """Of each fold's readout, and the bundle's."""

    def __post_init__(self) -> None:
        check_prevalence(self.prevalence)

    def command(self, data: Sets, out: Path) -> str | None:
        """What to type to measure the same again; None where it was asked for in Python."""
        if self.recipe is None:
            return None
        words = ["ichnos", "study", "folds", self.recipe, *data_words(data), "--out", str(out)]
        for name, value in self.changes.items():
            words += ["--set", f"{name}={value}"]
        words += ["--split-seed", str(self.split_seed)] if self.split_seed is not None else []
        words += ["--folds", str(self.folds)] if self.folds is not None else []
        words += prevalence_words(self.prevalence) + self.subgroups.words + self.fitting.words
        words += ["--title", self.title] if self.title else []
        return shlex.join(words)


@dataclass(frozen=True, eq=False)
class _Fold:
    """One fold, trained and measured."""

    summaries: dict[str, TrainingSummary]
    """A stage of the recipe."""
    test: Predictions
    readout: FittedReadout
    validation: dict[str, Any]


def study_folds(
    recipe: Recipe,
    data: Sets,
    out: Path,
    progress: Progress,
    options: FoldOptions | None = None,
    *,
    device: str = "auto",
) -> dict[str, Any]:
    """Fold k tests, fold k+1 chooses the epoch, calibrates and sets thresholds, the others train: for every k.

    Writes into `out`: a run a fold, out_of_fold.parquet (what each patient's slices were given by the model that has
    not seen them), slices.parquet and exams.parquet (what its readout made of these), scorecard.json, report.md and
    report.html; goes on where it stopped. Returns the scorecard.
    With options.bundle: a final model on all patients, trained along the folds' schedule to the median of their best
    epochs, calibrated on the out-of-fold predictions. Raises OutputError where that file exists (unless options.force)
    or `out` holds another command's scorecard, UsageError where one split is to give it.
    """
    options = options or FoldOptions()
    see_that_it_goes_on(out, _FORM)
    if options.bundle is not None and options.bundle.is_dir():
        raise OutputError(f"{options.bundle} is a folder; give --bundle the name of a file")
    if options.bundle is not None and options.bundle.exists() and not options.force:
        raise OutputError(f"{options.bundle} exists; give --bundle another name, or --force to replace it")
    if options.bundle is not None and options.folds == 1:
        raise UsageError("a bundle is calibrated on patients out of fold, and one split has none: give more --folds")
    opened, parts = open_folds(data, options.split_seed, options.folds)
    for fold in parts:
        check_first_weights(recipe, replace(opened, fold=fold).origin)
        check_epochs(recipe, replace(opened, fold=fold))
    options.subgroups.see_that_it_can_be(opened.prepared, judges_exams=recipe.population.slices != "positives")
    folds = [
        _run_fold(recipe, replace(opened, fold=fold), out / f"fold-{k}", options.fitting, progress, device)
        for k, fold in enumerate(parts)
    ]
    judged = FoldsJudged.of([fold.test for fold in folds], [fold.readout.readout for fold in folds])
    scorecard = _scorecard(recipe, opened, folds, judged, out, progress) | {
        "title": options.title,
        "command": options.command(data, out),
    }
    scorecard |= patients_of_folds(recipe, opened, parts)
    scorecard |= subgroups_of_folds(judged, opened.prepared, options.subgroups, options.prevalence)
    judged.write_given(out)
    judged.write_judged(out)
    scorecard = with_levels(scorecard, judged, recipe, out, options.prevalence, progress)
    if options.bundle is not None:
        _final(recipe, opened, folds, out, options, progress, device)
    return scorecard


def patients_of_folds(recipe: Recipe, opened: OpenData, folds: Sequence[int | None]) -> dict[str, Any]:
    """{"demographics": who tests in some fold, see `demographics_of`; "parts": of each part its patients in each fold}.

    folds: what `open_folds` gave.
    """
    rows = {part: [replace(opened, fold=fold).rows(recipe.population, part) for fold in folds] for part in Part}
    patients = opened.prepared.index["patient"]
    return {
        "demographics": demographics_of(opened.prepared, np.concatenate(rows[Part.TEST])),
        "parts": {part.value: [patients.gather(each).n_unique() for each in found] for part, found in rows.items()},
    }


def with_levels(
    scorecard: dict[str, Any],
    judged: FoldsJudged,
    recipe: Recipe,
    out: Path,
    prevalence: Prevalence,
    progress: Progress,
) -> dict[str, Any]:
    """The scorecard with every level measured and predictive values at these prevalences; it and its reports are
    written into `out`. Of a study that ended before it asked for these, nothing is trained or predicted again."""
    parameters = {"parameters": parameters_of_run(out / "fold-0", recipe)}
    whole = scorecard | parameters | measured_levels(judged, recipe.population, prevalence, progress)
    write_json(out / "scorecard.json", whole)
    write_folds(FoldsReport(whole, recipe, judged.judged, judged.reported), out, progress)
    return whole


def open_folds(data: Sets, split_seed: int | None, folds: int | None) -> tuple[OpenData, list[int | None]]:
    """The set with the folds that were asked for, and each of them; None is the one split.

    Before anything is trained it raises UsageError where so many folds cannot be: fewer than three, or some that would
    test, validate or train on nobody; and where several sets have folds that do not go together and nobody says how to
    cut them anew.
    """
    if folds is not None and folds != 1 and folds < FEWEST_FOLDS:
        raise UsageError(
            f"folds must be at least {FEWEST_FOLDS} (one tests, one validates, the rest train), or 1 for the set's one "
            f"split, got {folds}"
        )
    opened = open_data(data)
    once = folds == 1
    seed = opened.splits.seed if split_seed is None else split_seed
    count = opened.splits.folds if folds is None or once else folds
    if not count and not once:
        raise UsageError(
            f"these sets are split into unlike numbers of folds ({_splits_of(opened)}): give --folds and --split-seed, "
            "by which all patients are cut anew, or prepare the sets with one number"
        )
    if seed < 0 and count != opened.splits.folds:
        raise UsageError(
            f"these sets were split by unlike seeds ({_splits_of(opened)}): give --split-seed, by which all are cut "
            "anew"
        )
    patients = opened.prepared.index["patient"].n_unique()
    if not once and count > patients:
        raise UsageError(_too_many(count, patients))
    if (seed, count) != (opened.splits.seed, opened.splits.folds):
        opened = replace(opened, splits=make_splits(opened.prepared.index, seed=seed, folds=count))
    if not once and not all(_every_part_has_someone(opened.splits, k) for k in range(count)):
        raise UsageError(_too_many(count, patients))
    return opened, [None] if once else list(range(count))


def _every_part_has_someone(splits: Splits, fold: int) -> bool:
    return all(len(splits.rows_of_fold(fold, part)) for part in Part)


def _too_many(folds: int, patients: int) -> str:
    return (
        f"{counted(patients, 'patient')} cannot be cut into {folds} folds: some would have nobody to test, to validate "
        "or to train on (patients with shared pixels count as 1); give fewer --folds"
    )


def _splits_of(opened: OpenData) -> str:
    """Of each of several sets, in words."""
    splits = [(each.path.name, stored_splits(each)) for each in opened.prepared.sets]
    return ", ".join(f"{name}: {counted(each.folds, 'fold')}, seed {each.seed}" for name, each in splits)


def _run_fold(recipe: Recipe, data: OpenData, run: Path, fitting: Fitting, progress: Progress, device: str) -> _Fold:
    summaries = train_stages(recipe, data, run, progress, device=device)
    model = open_run(run)
    validation = model.predict(data, Part.VALIDATION, progress, device=device)
    test = model.predict(data, Part.TEST, progress, device=device)
    fitted = fit_readout(validation, fitting)
    inner = judge(validation, reported_labels(validation), fitted.readout)
    aucs = {
        name: _auc_only(inner[level], fitted.readout)
        for name, level in (("slices", Level.SLICE), ("exams", Level.EXAM))
    }
    return _Fold(summaries, test, fitted, aucs)


def _auc_only(part: Judged, readout: Readout) -> dict[str, float | None]:
    """Of the inner validation part, where variants are chosen."""
    values: dict[str, float | None] = {}
    for k, c in enumerate(readout.reported):
        positive = part.labels[:, k]
        both = positive.any() and not positive.all()
        values[c.value] = float(roc_auc_score(positive, part.raw[:, k])) if both else None
    return values


def _scorecard(
    recipe: Recipe, data: OpenData, folds: list[_Fold], judged: FoldsJudged, out: Path, progress: Progress
) -> dict[str, Any]:
    index = data.prepared.index
    levels: dict[str, Any] = {}
    with progress.task("Measuring all folds together", 2) as task:
        for name, level in (("slices", Level.SLICE), ("exams", Level.EXAM)):
            levels[name] = measure_folds(judged.judged.out_of_fold(level), judged.reported, BOOTSTRAP_SEED)
            task.advance()
    return {
        "form": _FORM,
        "notice": NOTICE,
        "recipe": json.loads(recipe.model_dump_json()),
        "source": data.prepared.header.source,
        "set": data.prepared.header.fingerprint,
        "split_seed": data.splits.seed,
        "counts": {
            "patients": index["patient"].n_unique(),
            "exams": index["exam"].n_unique(),
            "slices": sum(len(fold.test) for fold in folds),
        },
        "first_weights": each_stage(
            {s: load_checkpoint(best_of(out / "fold-0" / s)).metadata["first_weights"] for s in recipe.stages}
        ),
        "bootstrap_seed": BOOTSTRAP_SEED,
        "skipped": [asdict(reason) for reason in skipped_reasons(data.prepared)],
        "versions": {name: version(name) for name in VERSIONS},
        "folds": [_fold_json(fold, k) for k, fold in enumerate(folds)],
        **levels,
    }


def _fold_json(fold: _Fold, k: int) -> dict[str, Any]:
    return {
        "fold": k,
        "test_patients": len(np.unique(fold.test.patient)),
        "test_slices": len(fold.test),
        "epochs": each_stage({name: s.epochs for name, s in fold.summaries.items()}),
        "best_epoch": each_stage({name: s.best_epoch for name, s in fold.summaries.items()}),
        "validation_loss": each_stage({name: s.best_validation_loss for name, s in fold.summaries.items()}),
        "validation_auc": fold.validation,
        "aggregator": fold.readout.readout.aggregator.text,
        "readout": fold.readout.readout.model_dump(mode="json"),
        "notes": list(fold.readout.report["notes"]),
        "seconds": round(sum(s.seconds for s in fold.summaries.values()), 1),
    }


def each_stage(values: dict[str, Any]) -> Any:
    """For JSON: of one model the value itself, of several one a stage."""
    return values.get("", values)


def _final(
    recipe: Recipe,
    data: OpenData,
    folds: list[_Fold],
    out: Path,
    options: FoldOptions,
    progress: Progress,
    device: str,
) -> None:
    """One model of all patients: nothing is held back, so nothing is chosen; the folds say how long.

    It goes their way, learning rate and all, and stops at the epoch that was best for them: a shorter schedule of its
    own would be another procedure than the one that was measured.
    """
    assert options.bundle is not None
    changes: dict[str, Any] = {}
    for name, place in fits_of(recipe).items():
        epochs = max(1, round(float(np.median([fold.summaries[name].best_epoch for fold in folds]))))
        fit: dict[str, Any] = {"stop_after": epochs, "patience": None}
        if name in recipe.stages:
            fit["milestones"] = []
        changes |= {f"{place}.{key}": value for key, value in fit.items()}
        said = f"{name}: " if name else ""
        progress.message(
            f"the final model: {said}all patients, {counted(epochs, 'epoch')}, the median of the folds' best"
        )
    final = recipe.derive(**changes)
    runs = [out / f"fold-{k}" for k in range(len(folds))]
    joined = out_of_fold_combinations(recipe, data, runs, progress, device=device)
    everyone = replace(data, everyone=True)
    unseen = slices_out_of_fold(recipe, data, runs, progress, device=device)
    scales = scales_of_folds(recipe, runs)
    train_stages(
        final, everyone, out / "final", progress, combinations=joined, unseen=unseen, scales=scales, device=device
    )
    export = ExportOptions(
        data=tuple(each.path for each in data.prepared.sets),
        calibration=out / "out_of_fold.parquet",
        scorecard=out / "scorecard.json",
        title=options.title,
        licence=options.licence,
        demonstration=options.demonstration,
        weights=options.weights,
        fitting=options.fitting,
    )
    export_runs([out / "final"], options.bundle, progress, export, force=options.force, device=device)
