"""From a run or a bundle to a submission to Kaggle's RSNA 2019 competition: whole, in order, and checked."""

import csv
import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ichnos.counting import counted
from ichnos.data.set import PreparedSet
from ichnos.data.splits import Part
from ichnos.errors import InputError, OutputError, UsageError
from ichnos.evaluation.readout import smoothed_by_exam
from ichnos.files import replacing
from ichnos.inference.bundle import read_bundle
from ichnos.inference.engine import Engine
from ichnos.inference.exam import refuse_positives_only
from ichnos.predictions import Predictions
from ichnos.progress import Progress
from ichnos.readout import Readout, logit
from ichnos.subtypes import CLASSES, Subtype
from ichnos.workflows.validate import outputs_of

HEADER = ("ID", "Label")

_IMAGE = re.compile(r"ID_[0-9a-f]+")
_ROW = re.compile(rf"(ID_[0-9a-f]+)_({'|'.join(CLASSES)})")

Row = tuple[str, Subtype]
"""An image and a class: one line of the file."""


def write_submission(
    model: Path,
    data: Path,
    out: Path,
    progress: Progress,
    *,
    bundle: bool,
    sample: Path | None = None,
    fill_from: Path | None = None,
    allow_seen: bool = False,
    device: str = "auto",
) -> int:
    """Write six rows for every image of the set, or of `sample` in its order; returns how many images there are.

    bundle: whether `model` is one, or a run. A bundle's probabilities are calibrated, a run's are as the network gives
    them. fill_from: a prepared set of which the share of slices with each class stands for an image that could not be
    read; None refuses to write where there is one. allow_seen: take a set that the model has learnt from too. Raises
    UsageError where the model cannot name all six classes, or has learnt from this set; InputError where an image is
    missing or the sample is none, OutputError where `out` exists.
    """
    if out.exists():
        raise OutputError(f"{out} exists; give --out another name")
    prepared = PreparedSet(data)
    _see_what_it_is(prepared, model, progress, bundle=bundle, allow_seen=allow_seen)
    rows, filled = _asked(prepared, sample, fill_from, progress)
    wanted = {image: None for image, _ in rows}
    table = _of_bundle(model, prepared, progress) if bundle else _of_run(model, prepared, progress, device)
    said = dict(zip(table.slice_name.tolist(), table.probabilities, strict=True)) | filled
    check_submission(said, wanted)
    with replacing(out) as temporary, temporary.open("w", encoding="ascii", newline="\n") as file:
        file.write(",".join(HEADER) + "\n")
        file.writelines(f"{image}_{c.value},{said[image][CLASSES.index(c)]:.8g}\n" for image, c in rows)
    return len(wanted)


def _see_what_it_is(prepared: PreparedSet, model: Path, progress: Progress, *, bundle: bool, allow_seen: bool) -> None:
    """Refuse a set that the model has learnt from, and say where it has labels."""
    if not allow_seen and prepared.header.fingerprint in (_sets_of_bundle(model) if bundle else _sets_of_run(model)):
        raise UsageError(
            "this model has learnt from this very set, and a submission is of test images: prepare them with `ichnos "
            "prepare rsna ROOT --test --out SET`; --allow-seen writes the file all the same, to try its form"
        )
    if prepared.header.labelled:
        progress.message(
            "this set has labels, which Kaggle's test images have not: no submission there, but a file to check with; "
            "`ichnos evaluate` measures the model on it"
        )


def _asked(
    prepared: PreparedSet, sample: Path | None, fill_from: Path | None, progress: Progress
) -> tuple[Sequence[Row], dict[str, NDArray[np.float64]]]:
    """The rows of the file, and what stands for images that could not be read."""
    images = _images(prepared)
    rows = (
        read_sample(sample)
        if sample
        else [(image, c) for image in sorted(images | _left_out(prepared)) for c in CLASSES]
    )
    wanted = {image: None for image, _ in rows}
    if not wanted:
        raise InputError("there are no images to submit")
    missing = [image for image in wanted if image not in images]
    filled = _filled(missing, fill_from, prepared) if missing else {}
    if missing:
        progress.message(
            f"{counted(len(missing), 'image')} could not be read; the prevalence of {fill_from} stands there"
        )
    if unasked := len(images.keys() - wanted.keys()):
        progress.message(f"{counted(unasked, 'image')} of the set not in the sample, and left out")
    return rows, filled


def read_sample(sample: Path) -> list[Row]:
    """The rows of Kaggle's sample submission, in its order. Raises InputError where it is none."""
    try:
        with sample.open(encoding="utf-8-sig", newline="") as stream:
            lines = [line for line in csv.reader(stream) if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"the sample {sample} cannot be read ({type(error).__name__}); download it again") from error
    if not lines or tuple(lines[0]) != HEADER:
        raise InputError(f"{sample} is no sample submission: its first line is not ID,Label")
    found = [_ROW.fullmatch(line[0].strip()) for line in lines[1:]]
    if bad := next((number for number, match in enumerate(found, start=2) if match is None), None):
        raise InputError(f"{sample}, row {bad}: wanted is ID_<image>_<{'|'.join(CLASSES)}>")
    rows = [(match.group(1), Subtype(match.group(2))) for match in found if match]
    images = {image for image, _ in rows}
    if len(set(rows)) != len(rows) or len(rows) != len(images) * len(CLASSES):
        raise InputError(f"{sample} has {len(rows)} rows of {len(images)} images; wanted are six of each, each once")
    return rows


