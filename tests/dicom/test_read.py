"""Reading a slice: what is right, and every kind of file that must be refused, by name."""

import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedCTImageStorage, JPEGExtended12Bit, RLELossless, SecondaryCaptureImageStorage

from ichnos.dicom import read_header, read_slice
from ichnos.errors import DicomError
from tests.dicom.ct_files import PIXELS, changed, ct_dataset, file_of


def test_a_slice_is_read_from_path_bytes_and_stream(tmp_path: Path) -> None:
    data = file_of(ct_dataset())
    path = tmp_path / "slice.dcm"
    path.write_bytes(data)
    for source in (path, data, BytesIO(data)):
        slice_ = read_slice(source)
        np.testing.assert_array_equal(slice_.hu, PIXELS - 24)
        assert slice_.hu.dtype == np.int16
        assert slice_.pixel_spacing == (0.5, 0.25)
        assert slice_.header.position == (-100, -110, 12.5)
        assert slice_.header.patient == "somebody"


def test_a_header_needs_no_pixels() -> None:
    data = file_of(ct_dataset())
    assert read_header(data[: -PIXELS.nbytes]) == read_slice(data).header


def test_identifiers_stay_out_of_the_repr() -> None:
    shown = repr(read_header(file_of(ct_dataset())))
    assert "somebody" not in shown
    assert "1.2.3" not in shown


def test_what_hu_do_not_need_may_be_odd() -> None:
    def odd(dataset: Dataset) -> None:
        for tag in (0x00281050, 0x00281051):
            dataset.add_new(tag, "DS", ["00040", "00040"])

    np.testing.assert_array_equal(read_slice(changed(odd)).hu, PIXELS - 24)


@pytest.mark.parametrize(
    ("stored", "slope", "intercept", "hu"),
    [(1000, "1.0", "-1024.0", -24), (1000, "0.5", "-1024", -524), (3, "0.5", "0", 2), (30000, "2", "0", 32767)],
)
def test_rescale(stored: int, slope: str, intercept: str, hu: int) -> None:
    dataset = ct_dataset(np.full((4, 4), stored, np.int16))
    dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
    assert (read_slice(file_of(dataset)).hu == hu).all()


def _set(**values: object) -> object:
    def change(dataset: Dataset) -> None:
        for keyword, value in values.items():
            setattr(dataset, keyword, value)

    return change


def _drop(*keywords: str) -> object:
    def change(dataset: Dataset) -> None:
        for keyword in keywords:
            delattr(dataset, keyword)

    return change


REFUSED = {
    "non-CT modality": (_set(Modality="MR"), "modality is MR, not CT"),
    "a name for a modality": (_set(Modality="SOMEBODY"), "modality is another, not CT"),
    "no modality": (_drop("Modality"), "modality is not given"),
    "MONOCHROME1": (_set(PhotometricInterpretation="MONOCHROME1"), "MONOCHROME1"),
    "colour": (_set(PhotometricInterpretation="RGB", SamplesPerPixel=3), r"colour picture \(RGB\)"),
    "a name for a colour": (_set(PhotometricInterpretation="SOMEBODY"), r"colour picture \(other\)"),
    "samples alone": (_set(PhotometricInterpretation="", SamplesPerPixel=3), r"colour picture \(3 samples a pixel\)"),
    "palette colour": (_set(PhotometricInterpretation="PALETTE COLOR"), "colour"),
    "multi-frame": (_set(NumberOfFrames=7), r"multi-frame \(7 frames\)"),
    "a name for a class": (_set(SOPClassUID="1.2.3.4"), "an object of an unknown class"),
    "enhanced CT": (_set(SOPClassUID=EnhancedCTImageStorage), "Enhanced CT Image Storage"),
    "secondary capture": (_set(SOPClassUID=SecondaryCaptureImageStorage), "Secondary Capture"),
    "localizer": (_set(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), "LOCALIZER"),
    "perfusion map": (_set(ImageType=["DERIVED", "PRIMARY", "PERFUSION", "RCBF"]), "PERFUSION"),
    "missing rescale slope": (_drop("RescaleSlope"), "HU cannot be known"),
    "missing rescale intercept": (_drop("RescaleIntercept"), "HU cannot be known"),
    "empty rescale intercept": (_set(RescaleIntercept=None), "HU cannot be known"),
    "slope zero": (_set(RescaleSlope=0), "RescaleSlope is 0"),
    "coarse steps": (_set(RescaleSlope="32.1"), "one step of its pixels is 32 HU"),
    "another unit": (_set(RescaleType="Z_EFF"), "Z_EFF, not in HU"),
    "no position": (_drop("ImagePositionPatient"), "ImagePositionPatient is missing"),
    "no orientation": (_drop("ImageOrientationPatient"), "ImageOrientationPatient is missing"),
    "no spacing": (_drop("PixelSpacing"), "PixelSpacing is missing"),
    "spacing zero": (_set(PixelSpacing=[0, 0]), "above 0"),
    "no pixels at all": (_drop("PixelData"), "no pixel data"),
    "a report": (_drop("Rows", "Columns", "BitsAllocated", "PixelData"), "send images, not reports"),
    "32 bits": (_set(BitsAllocated=32, BitsStored=32, HighBit=31), "8 or 16 bits"),
    "truncated pixels": (_set(PixelData=PIXELS.tobytes()[:1000]), "1000 of 3072 bytes"),
    "two frames' pixels": (_set(PixelData=PIXELS.tobytes() * 2), "send single slices"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    change, message = REFUSED[name]
    with pytest.raises(DicomError, match=message) as caught:
        read_slice(changed(change))  # type: ignore[arg-type]
    assert not re.search(r"1\.2\.3|somebody", str(caught.value), re.IGNORECASE), "messages hold no identifiers"


def test_a_file_cut_short_is_refused_wherever_it_is_cut() -> None:
    data = file_of(ct_dataset())
    for length in (0, 100, 132, 200, 400, 700, len(data) - PIXELS.nbytes, len(data) - 1000, len(data) - 1):
        with pytest.raises(DicomError):
            read_slice(data[:length])


def test_what_is_not_dicom_is_refused() -> None:
    with pytest.raises(DicomError, match="not a DICOM file"):
        read_slice(b"PatientID,age\n" * 100)


def test_no_read_permission_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "locked.dcm"
    path.write_bytes(file_of(ct_dataset()))

    def denied(*_args: object, **_kwargs: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("ichnos.dicom.read.dcmread", denied)  # tests may run as root, who may read everything
    with pytest.raises(DicomError, match="no permission"):
        read_slice(path)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(DicomError, match="cannot be opened"):
        read_slice(tmp_path / "absent.dcm")


def test_damaged_rle_is_refused() -> None:
    dataset = ct_dataset()
    dataset.compress(RLELossless)
    np.testing.assert_array_equal(read_slice(file_of(dataset, RLELossless)).hu, PIXELS - 24)
    fragment = dataset.PixelData
    for length in (40, len(fragment) // 2):
        dataset.PixelData = fragment[:length] + b"\xfe\xff\xdd\xe0\0\0\0\0"
        with pytest.raises(DicomError):
            read_slice(file_of(dataset, RLELossless))


def test_an_unreadable_compressed_syntax_is_named() -> None:
    dataset = ct_dataset()
    dataset.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0\x04\0\0\0\xff\xd8\xff\xd9\xfe\xff\xdd\xe0\0\0\0\0"
    dataset["PixelData"].is_undefined_length = True
    with pytest.raises(DicomError, match="JPEG Extended"):
        read_slice(file_of(dataset, JPEGExtended12Bit))
