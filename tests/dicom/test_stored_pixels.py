"""How a file may store its pixels, compressed or not: HU come out of every way, or it is refused."""

from collections.abc import Callable
from io import BytesIO
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import (
    HTJ2K,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    RLELossless,
)

from ichnos.ct.exams import AIR
from ichnos.dicom import parsing, read_slice
from ichnos.dicom.decoder import shared_decoder
from ichnos.dicom.exams import find_exams, read_exam
from ichnos.dicom.pixels import read_hu
from ichnos.errors import DicomError
from tests.dicom.ct_files import ct_dataset, file_of
from tests.dicom.head_files import (
    changed,
    compressed_by_gdcm,
    enhanced,
    head,
    head_datasets,
    stored,
    write,
)
from tests.dicom.htj2k_files import LOSSY_12, SIGNED, UNSIGNED_12, holding, htj2k_head, plain_head
from tests.dicom.test_exams import reading, same


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian], ids=lambda s: s.name
)
def test_uncompressed_syntaxes(tmp_path: Path, syntax: object) -> None:
    datasets = head_datasets()
    if syntax == ExplicitVRBigEndian:
        for dataset in datasets:
            dataset.PixelData = stored(dataset).astype(">i2").tobytes()
            dataset["PixelData"].VR = "OW"
    assert same(read_exam(write(tmp_path, datasets, syntax=syntax)))


def test_a_deflated_bomb_is_not_inflated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "most_unpacked", lambda packed: 2 * packed)
    datasets = changed(lambda d: setattr(d, "PixelData", bytes(8192)))
    found = find_exams([write(tmp_path, datasets, syntax=DeflatedExplicitVRLittleEndian)])
    assert found.exams == ()
    assert "inflates beyond all measure" in found.unreadable[0].reason


def test_compressed_slices_are_decoded_elsewhere(tmp_path: Path) -> None:
    datasets = head_datasets()
    for dataset in datasets:
        dataset.compress(RLELossless, generate_instance_uid=False)
    assert same(read_exam(write(tmp_path, datasets, syntax=RLELossless)))


JPEGS = ["JPEGLSLossless", "JPEGLosslessProcess14", "JPEGLosslessProcess14_1", "JPEG2000Lossless"]


@pytest.mark.parametrize("name", JPEGS)
def test_lossless_jpegs(tmp_path: Path, name: str) -> None:
    (tmp_path / "exam").mkdir()
    for k, dataset in enumerate(head_datasets()):
        (tmp_path / "exam" / str(k)).write_bytes(compressed_by_gdcm(file_of(dataset), name, tmp_path))
    assert same(read_exam(tmp_path / "exam"))


def test_high_throughput_jpeg_2000(tmp_path: Path) -> None:
    exam = read_exam(write(tmp_path, htj2k_head(), syntax=HTJ2KLossless))
    np.testing.assert_array_equal(exam.hu, np.stack([plain_head(k) - 1024 for k in range(4)]))


@pytest.mark.parametrize(
    ("codestream", "syntax", "within"),
    [(UNSIGNED_12, HTJ2KLosslessRPCL, 0), (LOSSY_12, HTJ2K, 3)],
    ids=["lossless", "lossy"],
)
def test_high_throughput_jpeg_2000_of_12_bits(tmp_path: Path, codestream: Path, syntax: UID, within: int) -> None:
    dataset = ct_dataset(plain_head(1))
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation, dataset.RescaleIntercept = 12, 11, 0, -1024
    data = file_of(holding(dataset, codestream.read_bytes()), syntax)
    (tmp_path / "slice").write_bytes(data)
    (found,) = find_exams([tmp_path]).exams
    for hu in (read_slice(data).hu, read_hu(found.series[0].frames[0], shared_decoder())):
        assert np.abs(hu - (plain_head(1) - 1024)).max() <= within


def test_a_htj2k_codestream_that_stops_is_refused(tmp_path: Path) -> None:
    datasets = [
        holding(d, path.read_bytes()[:-900] + b"\xff\xd9") for d, path in zip(htj2k_head(), SIGNED, strict=True)
    ]
    assert "cannot be read" in (reading(write(tmp_path, datasets, syntax=HTJ2KLossless)).refusal or "")


