"""Exams, a bundle and `ichnos predict` for stories: small heads, a tiny network, everything as the command does it."""

import json
import zipfile
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import onnx
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from ichnos.inference import write_bundle
from tests.ct.nifti_files import nifti_bytes
from tests.dicom.head_files import as_series, head, head_datasets, nifti_affine, write
from tests.inference.networks import manifest
from tests.stories.running import Ran, ichnos

ALL_FORMATS = "json,sr,key-objects,heatmap,html"


def bundle_file(path: Path, network: onnx.ModelProto, neighbours: int = 0, spacing: float = 5.0) -> Path:
    """A bundle of a tiny network; neighbours, spacing: the slices to each side that it is shown, and mm between."""
    write_bundle(path, manifest(None, "all", neighbours, spacing), network.SerializeToString(), "card")
    return path


def predict(bundle: Path, out: Path, *words: object) -> Ran:
    """Run `ichnos predict words... --out out --bundle bundle`."""
    return ichnos("predict", *map(str, words), "--out", str(out), "--bundle", str(bundle))


def findings(out: Path, number: int = 1) -> dict[str, Any]:
    """findings.json of an exam."""
    return json.loads((out / f"exam-{number:03d}" / "findings.json").read_text())


def summary(out: Path) -> dict[str, Any]:
    """summary.json."""
    return json.loads((out / "summary.json").read_text())


def good_exam(folder: Path, study: int = 1) -> Path:
    """A folder of one head that can be read, in a study of its own."""
    return write(folder, as_series(head_datasets(), 1, study))


def zipped(path: Path, folder: Path, prefix: str = "") -> Path:
    """A zip of a folder's files; prefix: of their names in it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for each in sorted(folder.iterdir()):
            archive.writestr(f"{prefix}{each.name}", each.read_bytes())  # `write` would mend the name
    return path


def nifti_of(number: int, axes: str, *, packed: bool = False) -> bytes:
    """A head as a NIfTI file whose array runs along `axes`, such as RAS; reoriented by nibabel, another hand."""
    exam = head(number)
    affine = nifti_affine(exam)
    image = nibabel.Nifti1Image(exam.hu.transpose(2, 1, 0), affine)
    turned = image.as_reoriented(ornt_transform(io_orientation(image.affine), axcodes2ornt(axes)))
    assert nibabel.aff2axcodes(turned.affine) == tuple(axes)
    return nifti_bytes(np.asanyarray(turned.dataobj), turned.affine, packed=packed)
