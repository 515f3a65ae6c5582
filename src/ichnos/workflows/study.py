"""The study of the paper: train Models 1, 2 and 3 on one split, measure them on the same patients, write the report."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ichnos import recipes
from ichnos.ct.windows import BRAIN
from ichnos.data.set import PreparedSet
from ichnos.data.splits import Part
from ichnos.errors import OutputError, UsageError
from ichnos.inputs import to_matrix
from ichnos.models.checkpoint import load_classifier
from ichnos.networks import init_name
from ichnos.progress import Progress
from ichnos.recipe import SliceRecipe
from ichnos.reporting.paper import MODEL_1, MODEL_2, MODEL_3, PaperRow
from ichnos.reporting.study import LikeForLike, ModelResult, PartSummary, SetSummary, SkippedReason, StudyResult
from ichnos.reporting.write import write_study
from ichnos.subtypes import SUBTYPES
from ichnos.training.loop import TrainingSummary
from ichnos.workflows.measured import BOOTSTRAP_SEED
from ichnos.workflows.seen import check_first_weights
from ichnos.workflows.train import OpenData, check_epochs, open_data, train_on
from ichnos.workflows.trained_model import predict_part

_PAPER_ROWS: dict[str, PaperRow] = {"paper_model_1": MODEL_1, "paper_model_2": MODEL_2, "paper_model_3": MODEL_3}
_VARIANTS = ("paper_model_1_frozen", "paper_model_1_as_written", "paper_model_2_two_dropouts")


class Length(StrEnum):
    """How long each model is trained."""

    PAPER = "paper"
    """At most 10, 10 and 6 epochs, as the study."""
    FROM_SCRATCH = "from-scratch"
    """The `fit` of the recipe `from_scratch`, for each model."""


@dataclass(frozen=True)
class StudyOptions:
    """What can be chosen about the study."""

    length: Length = Length.PAPER
    init: str | None = None
    """First weights of every model; None: what the recipes say."""
    changes: Mapping[str, str] = field(default_factory=dict[str, str])
    """Fields of every recipe, as text."""
    variants: bool = False
    """Our other readings of Models 1 and 2 beside them."""
    note: str | None = None

    @classmethod
    def parse(
        cls, length: str, init: str | None, changes: Mapping[str, str], *, variants: bool, note: str | None
    ) -> Self:
        """From the command line's words. Raises UsageError."""
        if length not in set(Length):
            raise UsageError(f"--length is {' or '.join(Length)}, got {length!r}")
        return cls(Length(length), init, changes, variants, note)

    def recipes(self) -> list[SliceRecipe]:
        """The recipes of the study with the options applied. Raises RecipeError."""
        names = [*_PAPER_ROWS, *(_VARIANTS if self.variants else ())]
        chosen = [recipes.find(name).of_one_model for name in names]
        if self.init == "random":
            chosen = [r for r in chosen if not r.network.frozen]  # it could not learn
        return [self._changed(recipe) for recipe in chosen]

    def _changed(self, recipe: SliceRecipe) -> SliceRecipe:
        if self.length is Length.FROM_SCRATCH:
            fit = recipes.find("from_scratch").of_one_model.fit.model_copy(update={"seed": recipe.fit.seed})
            recipe = recipe.derive(fit=fit)
        if self.init is not None:
            recipe = recipe.derive(**{"network.init": self.init})
        return recipe.override(self.changes)

    def command(self, data: Path, out: Path) -> str:
        """What to type to run the same study again."""
        words = ["ichnos", "study", "paper", "--data", str(data), "--out", str(out)]
        words += ["--length", self.length.value] if self.length is not Length.PAPER else []
        words += ["--init", self.init] if self.init else []
        words += ["--variants"] if self.variants else []
        for name, value in self.changes.items():
            words += ["--set", f"{name}={value}"]
        words += ["--note", self.note] if self.note else []
        return shlex.join(words)


def study_paper(data: Path, out: Path, options: StudyOptions, progress: Progress, *, device: str = "auto") -> Path:
    """Train what is not yet trained, measure all on the same patients, write the report; returns its path.

    Runs lie in out/runs; a stopped study goes on. Raises OutputError where `out` holds something that is no study.
    """
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file; give --out a folder")
    if out.exists() and any(out.iterdir()) and not (out / "runs").exists():
        raise OutputError(f"{out} holds other files already; give --out a new or empty folder")
    opened = open_data(data)
    chosen = options.recipes()
    for recipe in chosen:
        check_first_weights(recipe, opened.origin)
        check_epochs(recipe, opened)
    results: list[ModelResult] = []
    with progress.task("The study's models", len(chosen)) as task:
        for recipe in chosen:
            run = out / "runs" / recipe.name
            summary = train_on(_with_milestone(recipe, chosen), opened, run, progress, device=device)
            results.append(_measured(recipe, summary, opened, progress, device))
            task.advance()
    return write_study(_result(tuple(results), opened, options, data, out), out, progress)


def _with_milestone(recipe: SliceRecipe, chosen: list[SliceRecipe]) -> SliceRecipe:
    """Model 2 also keeps its best of as many epochs as Model 3 has, whatever the options made of those."""
    if recipe.name != "paper_model_2":
        return recipe
    three = next(r for r in chosen if r.name == "paper_model_3")
    return recipe.derive(**{"fit.milestones": (three.fit.epochs,)})