@pytest.mark.parametrize(("name", "end"), [*product(JPEGS, [b"", b"\xff\xd9"]), ("RLELossless", b"")])
def test_a_compressed_stream_that_stops_is_refused_and_never_filled_with_zeros(
    tmp_path: Path, name: str, end: bytes
) -> None:
    """With the mark of a stream's end, too: libjpeg then makes up the rows that are missing."""
    (tmp_path / "exam").mkdir()
    for k, dataset in enumerate(head_datasets()):
        data = compressed_by_gdcm(file_of(dataset), name, tmp_path)
        whole = dcmread(BytesIO(data))
        whole.PixelData = encapsulate([get_frame(whole.PixelData, 0, number_of_frames=1)[:-500] + end])
        (tmp_path / "exam" / str(k)).write_bytes(file_of(whole, whole.file_meta.TransferSyntaxUID))
    assert "cannot be read" in (reading(tmp_path / "exam").refusal or "")


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, None])
def test_files_without_the_dicm_mark(tmp_path: Path, syntax: object) -> None:
    """Bare data sets, as some PACS export them: implicit VR, or explicit VR with nothing that says so."""
    for k, dataset in enumerate(head_datasets()):
        data = file_of(dataset, syntax or dataset.file_meta.TransferSyntaxUID)
        length = int.from_bytes(data[140:144], "little")
        (tmp_path / f"{k}").write_bytes(data[144 + length :])
    assert same(read_exam(tmp_path))


def test_files_without_the_mark_but_with_meta_header(tmp_path: Path) -> None:
    for k, dataset in enumerate(head_datasets()):
        (tmp_path / f"{k}").write_bytes(file_of(dataset)[132:])
    assert same(read_exam(tmp_path))


WAYS = [(b, s, i) for b, s in ((16, 1), (12, 0), (16, 0), (12, 1)) for i in (0, -1000, -1024)]
WAYS.remove((16, 0, 0))  # HU below 0 do not fit


@pytest.mark.parametrize(("bits", "signed", "intercept"), WAYS)
def test_ways_to_store_hu(tmp_path: Path, intercept: int, bits: int, signed: int) -> None:
    lowest, highest = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    wrapped = bits == 12 and not signed and intercept == 0
    expected = np.clip(head().hu, *(-1000, 3095) if wrapped else (lowest + intercept, highest + intercept))
    datasets = head_datasets(BitsStored=bits, HighBit=bits - 1, PixelRepresentation=signed, RescaleIntercept=intercept)
    for k, dataset in enumerate(datasets):
        values = expected[k].astype(int) - intercept
        dataset.PixelData = (values & 0xFFF if wrapped else values).astype("<u2" if not signed else "<i2").tobytes()
    exam = read_exam(write(tmp_path, datasets))
    np.testing.assert_array_equal(exam.hu, np.maximum(expected, AIR))
    assert any("lost their sign" in doubt for doubt in exam.doubts) == wrapped


@pytest.mark.parametrize(("padding", "limit"), [(-2000, None), (-3000, -2500), (2000, None)])
def test_padding_becomes_air(tmp_path: Path, padding: int, limit: int | None) -> None:
    rows, columns = np.mgrid[:64, :64] - 31.5
    outside = rows**2 + columns**2 > 32**2
    datasets = head_datasets()
    for dataset in datasets:
        values = stored(dataset).copy()
        values[outside] = padding
        if limit is not None:
            values[0] = limit
        dataset.PixelData = values.tobytes()
        dataset.add_new(0x00280120, "SS", padding)
        if limit is not None:
            dataset.add_new(0x00280121, "SS", limit)
    exam = read_exam(write(tmp_path, datasets))
    assert (exam.hu[:, outside] == AIR).all()
    np.testing.assert_array_equal(exam.hu[:, ~outside][:, 60:], head().hu[:, ~outside][:, 60:])


def test_monochrome1_by_the_standard_is_read_as_it_is(tmp_path: Path) -> None:
    exam = read_exam(write(tmp_path, head_datasets(PhotometricInterpretation="MONOCHROME1")))
    assert same(exam)
    assert any("read as they are" in doubt for doubt in exam.doubts)


def test_monochrome1_with_inverted_values_is_turned_back(tmp_path: Path) -> None:
    datasets = head_datasets(PhotometricInterpretation="MONOCHROME1", BitsStored=12, HighBit=11, PixelRepresentation=0)
    for dataset in datasets:
        dataset.PixelData = (4095 - stored(dataset)).astype("<u2").tobytes()
    exam = read_exam(write(tmp_path, datasets))
    assert same(exam)
    assert any("inverted, which was mended" in doubt for doubt in exam.doubts)