def check_submission(said: Mapping[str, NDArray[np.float64]], images: Mapping[str, None]) -> None:
    """Raise InputError unless every image has six probabilities in [0, 1], `any` no smaller than the others."""
    values = np.array([said[image] for image in images])
    if not np.isfinite(values).all() or ((values < 0) | (values > 1)).any():
        raise InputError("some probabilities are no numbers in [0, 1]: the model is damaged")
    if (values[:, -1:] < values[:, :-1]).any():
        raise InputError("some image is more likely to have a subtype than any hemorrhage: the model is damaged")


def _sets_of_bundle(model: Path) -> set[str]:
    """Fingerprints of those that it says it was made of."""
    data = read_bundle(model).manifest.data
    return set() if data is None else set(data.fingerprint.split("+"))


def _sets_of_run(run: Path) -> set[str]:
    """Fingerprints of those that it, or what it began from, has learnt from."""
    from ichnos.models.checkpoint import read_header  # torch, which a bundle does not need
    from ichnos.models.initial_weights import origins
    from ichnos.workflows.evaluate import checkpoints_of
    from ichnos.workflows.trained import open_run

    told = [origins(read_header(checkpoint)["metadata"]) for checkpoint in checkpoints_of(open_run(run))]
    return {each["set"] for each in itertools.chain.from_iterable(told) if each.get("set")}


def _of_bundle(model: Path, prepared: PreparedSet, progress: Progress) -> Predictions:
    bundle = read_bundle(model)
    refuse_positives_only(bundle)
    readout = bundle.manifest.readout
    _refuse_lacking(readout)
    return _read_out(outputs_of(Engine(bundle), prepared, readout.classes, progress), readout)


def _of_run(run: Path, prepared: PreparedSet, progress: Progress, device: str) -> Predictions:
    from ichnos.workflows.train import OpenData, all_tested  # torch, which a bundle does not need
    from ichnos.workflows.trained import open_run

    model = open_run(run)
    if model.recipe.population.slices == "positives":
        raise UsageError(
            "this run was trained on slices with hemorrhage only, and the test images are not; make it the second "
            "stage of a cascade: `ichnos export GATE_RUN SUBTYPE_RUN --out FILE`"
        )
    _refuse_lacking(Readout.uncalibrated(model.recipe.classes))
    table = model.predict(OpenData(prepared, all_tested(prepared)), Part.TEST, progress, device=device)
    return _read_out(table, Readout.uncalibrated(table.classes))


def _refuse_lacking(readout: Readout) -> None:
    if readout.reported != CLASSES:
        lacking = ", ".join(c for c in CLASSES if c not in readout.reported)
        raise UsageError(f"the competition asks for six classes, and this model does not name {lacking}")


def _read_out(outputs: Predictions, readout: Readout) -> Predictions:
    logits = smoothed_by_exam(logit(outputs.probabilities, certain=1e-15), outputs, readout.smoothing)
    said = readout.slice_probabilities(logits)
    return Predictions(
        CLASSES,
        outputs.patient,
        outputs.exam,
        outputs.slice_name,
        outputs.offset,
        said,
        np.zeros(said.shape, np.bool_),
    )


def _images(prepared: PreparedSet) -> dict[str, None]:
    """Those of the set."""
    names = prepared.index["name"].to_list()
    if odd := [name for name in names if not _IMAGE.fullmatch(name)]:
        raise InputError(
            f"{counted(len(odd), 'slice')} of this set have other names than RSNA 2019's images (ID_000012eaf); "
            "prepare its test images with `ichnos prepare rsna ROOT --test --out SET`"
        )
    if len(set(names)) != len(names):
        raise InputError(f"{len(names) - len(set(names))} images are in this set twice; prepare it again")
    return dict.fromkeys(names)


def _left_out(prepared: PreparedSet) -> dict[str, None]:
    """Images that could not be read when the set was prepared."""
    return {name: None for name in prepared.skipped["name"].to_list() if _IMAGE.fullmatch(name)}


def _filled(missing: Sequence[str], fill_from: Path | None, prepared: PreparedSet) -> dict[str, NDArray[np.float64]]:
    if fill_from is None:
        reasons = prepared.skipped.filter(prepared.skipped["name"].is_in(list(missing)))["reason"].unique().to_list()
        said = f" ({'; '.join(sorted(reasons)[:3])})" if reasons else ""
        raise InputError(
            f"{counted(len(missing), 'image')} of the submission are not in the set{said}, such as {missing[0]}. An "
            "image that was not read gets no invented probability: prepare it, or give --fill-from SET to let the "
            "prevalence of a labelled set stand for it"
        )
    header = PreparedSet(fill_from).header
    if not header.teaches:
        raise UsageError(f"{fill_from} has no labels of single slices, so no prevalence of slices can be taken from it")
    share = np.array([header.positives[c.value] / header.slices for c in CLASSES])
    return dict.fromkeys(missing, share)
