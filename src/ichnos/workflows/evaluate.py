"""From a trained run to its predictions and its scorecard on patients that it has not seen."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ichnos.data.splits import Part
from ichnos.errors import OutputError, UsageError
from ichnos.evaluation import PatientResamples, evaluate
from ichnos.files import replacing, write_json
from ichnos.models.checkpoint import load_checkpoint
from ichnos.progress import Progress
from ichnos.workflows.train import OpenData, open_data
from ichnos.workflows.trained import best_of, open_runs

BOOTSTRAP_SEED = 0
"""One seed for every interval, so that they can be made again and compared."""


def evaluate_run(
    run: Path, data: Path, out: Path, progress: Progress, *, fold: int | None = None, device: str = "auto"
) -> dict[str, Any]:
    """Measure the best checkpoint of `run` on the test part of `data`; write scorecard.json and predictions.parquet.

    fold: None takes the run's own. Another set than the run's is an external one, and the scorecard says so. Raises
    WeightsError where the run has no checkpoint, UsageError where the part holds patients that the run learnt from,
    OutputError where `out` holds a scorecard already.
    """
    if (out / "scorecard.json").exists():
        raise OutputError(f"{out} holds a scorecard already; give --out another folder")
    opened = open_data(data, fold)
    model = open_runs([run])
    opened, external = _unseen([best_of(each.runs[0]) for each in model.models], opened)
    predictions = model.predict(opened, Part.TEST, progress, device=device)
    resamples = PatientResamples.draw(predictions.patient, seed=BOOTSTRAP_SEED)
    result = evaluate(predictions.probabilities, predictions.labels, predictions.classes, resamples)
    with replacing(out / "predictions.parquet") as temporary:
        predictions.write_parquet(temporary)
    scorecard = {
        "run": run.name,
        "checkpoint": model.digest(),
        "part": Part.TEST.value,
        "fold": opened.fold,
        "bootstrap_seed": BOOTSTRAP_SEED,
    }
    scorecard |= {"set": opened.prepared.header.fingerprint, "external": external}
    scorecard |= {"notice": "Research use only. Not a medical device.", "test": result.to_json()}
    write_json(out / "scorecard.json", scorecard)
    return scorecard


def _unseen(checkpoints: list[Path], opened: OpenData) -> tuple[OpenData, bool]:
    """The data with a fold whose test part the run has not learnt from, and whether the set is another one."""
    origin, *others = (load_checkpoint(checkpoint).metadata["origin"] for checkpoint in checkpoints)
    if any(other != origin for other in others):
        raise UsageError(
            "the stages of this cascade were trained on different sets, splits or folds, so no patients are left that "
            "neither has seen for sure; train it anew with `ichnos train`"
        )
    if opened.origin["set"] != origin.get("set"):
        return opened, True
    if origin.get("everyone"):
        raise UsageError(
            "this run was trained on every patient of this set, so none is left to measure it on; measure it on "
            "another set, or its procedure with `ichnos study folds`"
        )
    if opened.fold is None:
        opened = replace(opened, fold=origin["fold"])
    differing = [key for key in ("split_seed", "folds", "fold") if opened.origin[key] != origin[key]]
    if differing:
        said = ", ".join(f"{key} {origin[key]} then, {opened.origin[key]} now" for key in differing)
        raise UsageError(
            f"this run was trained on another split of this set ({said}), so it learnt from patients that would be "
            "measured; leave --fold out to measure it on its own test patients"
        )
    return opened, False