def test_jpeg_that_libjpeg_would_mend_is_refused_in_training_too(tmp_path: Path) -> None:
    """It goes on with pixels that it makes up, and says so on standard error alone."""
    whole = compressed_by_gdcm(
        file_of(ct_dataset(np.arange(64 * 64, dtype=np.int16).reshape(64, 64))), "JPEGLosslessProcess14_1", tmp_path
    )
    np.testing.assert_array_equal(read_slice(whole).hu, np.arange(64 * 64).reshape(64, 64) - 24)
    scan = whole.rindex(b"\xff\xda") + 10
    refused = 0
    for at in range(scan, len(whole) - 20, 40):
        damaged = whole[:at] + b"\xff\xd9" + whole[at + 2 :]  # its end, where its middle should be
        try:
            read_slice(damaged)
        except DicomError as error:
            refused += "a decoder would make up the rest" in str(error)
    assert refused > 10


def test_a_compressed_file_that_names_no_syntax_is_refused(tmp_path: Path) -> None:
    datasets = head_datasets()
    for k, dataset in enumerate(datasets):
        dataset.compress(RLELossless, generate_instance_uid=False)
        data = file_of(dataset, RLELossless)
        length = int.from_bytes(data[140:144], "little")
        (tmp_path / str(k)).write_bytes(data[144 + length :])
    assert "no transfer syntax" in (reading(tmp_path).refusal or "")


@pytest.mark.parametrize(("keyword", "value"), [("Rows", 63), ("Columns", 63), ("Rows", 60), ("Columns", 40)])
def test_pixels_that_the_header_does_not_take_up_are_refused(keyword: str, value: int) -> None:
    """With one column less the slice would be sheared."""
    data = file_of(changed(lambda d: setattr(d, keyword, value), head_datasets()[6:7])[0])
    with pytest.raises(DicomError, match="cells of 16 bits take"):
        read_slice(data)


@pytest.mark.parametrize(("keyword", "value"), [("Rows", 63), ("Columns", 63)])
def test_frames_that_the_header_does_not_take_up_are_refused(tmp_path: Path, keyword: str, value: int) -> None:
    multi = changed(lambda d: setattr(d, keyword, value), [enhanced(head_datasets())])
    (exam,) = find_exams([write(tmp_path, multi)]).exams
    with pytest.raises(DicomError, match="12 frames of"):
        read_hu(exam.series[0].frames[0], shared_decoder())


@pytest.mark.parametrize(
    ("behind", "readable"),
    [(b"", True), (bytes(512), True), (b"\xfc\xff\xfc\xffOB\0\0\2\0\0\0\0\0", True), (b"\x20\x04" * 8, False)],
    ids=["nothing", "zeros", "trailing padding", "pixels"],
)
def test_what_may_follow_the_pixels(tmp_path: Path, behind: bytes, readable: bool) -> None:
    (tmp_path / "slice").write_bytes(file_of(head_datasets()[6]) + behind)
    (exam,) = find_exams([tmp_path]).exams
    frame = exam.series[0].frames[0]
    if readable:
        np.testing.assert_array_equal(read_hu(frame, shared_decoder()), head().hu[6])
    else:
        with pytest.raises(DicomError, match="more bytes follow its pixels"):
            read_hu(frame, shared_decoder())


def test_compressed_rows_that_sank_below_air_are_refused(tmp_path: Path) -> None:
    """As they do in JPEG lossless after one false difference; rows of padding alone may lie there."""

    def read_with(change: Callable[[NDArray[np.int16]], object]) -> NDArray[np.int16]:
        dataset = head_datasets()[6]
        values = stored(dataset).copy()
        change(values)
        dataset.PixelData = values.tobytes()
        (tmp_path / "slice").write_bytes(compressed_by_gdcm(file_of(dataset), "JPEGLosslessProcess14_1", tmp_path))
        (exam,) = find_exams([tmp_path / "slice"]).exams
        return read_hu(exam.series[0].frames[0], shared_decoder())

    def sink(values: NDArray[np.int16]) -> None:
        values[30:] -= 9000

    def pad(values: NDArray[np.int16]) -> None:
        values[:5] = -2000

    with pytest.raises(DicomError, match="below air"):
        read_with(sink)
    assert (read_with(pad)[:5] == AIR).all()
