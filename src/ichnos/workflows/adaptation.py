"""What adapting to another hospital is worth: a run as it was and adapted in each way, on that hospital's test part."""

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ichnos.data.splits import Part
from ichnos.errors import UsageError
from ichnos.evaluation.level_comparison import Row, auc_of_levels, compare_levels
from ichnos.evaluation.metrics import slice_metrics
from ichnos.evaluation.multiplicity import holm
from ichnos.evaluation.resampling import RESAMPLES
from ichnos.files import replacing, write_json
from ichnos.findings import NOTICE
from ichnos.models.checkpoint import load_checkpoint
from ichnos.predictions import Predictions
from ichnos.progress import Progress
from ichnos.recipe import Population
from ichnos.reporting.adaptation import write_adaptation
from ichnos.workflows.adapt import AdaptOptions, Method, adapt_on, check_adaptable
from ichnos.workflows.evaluate import checkpoints_of
from ichnos.workflows.measured import BOOTSTRAP_SEED, see_that_it_goes_on
from ichnos.workflows.seen import has_seen, learnt_from, unseen
from ichnos.workflows.train import OpenData, open_data
from ichnos.workflows.trained import open_run
from ichnos.workflows.trained_model import BEST

Tree = dict[str, Any]

AS_IT_WAS = "as it was"

_FORM = "ichnos-adaptation"
"""Of the scorecard."""

SIZES = (4, 8, 16, 32)
"""Patients to fine-tune on, as many of these as the set has: each doubling is a step that a hospital can weigh."""


@dataclass(frozen=True)
class AdaptationOptions:
    """What can be chosen about the study."""

    patients: tuple[int, ...] | None = None
    """Of each fine-tuned run; None: those of SIZES that the set has."""
    seed: int = 0
    """Of drawing the patients: a smaller number's are among a larger one's."""
    changes: Mapping[str, str] = field(default_factory=dict[str, str])
    resamples: int = RESAMPLES

    def command(self, run: Path, data: Path, out: Path) -> str:
        """What to type to make the same again."""
        words = ["ichnos", "study", "adapt", str(run), "--data", str(data), "--out", str(out)]
        words += [word for n in self.patients or () for word in ("--patients", str(n))]
        words += ["--seed", str(self.seed)] if self.seed else []
        words += ["--resamples", str(self.resamples)] if self.resamples != RESAMPLES else []
        words += [word for pair in self.changes.items() for word in ("--set", "=".join(pair))]
        return shlex.join(words)


@dataclass(frozen=True, eq=False)
class _Measured:
    """One way, on the new set's validation and test parts."""

    name: str
    method: str | None
    patients: int | None
    """Whose labels it learnt from."""
    validation: Predictions
    test: Predictions


def study_adaptation(
    run: Path, data: Path, out: Path, options: AdaptationOptions, progress: Progress, *, device: str = "auto"
) -> Tree:
    """Adapt `run` to the set `data` in each way, into folders of `out`, and measure all on its test patients.

    Writes scorecard.json, report.md, report.html and each way's predictions.parquet; goes on where it stopped. Returns
    the scorecard. Raises UsageError where the run knows the set already, or the set cannot teach or be measured on.
    """
    see_that_it_goes_on(out, _FORM)
    opened = open_data(data)
    if not opened.prepared.header.teaches:
        raise UsageError("this set has no labels of single slices: nothing can be fine-tuned or measured on it")
    model = open_run(run)
    check_adaptable(run, model.recipe, opened, Method.FINE_TUNE)
    if not unseen(checkpoints_of(model), opened)[1]:
        raise UsageError("this run was trained with this set: give the set of another hospital")
    if any(has_seen(learnt_from(path, opened.origin), opened.origin) for path in checkpoints_of(model)):
        raise UsageError(
            "this run was trained with another set of the same public source, which has the same patients: give the "
            "set of another hospital"
        )
    sizes = _sizes(opened, model.recipe.population, options)
    notes: list[str] = []
    ways: list[tuple[str, Method | None, int | None]] = [(AS_IT_WAS, None, None), ("BatchNorm", Method.BATCHNORM, None)]
    ways += [(f"fine-tuned, {n} patients", Method.FINE_TUNE, n) for n in sizes]
    measured: list[_Measured] = []
    with progress.task("Ways", len(ways)) as task:
        for name, method, patients in ways:
            try:
                adapted = _adapted(run, opened, out, method, patients, options, progress, device)
            except UsageError as error:
                if method is not Method.BATCHNORM:
                    raise
                notes.append(f"BatchNorm is left out: {error}")
                continue
            measured.append(_measure(name, method, patients, adapted, out, opened, progress, device))
            task.advance()
    card = _scorecard(measured, opened, options, notes) | {
        "run": run.name,
        "digest": model.digest(),
        "title": model.recipe.title,
        "command": options.command(run, data, out),
    }
    write_json(out / "scorecard.json", card)
    write_adaptation(card, out)
    return card


