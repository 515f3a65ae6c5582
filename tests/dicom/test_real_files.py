"""Real files of other people: fifteen transfer syntaxes of one slice, and a whole head series with gantry tilt."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ichnos.ct import order_along_normal
from ichnos.ct.exams import AIR
from ichnos.ct.plausibility import judge
from ichnos.dicom import read_header, read_slice
from ichnos.dicom.decoder import shared_decoder
from ichnos.dicom.exams import find_exams, open_header, read_exam, read_exams, read_found_exam
from ichnos.dicom.pixels import read_hu
from ichnos.errors import DicomError, ExamError

LOSSLESS = [
    "BigEndianExplicitTransferSyntax_1.2.840.10008.1.2.2",
    "DeflatedExplicitVRLittleEndianTransferSyntax_1.2.840.10008.1.2.1.99",
    "JPEG2000LosslessOnlyTransferSyntax_1.2.840.10008.1.2.4.90",
    "JPEGLSLosslessTransferSyntax_1.2.840.10008.1.2.4.80",
    "JPEGProcess14SV1TransferSyntax_1.2.840.10008.1.2.4.70",
    "JPEGProcess14TransferSyntax_1.2.840.10008.1.2.4.57",
    "LittleEndianExplicitTransferSyntax_1.2.840.10008.1.2.1",
    "LittleEndianImplicitTransferSyntax_1.2.840.10008.1.2",
    "RLELosslessTransferSyntax_1.2.840.10008.1.2.5",
]
NEARLY_LOSSLESS = [
    "JPEG2000TransferSyntax_1.2.840.10008.1.2.4.91",
    "JPEGLSLossyTransferSyntax_1.2.840.10008.1.2.4.81",
]
UNREADABLE = {
    "JPEGProcess10_12TransferSyntax_1.2.840.10008.1.2.4.55": "JPEG Full Progression",
    "JPEGProcess6_8TransferSyntax_1.2.840.10008.1.2.4.53": "JPEG Spectral Selection",
    "JPEGProcess2_4TransferSyntax_1.2.840.10008.1.2.4.51": "JPEG Extended",
    "JPEGProcess1TransferSyntax_1.2.840.10008.1.2.4.50": "one step of its pixels is 32 HU",
}


@pytest.fixture(scope="module")
def syntaxes(shared_data: Path) -> Path:
    return shared_data / "transfer-syntaxes"


@pytest.fixture(scope="module")
def plain(syntaxes: Path) -> NDArray[np.int16]:
    return read_slice(syntaxes / "CTImage.dcm").hu


def test_the_plain_file_is_what_it_was(plain: NDArray[np.int16]) -> None:
    assert (plain.min(), plain.max()) == (-2000 - 1024, 2402 - 1024)
    assert plain.sum(dtype=np.int64) == 19640763 - 1024 * 512 * 512


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_lossless_variants_are_the_same_pixels(syntaxes: Path, plain: NDArray[np.int16], syntax: str) -> None:
    np.testing.assert_array_equal(read_slice(syntaxes / f"CTImage.dcm_{syntax}.dcm").hu, plain)


@pytest.mark.parametrize("syntax", NEARLY_LOSSLESS)
def test_lossy_variants_are_close(syntaxes: Path, plain: NDArray[np.int16], syntax: str) -> None:
    difference = read_slice(syntaxes / f"CTImage.dcm_{syntax}.dcm").hu.astype(int) - plain
    assert np.abs(difference).mean() < 15


@pytest.mark.parametrize("syntax", UNREADABLE)
def test_what_cannot_be_decoded_is_named(syntaxes: Path, syntax: str) -> None:
    with pytest.raises(DicomError, match=UNREADABLE[syntax]):
        read_slice(syntaxes / f"CTImage.dcm_{syntax}.dcm")


@pytest.mark.parametrize("syntax", [each for each in LOSSLESS if "JPEG" in each or "RLE" in each or "Deflated" in each])
def test_compressed_files_cut_short_are_refused(syntaxes: Path, syntax: str) -> None:
    data = (syntaxes / f"CTImage.dcm_{syntax}.dcm").read_bytes()
    for share in (0.3, 0.9):
        with pytest.raises(DicomError):
            read_slice(data[: int(len(data) * share)])


def test_a_perfusion_map_is_refused(syntaxes: Path) -> None:
    with pytest.raises(DicomError, match="not a single CT slice"):
        read_header(syntaxes / "CT0012.fragmented_no_bot_jpeg_baseline.51.dcm")


@pytest.mark.parametrize("name", ["CT1_J2KR", "CT2_J2KR"])
def test_nema_samples_are_read(syntaxes: Path, name: str) -> None:
    hu = read_slice(syntaxes / name).hu
    assert hu.shape == (512, 512)
    assert hu.min() < -900
    assert 1000 < hu.max() < 3000


def test_a_tilted_head_is_whole_and_in_order(shared_data: Path) -> None:
    headers = [read_header(path) for path in sorted((shared_data / "ge-head-tilt").glob("*.dcm"))]
    order, offsets = order_along_normal(
        np.array([header.position for header in headers]), np.array([header.orientation for header in headers])
    )
    gaps = np.diff(offsets[order])
    assert len(headers) == 28
    assert len({header.series for header in headers}) == 1
    assert all(header.is_axial for header in headers)
    assert headers[0].tilt == pytest.approx(18.5, abs=0.1)
    for gap in gaps:
        assert np.min(np.abs(gap - np.array([1.08, 4.00, 7.00]))) < 0.02


def test_a_tilted_head_reads_as_hu(shared_data: Path) -> None:
    hu = read_slice(shared_data / "ge-head-tilt" / "14.dcm").hu
    assert hu.min() == -1024, "GE's padding, declared as −1500, is air"
    assert 20 < np.median(hu[206:306, 206:306]) < 50, "the middle of the head is brain"


def test_a_tilted_head_is_one_exam_without_a_doubt(shared_data: Path) -> None:
    exam = read_exam(shared_data / "ge-head-tilt")
    assert exam.hu.shape == (28, 512, 512)
    assert exam.hu.min() == AIR, "GE's padding is air"
    assert exam.doubts == ()
    assert exam.tilt == pytest.approx(18.5, abs=0.1)
    assert sorted({round(float(gap), 2) for gap in exam.gaps}) == pytest.approx([1.08, 4.0, 7.0], abs=0.02)
    assert [open_header(r).InstanceNumber for r in exam.references] == list(range(1, 29))


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_lossless_variants_decode_alike_in_the_reader(syntaxes: Path, plain: NDArray[np.int16], syntax: str) -> None:
    (exam,) = find_exams([syntaxes / f"CTImage.dcm_{syntax}.dcm"]).exams
    hu = read_hu(exam.series[0].frames[0], shared_decoder())
    np.testing.assert_array_equal(hu, np.maximum(plain, AIR))
    assert (read_found_exam(exam).refusal or "").startswith("not a head CT: the body in it measures")


@pytest.mark.parametrize("syntax", UNREADABLE)
def test_what_no_decoder_reads_is_named_by_the_reader(syntaxes: Path, syntax: str) -> None:
    (reading,) = read_exams([syntaxes / f"CTImage.dcm_{syntax}.dcm"])
    assert UNREADABLE[syntax] in (reading.refusal or "")


def test_the_reader_refuses_a_perfusion_map_and_reads_a_nema_head(syntaxes: Path) -> None:
    (perfusion,) = read_exams([syntaxes / "CT0012.fragmented_no_bot_jpeg_baseline.51.dcm"])
    assert perfusion.refusal == "its ImageType says PERFUSION"
    (body,) = read_exams([syntaxes / "CT1_J2KR"])
    assert (body.refusal or "").startswith("not a head CT")
    assert len(read_exam(syntaxes / "CT2_J2KR")) == 1


def test_real_heads_of_all_ages_pass_for_heads(shared_data: Path) -> None:
    """ct-ich's 82 patients, 27 of them under 18, from pictures: HU as their README gives them."""
    image = pytest.importorskip("PIL.Image")
    for patient in sorted((shared_data / "ct-ich" / "Patients_CT").iterdir())[::6]:
        hu = _picture_stack(image, patient)
        judge(hu, (0.38, 0.38), coverage=5.0 * len(hu))