def _measured(
    recipe: SliceRecipe, summary: TrainingSummary, data: OpenData, progress: Progress, device: str
) -> ModelResult:
    best = summary.run / "best.safetensors"
    classifier, trained, metadata = load_classifier(best)
    environment = json.loads((summary.run / "environment.json").read_bytes())
    until = {
        n: (
            predict_part(summary.run / f"best_until_{n}.safetensors", data, Part.VALIDATION, progress, device=device),
            predict_part(summary.run / f"best_until_{n}.safetensors", data, Part.TEST, progress, device=device),
        )
        for n in trained.fit.milestones
    }
    return ModelResult(
        label=_label(recipe),
        recipe=trained,
        history=summary.journal,
        best_epoch=summary.best_epoch,
        stopped_early=summary.stopped_early,
        parameters=sum(p.numel() for p in classifier.parameters()),
        training_seconds=summary.seconds,
        first_weights=metadata["first_weights"]["remark"],
        trained_on=f"{environment['device']}, {environment['precision']}, {environment['started'][:10]}",
        validation=predict_part(best, data, Part.VALIDATION, progress, device=device),
        test=predict_part(best, data, Part.TEST, progress, device=device),
        until_milestone=until,
        paper_row=_PAPER_ROWS.get(recipe.name),
    )


def _label(recipe: SliceRecipe) -> str:
    return recipe.title.partition(" (")[0]


def _result(
    models: tuple[ModelResult, ...], data: OpenData, options: StudyOptions, path: Path, out: Path
) -> StudyResult:
    prepared = data.prepared
    size = models[0].recipe.input.size
    init = init_name(models[0].recipe.network.init)
    length = "the study's epochs" if options.length is Length.PAPER else "the from-scratch length"
    return StudyResult(
        title=f"The study's three models on {prepared.header.source}",
        subtitle=f"{length}, first weights: {init}, {size}×{size} pixels",
        notices=_notices(prepared, options, models),
        models=models,
        set_summary=_set_summary(data),
        skipped=skipped_reasons(prepared),
        environment=_environment(out / "runs" / models[0].name),
        seed=BOOTSTRAP_SEED,
        command=options.command(path, out),
        slice_picture=_pictures(prepared),
        like_for_like=LikeForLike(full="paper_model_2", reduced="paper_model_3"),
    )


def _notices(prepared: PreparedSet, options: StudyOptions, models: tuple[ModelResult, ...]) -> tuple[str, ...]:
    """What a reader must know before any number."""
    notices = [options.note] if options.note else []
    if prepared.header.source == "phantom":
        notices.append("Phantom results are phantom results: these slices are synthetic, and say nothing of patients.")
    if prepared.header.source != "rsna":
        notices.append("Not the study's data: the paper's column is of RSNA 2019 and beside ours for orientation only.")
    if options.length is Length.PAPER and models[0].recipe.network.init == "random":
        notices.append(
            "Trained from random weights with the study's epochs, which are meant for ImageNet weights and a set some "
            "hundred times larger: too short to learn from, and shown as such."
        )
    return tuple(notices)


def _set_summary(data: OpenData) -> SetSummary:
    header, index = data.prepared.header, data.prepared.index
    parts: list[PartSummary] = []
    for part in Part:
        chosen = index[data.splits.rows(part)]
        parts.append(
            PartSummary(
                name=part.value,
                patients=chosen["patient"].n_unique(),
                exams=chosen["exam"].n_unique(),
                slices=len(chosen),
                positive_slices={s: int(chosen[s.value].sum()) for s in SUBTYPES},
                positive_patients={s: chosen.filter(pl.col(s.value))["patient"].n_unique() for s in SUBTYPES},
            )
        )
    return SetSummary(header.source, header.fingerprint, header.patients, header.exams, header.slices, tuple(parts))


def skipped_reasons(prepared: PreparedSet) -> tuple[SkippedReason, ...]:
    """What had to be left out of a set, by reason, the commonest first."""
    groups = prepared.skipped.group_by("reason").agg(pl.len().alias("count"), pl.col("name").sort().head(3))
    return tuple(
        SkippedReason(reason, count, tuple(names))
        for reason, count, names in groups.sort("count", "reason").rows()[::-1]
    )


def _environment(run: Path) -> dict[str, str]:
    """Of the training, as the run has it: the report may be drawn elsewhere."""
    environment = json.loads((run / "environment.json").read_bytes())
    machine = environment["machine"]
    return environment["versions"] | {
        "processor": machine["processor"],
        "system": f"{machine['system']} {machine['architecture']}",
        "threads": str(environment["threads"]),
        **{f"{name} (report)": version(name) for name in ("scikit-learn", "polars", "matplotlib")},
    }


def _pictures(prepared: PreparedSet):
    rows = {(e, n): k for k, (e, n) in enumerate(zip(prepared.exams, prepared.index["name"], strict=True))}

    @lru_cache(maxsize=256)
    def picture(exam: str, name: str) -> NDArray[np.uint8]:
        return np.rint(BRAIN.apply(to_matrix(prepared.hu(rows[exam, name]))) * 255).astype(np.uint8)

    return picture
