"""Write a synthetic cohort as Kaggle gives RSNA 2019: DICOM files and a table of labels; masks and ages beside them."""

import hashlib
import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ichnos.dicom.write import PixelEncoding, SliceIdentity, SlicePlacement, rsna_slice_bytes
from ichnos.errors import OutputError
from ichnos.files import explained, locked, write_bytes, write_json, write_text
from ichnos.phantom import CohortSettings, PhantomExam, make_exam
from ichnos.processes import in_processes
from ichnos.progress import Progress
from ichnos.subtypes import CLASSES

IMAGES = "stage_2_train"
"""The folder of RSNA's second stage; the table of labels is this name with .csv."""

_ENCODINGS = {
    PixelEncoding.SIGNED_16: 0.540,
    PixelEncoding.UNSIGNED_12: 0.440,
    PixelEncoding.UNSIGNED_12_MINUS_1000: 0.009,
    PixelEncoding.SIGNED_16_ZERO: 0.004,
    PixelEncoding.SIGNED_12_ZERO: 0.004,
    PixelEncoding.WRAPPED_12: 0.003,
}
"""Shares of the encodings among exams: RSNA's over all files, the wrapped one raised so that a cohort has some."""

_PADDED_SHARE = 0.5
"""Of the exams in a 16-bit signed encoding, how many have padding outside the field of view."""


def write_cohort(settings: CohortSettings, out: Path, progress: Progress, workers: int | None = None) -> Path:
    """Write the cohort into `out` and return `out`. A stopped run continues; the same settings give the same bytes.

    Lays down stage_2_train.csv, stage_2_train/ID_*.dcm, masks/ID_*.png (bit k where SUBTYPES[k] bleeds), exams.csv.
    Raises OutputError where `out` holds something else.
    """
    claim = _claim(settings)
    _take(out, claim)
    if (out / f"{IMAGES}.csv").exists():
        return out
    with locked(out):
        todo = [n for n in range(settings.exams) if not _labels_path(out, n).exists()]
        with progress.task("Making synthetic exams", settings.exams) as task:
            task.advance(settings.exams - len(todo))
            for _ in in_processes(partial(write_exam, settings, out), todo, workers):
                task.advance()
        _write_tables(settings, out)
    return out


def write_exam(settings: CohortSettings, out: Path, number: int) -> int:
    """Write one exam of the cohort; its labels last, which says that it is whole. Returns `number`."""
    exam = make_exam(settings, number)
    rng = np.random.default_rng([settings.seed, number, 0xD1C0])  # the writer's own stream: encodings are not anatomy
    encoding = PixelEncoding(rng.choice([e.value for e in _ENCODINGS], p=list(_ENCODINGS.values())))
    signed_16 = encoding in (PixelEncoding.SIGNED_16, PixelEncoding.SIGNED_16_ZERO)
    padding = -2000 if signed_16 and rng.random() < _PADDED_SHARE else None
    explicit = bool(rng.random() < 0.5)
    names = [_identifier(settings.seed, "slice", number, k) for k in range(len(exam.hu))]
    for k, name in enumerate(names):
        identity = _identity(settings, exam, number, name)
        placement = SlicePlacement(
            tuple(exam.positions[k].tolist()), tuple(exam.orientation.tolist()), exam.pixel_spacing
        )
        content = rsna_slice_bytes(
            exam.hu[k], identity, placement, encoding=encoding, explicit_vr=explicit, padding=padding
        )
        _write(out / IMAGES / f"{name}.dcm", content)
        if exam.masks[k].any():
            picture = io.BytesIO()
            Image.fromarray(exam.masks[k]).save(picture, format="PNG", compress_level=1)
            _write(out / "masks" / f"{name}.png", picture.getvalue())
    first = _identity(settings, exam, number, names[0])
    row = {"patient": first.patient, "study": first.study, "age": exam.age, "sex": exam.sex}
    row |= {"thickness": exam.slice_thickness, "slices": dict(zip(names, exam.labels.tolist(), strict=True))}
    write_bytes(_labels_path(out, number), json.dumps(row).encode())
    return number


def _write_tables(settings: CohortSettings, out: Path) -> None:
    rows = ["ID,Label"]
    exams = ["PatientID,StudyInstanceUID,age,sex,slice_thickness"]
    for number in range(settings.exams):
        exam = json.loads(_labels_path(out, number).read_bytes())
        exams.append(f"{exam['patient']},{exam['study']},{exam['age']},{exam['sex']},{exam['thickness']:g}")
        for name, labels in exam["slices"].items():
            for c, label in zip(CLASSES, [*labels, any(labels)], strict=True):
                rows.append(f"{name}_{c.value},{int(label)}")
    write_text(out / "exams.csv", "\n".join(exams) + "\n")
    write_text(out / f"{IMAGES}.csv", "\n".join(rows) + "\n")  # last: with it the cohort is whole
    for number in range(settings.exams):
        _labels_path(out, number).unlink()
    (out / "parts").rmdir()


def _take(out: Path, claim: dict[str, Any]) -> None:
    """Make the folder ours, or see that it is already, for exactly these settings."""
    stated = out / "phantom.json"
    if stated.exists():
        if {"patients": "emergency"} | json.loads(stated.read_bytes()) != claim:  # once there were no others
            raise OutputError(f"{out} holds a cohort made with other settings; give --out a new folder")
        return
    with explained(out):
        if out.exists() and any(out.iterdir()):
            raise OutputError(f"{out} holds other files already; give --out a new or empty folder")
        for folder in (IMAGES, "masks", "parts"):
            (out / folder).mkdir(parents=True, exist_ok=True)
    write_json(stated, claim)


def _claim(settings: CohortSettings) -> dict[str, Any]:
    return {
        "version": 1,
        "exams": settings.exams,
        "seed": settings.seed,
        "matrix": settings.matrix,
        "slices": list(settings.slices),
        "patients": settings.patients.value,
        "prevalence": {subtype.value: share for subtype, share in settings.prevalence.items()},
    }


def _identity(settings: CohortSettings, exam: PhantomExam, number: int, name: str) -> SliceIdentity:
    return SliceIdentity(
        sop_instance=name,
        series=_identifier(settings.seed, "series", number),
        study=_identifier(settings.seed, "study", number),
        patient=_identifier(settings.seed, "patient", exam.patient_number),
    )


def _identifier(*parts: object) -> str:
    """An identifier in RSNA's form: ID_ and nine hex digits."""
    return "ID_" + hashlib.sha256(repr(parts).encode()).hexdigest()[:9]


def _write(path: Path, content: bytes) -> None:
    with explained(path):
        path.write_bytes(content)


def _labels_path(out: Path, number: int) -> Path:
    return out / "parts" / f"{number:06d}.json"