def _picture_stack(image, patient: Path) -> NDArray[np.int16]:  # type: ignore[no-untyped-def]
    names = sorted((p.name for p in (patient / "bone").glob("*.jpg")), key=lambda name: int(name.split(".")[0]))
    return np.stack([_hu_of_pictures(image, patient, name) for name in names if (patient / "brain" / name).exists()])


def _hu_of_pictures(image, patient: Path, name: str) -> NDArray[np.int16]:  # type: ignore[no-untyped-def]
    brain, bone = (np.asarray(image.open(patient / w / name).convert("L"), float) for w in ("brain", "bone"))
    fine, coarse = 120 / 255 * brain - 20, 3200 / 255 * bone - 900
    hu = np.where(brain >= 250, np.maximum(coarse, 95), np.where(brain <= 4, np.minimum(coarse, -20), fine))
    hu[:10] = hu[-10:] = hu[:, :10] = hu[:, -10:] = -1000
    return np.rint(hu).astype(np.int16)


@pytest.mark.parametrize(
    "window", [(-929, 3071), (-900, 3071), (-700, 3071), (-250, 3071), (-1024, 140), (-20, 100), (0, 80), (-900, 140)]
)
def test_a_real_head_clipped_anywhere_is_read_with_where(shared_data: Path, window: tuple[int, int]) -> None:
    exam = read_exam(shared_data / "ge-head-tilt")
    doubts = judge(np.clip(exam.hu, *window), exam.pixel_spacing, 130.0)
    assert [doubt.split(" HU:")[0] for doubt in doubts] == [
        *([f"it is clipped below at {window[0]}"] if window[0] > AIR else []),
        *([f"it is clipped above at {window[1]}"] if window[1] < 3071 else []),
    ]


@pytest.mark.parametrize("window", [(-900, 3071), (-250, 3071), (-20, 100), (0, 80), (-1024, 100)])
@pytest.mark.parametrize("name", ["CTImage.dcm", "CT1_J2KR"])
def test_a_real_body_is_refused_however_it_is_clipped(syntaxes: Path, name: str, window: tuple[int, int]) -> None:
    body = read_slice(syntaxes / name)
    with pytest.raises(ExamError, match="not a head CT"):
        judge(np.clip(body.hu, *window)[None], body.pixel_spacing, 5.0)


@pytest.mark.parametrize("window", [(-900, 2300), (-20, 100)])
def test_real_heads_of_all_ages_are_read_as_their_pictures_are_clipped(
    shared_data: Path, window: tuple[int, int]
) -> None:
    """Their bone pictures begin at −900 HU, their brain pictures hold −20 to 100."""
    image = pytest.importorskip("PIL.Image")
    for patient in sorted((shared_data / "ct-ich" / "Patients_CT").iterdir())[::12]:
        doubts = judge(np.clip(_picture_stack(image, patient), *window), (0.38, 0.38), 160.0)
        assert f"it is clipped below at {window[0]} HU" in doubts[0]
