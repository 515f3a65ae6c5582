"""`ichnos predict` on exams as they come from scanners and exports: the same head, whichever way, the same findings."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    BasicTextSRStorage,
    DeflatedExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    RLELossless,
    SecondaryCaptureImageStorage,
)

import ichnos
from tests.dicom.ct_files import file_of
from tests.dicom.head_files import SLICES, as_series, changed, enhanced, head, head_datasets, write
from tests.dicom.htj2k_files import htj2k_head
from tests.dicom.test_exams import turned
from tests.dicom.test_finding import directory
from tests.inference.networks import patchwork
from tests.stories.predicting import (
    ALL_FORMATS,
    bundle_file,
    findings,
    good_exam,
    nifti_of,
    predict,
    summary,
    zipped,
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_file(tmp_path_factory.mktemp("bundle") / "patchwork.ichnos", patchwork())


@pytest.fixture(scope="module")
def neighbourly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a network that is shown the slice above and the one below, too: the order is part of its input."""
    path = tmp_path_factory.mktemp("bundle") / "neighbourly.ichnos"
    return bundle_file(path, patchwork(neighbours=1), neighbours=1, spacing=round(0.9 * head().slice_thickness, 1))


@pytest.fixture(scope="module")
def halfway(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that looks for neighbours halfway to the next slice: rounding alone would decide which is nearer."""
    path = tmp_path_factory.mktemp("bundle") / "halfway.ichnos"
    return bundle_file(path, patchwork(neighbours=1), neighbours=1, spacing=head(1).slice_thickness / 2)


def probabilities(found: dict) -> np.ndarray:
    """(slices, classes) from foot to head."""
    return np.array([list(each["probabilities"].values()) for each in found["slices"]])


def written(datasets: Sequence[Dataset], position: str) -> list[Dataset]:
    """With PatientPosition, and numbered from the head down: nothing of either may be trusted for the order."""
    for k, dataset in enumerate(datasets):
        dataset.PatientPosition = position
        dataset.InstanceNumber = len(datasets) - k
    return list(datasets)


def dicom(position: str, *, rows: bool = False, columns: bool = False, transpose: bool = False) -> Callable:
    def make(folder: Path, number: int) -> Path:
        datasets = [turned(d, rows=rows, columns=columns, transpose=transpose) for d in head_datasets(number)]
        return write(folder, written(datasets, position))

    return make


def nifti(axes: str, name: str) -> Callable:
    def make(folder: Path, number: int) -> Path:
        folder.mkdir()
        (folder / name).write_bytes(nifti_of(number, axes, packed=name.endswith(".gz")))
        return folder / name

    return make


def multi_frame(folder: Path, number: int) -> Path:
    folder.mkdir()
    (folder / "multi").write_bytes(file_of(enhanced(head_datasets(number), [(5 * k) % SLICES for k in range(SLICES)])))
    return folder


def dicomdir(folder: Path, number: int) -> Path:
    write(folder / "IM", head_datasets(number))
    names = [["IM", path.name.upper()] for path in sorted((folder / "IM").iterdir(), reverse=True)]
    (folder / "DICOMDIR").write_bytes(directory(names))
    return folder / "DICOMDIR"


WAYS = {
    "head first, prone": dicom("HFP", rows=True, columns=True),
    "feet first": dicom("FFS", columns=True),
    "feet first, prone": dicom("FFP", rows=True),
    "rows flipped": dicom("HFS", rows=True),
    "rows for columns": dicom("HFS", transpose=True),
    "rows for columns, flipped": dicom("HFP", rows=True, transpose=True),
    "enhanced, frames in disorder": multi_frame,
    "a DICOMDIR": dicomdir,
    "a zip": lambda folder, number: zipped(folder.with_suffix(".zip"), write(folder, head_datasets(number))),
    "NIfTI, RAS": nifti("RAS", "head.nii"),
    "NIfTI, LPS": nifti("LPS", "head.nii.gz"),
    "NIfTI, foot up": nifti("LAI", "head.nii"),
    "NIfTI, slices first": nifti("SPR", "head.nii.gz"),
}


@pytest.mark.parametrize(
    ("number", "network"),
    [(0, "bundle"), (1, "neighbourly"), (1, "halfway")],
    ids=["straight", "tilted, with neighbours", "tilted, with neighbours halfway"],
)
def test_the_same_exam_in_every_orientation_gives_the_same_findings(
    tmp_path: Path, request: pytest.FixtureRequest, number: int, network: str
) -> None:
    """Probabilities of every slice, from foot to head; positions; what is called; doubts: all as of the plain exam."""
    bundle = request.getfixturevalue(network)
    assert predict(bundle, tmp_path / "plain", write(tmp_path / "in", head_datasets(number))).exit_code == 0
    expected = findings(tmp_path / "plain")
    offsets = [each.pop("offset_mm") for each in expected["slices"]]
    assert (np.diff(offsets) > 0).all()
    for k, (way, make) in enumerate(WAYS.items()):
        out = tmp_path / f"out{k}"
        ran = predict(bundle, out, make(tmp_path / f"in{k}", number))
        assert ran.exit_code == 0, (way, ran)
        found = findings(out)
        np.testing.assert_allclose([each.pop("offset_mm") for each in found["slices"]], offsets, atol=2e-3, err_msg=way)
        assert found == expected, way


def test_findings_are_those_of_the_slices_from_foot_to_head_and_turning_them_would_show(
    tmp_path: Path, bundle: Path
) -> None:
    """What the test above rests on: this network tells slices, sides, fronts and orders apart."""
    assert predict(bundle, tmp_path / "out", good_exam(tmp_path / "in")).exit_code == 0
    found = probabilities(findings(tmp_path / "out"))
    classifier, hu = ichnos.load_bundle(bundle), head().hu
    np.testing.assert_allclose(found, classifier.read(hu).probabilities, atol=1e-6)
    for other in (hu[::-1], hu[:, ::-1], hu[:, :, ::-1], hu.transpose(0, 2, 1)):
        told = classifier.read(np.ascontiguousarray(other)).probabilities
        assert np.abs(told - found).max() > 0.02
    assert np.abs(np.diff(found, axis=0)).max(axis=1).min() > 1e-4, "two neighbours cannot be told apart"


def test_a_network_of_neighbours_sees_them_in_order_from_foot_to_head(tmp_path: Path, neighbourly: Path) -> None:
    """With the slices of the same places in another order, or without the offsets, it says something else."""
    assert predict(neighbourly, tmp_path / "out", good_exam(tmp_path / "in")).exit_code == 0
    found = probabilities(findings(tmp_path / "out"))
    exam = ichnos.read_exam(tmp_path / "in")
    classifier = ichnos.load_bundle(neighbourly)
    np.testing.assert_allclose(found, classifier.read(head().hu, exam.offsets).probabilities, atol=1e-6)
    upside_down = classifier.read(np.ascontiguousarray(exam.hu[::-1]), exam.offsets).probabilities[::-1]
    assert np.abs(upside_down - found)[1:-1].max() > 0.02
    alone = classifier.read(exam.hu, exam.offsets * 1000).probabilities
    assert np.abs(alone - found).max() > 0.02, "the neighbours were not looked at"


def test_everything_at_once_is_read_exam_by_exam(tmp_path: Path, bundle: Path) -> None:
    """A folder of two studies, a zip, a multi-frame file, a DICOMDIR, two NIfTI files, in one command."""
    good_exam(tmp_path / "folder" / "deep" / "a", study=1)
    good_exam(tmp_path / "folder" / "b", study=2)
    archive = zipped(tmp_path / "c.zip", good_exam(tmp_path / "unzipped", study=3))
    multi = tmp_path / "multi"
    multi.write_bytes(file_of(enhanced(as_series(head_datasets(), 1, study=4))))
    names = [["IM", path.name] for path in sorted(good_exam(tmp_path / "disc" / "IM", study=5).iterdir())]
    (tmp_path / "disc" / "DICOMDIR").write_bytes(directory(names))
    for name in ("one.nii", "two.nii.gz"):
        (tmp_path / name).write_bytes(nifti_of(0, "RAS", packed=name.endswith(".gz")))
    given = [tmp_path / "folder", archive, multi, tmp_path / "disc" / "DICOMDIR", tmp_path / "one.nii"]
    ran = predict(bundle, tmp_path / "out", *given, tmp_path / "two.nii.gz")
    assert ran.exit_code == 0, ran
    exams = summary(tmp_path / "out")["exams"]
    assert [exam["paths"] for exam in exams] == [[1], [1], [2], [3], [4], [5], [6]]
    assert [exam["source"] for exam in exams] == ["dicom"] * 5 + ["nifti"] * 2
    first = probabilities(findings(tmp_path / "out", 1))
    for number in range(2, 8):
        np.testing.assert_array_equal(probabilities(findings(tmp_path / "out", number)), first)


def test_a_study_as_an_export_holds_it_is_read_by_its_best_series(tmp_path: Path, bundle: Path) -> None:
    """A scout, a dose report, a capture, bone, contrast, thin slices, our own earlier results, a readme."""
    plain = write(tmp_path / "study", as_series(head_datasets(ConvolutionKernel="H31s"), 9), "plain")
    assert predict(bundle, tmp_path / "before", plain, "--format", ALL_FORMATS).exit_code == 0
    others = {
        1: head_datasets(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])[:2],
        2: head_datasets(SOPClassUID=BasicTextSRStorage, Modality="SR")[:1],
        3: head_datasets(SOPClassUID=SecondaryCaptureImageStorage, Modality="OT")[:1],
        4: head_datasets(ConvolutionKernel="H60s"),
        5: head_datasets(ConvolutionKernel="H31s", ContrastBolusAgent="Iohexol"),
        6: head_datasets(ConvolutionKernel="H31s", SliceThickness=0.6),
    }
    for series, datasets in others.items():
        write(plain, as_series(datasets, series), f"series-{series}")
    (plain / "readme.txt").write_text("of the export")
    for path in (tmp_path / "before" / "exam-001").glob("*.dcm"):
        path.rename(plain / f"earlier-{path.name}")
    ran = predict(bundle, tmp_path / "after", plain)
    assert ran.exit_code == 0, ran
    assert findings(tmp_path / "after") == findings(tmp_path / "before")
    (exam,) = summary(tmp_path / "after")["exams"]
    assert [series["reason"] for series in exam["series"] if series["taken"]] == ["the best by the rules"]
    reasons = " ".join(series["reason"] for series in exam["series"])
    for words in (
        "LOCALIZER",
        "modality SR",
        "modality KO",
        "a capture",
        "sharper kernel",
        "with contrast",
        "thickness",
    ):
        assert words in reasons, words


@pytest.mark.parametrize("syntax", ["implicit", "deflated", "rle", "htj2k"])
def test_every_road_to_pixels_ends_in_findings(tmp_path: Path, bundle: Path, syntax: str) -> None:
    match syntax:
        case "implicit":
            folder = write(tmp_path / "in", head_datasets(), syntax=ImplicitVRLittleEndian)
        case "deflated":
            folder = write(tmp_path / "in", head_datasets(), syntax=DeflatedExplicitVRLittleEndian)
        case "rle":
            datasets = changed(lambda d: d.compress(RLELossless, generate_instance_uid=False))
            folder = write(tmp_path / "in", datasets, syntax=RLELossless)
        case _:
            folder = write(tmp_path / "in", htj2k_head(), syntax=HTJ2KLossless)
    assert predict(bundle, tmp_path / "out", folder).exit_code == 0
    assert len(findings(tmp_path / "out")["slices"]) == (4 if syntax == "htj2k" else SLICES)


def test_a_real_tilted_head_is_read_whole_and_in_order(tmp_path: Path, bundle: Path, shared_data: Path) -> None:
    ran = predict(bundle, tmp_path / "out", shared_data / "ge-head-tilt")
    assert ran.exit_code == 0, ran
    found = findings(tmp_path / "out")
    offsets = [each["offset_mm"] for each in found["slices"]]
    assert len(offsets) == 28
    assert {round(gap) for gap in np.diff(offsets)} == {1, 4, 7}
    assert found["doubts"] == ["the bundle is not calibrated: probabilities and thresholds are raw"]


def test_real_chests_perfusion_and_retired_syntaxes_are_refused_with_their_reasons(
    tmp_path: Path, bundle: Path, shared_data: Path
) -> None:
    folder = shared_data / "transfer-syntaxes"
    refusals = {
        "CTImage.dcm": "not a head CT: the body in it measures",
        "CTImage.dcm_JPEGLSLossless*": "not a head CT: the body in it measures",
        "CTImage.dcm_JPEGProcess14SV1*": "not a head CT: the body in it measures",
        "CTImage.dcm_JPEGProcess6_8*": "JPEG Spectral Selection",
        "CT0012*": "its ImageType says PERFUSION",
    }
    for pattern, reason in refusals.items():
        (path,) = folder.glob(pattern)
        out = tmp_path / re.sub(r"\W", "", pattern)
        ran = predict(bundle, out, path)
        assert ran.exit_code == 1, pattern
        assert f"exam 1: refused: {reason}" in ran.stdout or reason in ran.stdout, (pattern, ran)
        assert [each.name for each in out.iterdir()] == ["summary.json"], pattern