def _sizes(opened: OpenData, population: Population, options: AdaptationOptions) -> tuple[int, ...]:
    there = opened.prepared.index["patient"].gather(opened.rows(population, Part.TRAIN)).n_unique()
    if options.patients is None:
        return tuple(n for n in SIZES if n <= there)
    if max(options.patients) > there:
        raise UsageError(
            f"asked for {max(options.patients)} patients, and the training part of this set has {there} to learn from; "
            "ask for fewer"
        )
    return tuple(sorted(set(options.patients)))


def _folder(out: Path, method: Method | None, patients: int | None) -> Path:
    return out / "-".join([method.value if method else "as-it-was", *([str(patients)] if patients else [])])


def _adapted(
    run: Path,
    opened: OpenData,
    out: Path,
    method: Method | None,
    patients: int | None,
    options: AdaptationOptions,
    progress: Progress,
    device: str,
) -> Path:
    if method is None:
        return run
    folder = _folder(out, method, patients)
    if method is Method.BATCHNORM:
        if folder.exists() and made_of(folder, run, opened):
            return folder
        asked = AdaptOptions(method)
    else:
        asked = AdaptOptions(method, patients, options.seed, options.changes)
    adapt_on(run, opened, folder, asked, progress, device=device)
    return folder


def made_of(folder: Path, run: Path, opened: OpenData) -> bool:
    """Whether an adapted run is there, of this one and of this set's split. Any other, or half of one, stands in the
    way."""
    wanted = [path.relative_to(run) for path in sorted(run.rglob(BEST))]
    if not wanted or wanted != [path.relative_to(folder) for path in sorted(folder.rglob(BEST))]:
        return False
    told = [load_checkpoint(folder / path).metadata for path in wanted]
    digests = [each["first_weights"]["digest"] for each in told]
    origin = json.loads(json.dumps(opened.origin))  # as a checkpoint keeps it
    return digests == [_digest(run / path) for path in wanted] and all(each["origin"] == origin for each in told)


def _measure(
    name: str,
    method: Method | None,
    patients: int | None,
    run: Path,
    out: Path,
    opened: OpenData,
    progress: Progress,
    device: str,
) -> _Measured:
    model = open_run(run)
    validation, test = (model.predict(opened, part, progress, device=device) for part in (Part.VALIDATION, Part.TEST))
    folder = _folder(out, method, patients)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "predictions.parquet") as temporary:
        test.write_parquet(temporary)
    return _Measured(name, method.value if method else None, patients, validation, test)


def _scorecard(measured: list[_Measured], opened: OpenData, options: AdaptationOptions, notes: list[str]) -> Tree:
    first, *others = measured
    seed, resamples = BOOTSTRAP_SEED, options.resamples
    gains = {each.name: compare_levels(first.test, each.test, seed=seed, resamples=resamples) for each in others}
    corrected = _corrected(gains)
    return {
        "form": _FORM,
        "notice": NOTICE,
        "source": opened.prepared.header.source,
        "set": opened.prepared.header.fingerprint,
        "split_seed": opened.splits.seed,
        "seed": options.seed,
        "changes": dict(options.changes),
        "bootstrap": {"seed": seed, "resamples": resamples, "unit": "patient"},
        "counts": {
            "training_patients": opened.patients_in_training,
            "validation_patients": len(np.unique(first.validation.patient)),
            "test_patients": len(np.unique(first.test.patient)),
            "test_exams": len(np.unique(first.test.exam)),
            "test_slices": len(first.test),
        },
        "notes": notes,
        "ways": [_way(each, corrected.get(each.name, []), options) for each in measured],
    }


def _way(each: _Measured, gains: list[Tree], options: AdaptationOptions) -> Tree:
    levels = auc_of_levels(each.test, seed=BOOTSTRAP_SEED, resamples=options.resamples)
    inner = slice_metrics(each.validation.probabilities, each.validation.labels, each.validation.classes)
    return {
        "name": each.name,
        "method": each.method,
        "labelled_patients": each.patients or 0,
        "validation": inner.to_json(),
        "levels": {
            level.value: {c.value: estimate.to_json() for c, estimate in aucs.items()} for level, aucs in levels.items()
        },
        "gains": gains,
    }


def _corrected(gains: dict[str, list[Row]]) -> dict[str, list[Tree]]:
    """Holm's correction over all ways, classes and levels: they are one family of questions."""
    rows = [(name, row) for name, found in gains.items() for row in found]
    p_values = holm([row.bootstrap_tested for _, row in rows])
    trees: dict[str, list[Tree]] = {name: [] for name in gains}
    for (name, row), p in zip(rows, p_values, strict=True):
        tree = {key: value for key, value in row.to_json().items() if key != "delong"}
        tree["difference"] |= {"holm_p": p}
        trees[name].append(tree)
    return trees


def _digest(checkpoint: Path) -> str:
    return hashlib.sha256(checkpoint.read_bytes()).hexdigest()[:16]
