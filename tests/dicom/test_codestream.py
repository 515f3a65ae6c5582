"""JPEG 2000 codestreams: what encoders write is let through, and holes, foreign bytes and wrong lengths are told."""

import struct
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate, get_frame

from ichnos.dicom.codestream import refuse_damaged
from ichnos.dicom.exams import read_exams
from ichnos.errors import DicomError
from tests.dicom.ct_files import file_of
from tests.dicom.head_files import compressed_by_gdcm, head_datasets
from tests.dicom.htj2k_files import FOLDER, SIGNED, UNSIGNED_12


@lru_cache(maxsize=2)
def codestream(name: str, folder: Path) -> bytes:
    """One slice of a head in JPEG 2000 as GDCM writes it, or in HTJ2K as OpenJPH does."""
    if name == "HTJ2K":
        return SIGNED[1].read_bytes()
    return frame_of(compressed_by_gdcm(file_of(head_datasets()[6]), "JPEG2000Lossless", folder))


def frame_of(data: bytes) -> bytes:
    return get_frame(dcmread(BytesIO(data), force=True).PixelData, 0, number_of_frames=1)


@pytest.fixture(params=["JPEG 2000", "HTJ2K"])
def stream(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return codestream(request.param, tmp_path_factory.getbasetemp())


def test_what_encoders_write_is_let_through(stream: bytes) -> None:
    refuse_damaged(stream)
    refuse_damaged(stream + b"\0")  # padded to even length
    for path in FOLDER.glob("*.j2c"):
        refuse_damaged(path.read_bytes())


def test_what_scanners_and_toolkits_write_is_let_through(shared_data: Path) -> None:
    folder = shared_data / "transfer-syntaxes"
    paths = [*folder.glob("CTImage.dcm_JPEG2000*"), *folder.glob("*_J2KR")]
    assert len(paths) == 4
    for path in paths:
        refuse_damaged(frame_of(path.read_bytes()))


def test_a_hole_is_told(stream: bytes) -> None:
    middle = len(stream) // 2
    with pytest.raises(DicomError, match="JPEG 2000 data are damaged"):
        refuse_damaged(stream[:middle] + bytes(512) + stream[middle + 512 :])


def test_foreign_bytes_are_told(stream: bytes) -> None:
    """Noise for most of the stream; a short one may have no forbidden pair."""
    begin, end = len(stream) // 4, len(stream) - 100
    noise = np.random.default_rng(0).bytes(end - begin)
    with pytest.raises(DicomError, match="JPEG 2000 data are damaged"):
        refuse_damaged(stream[:begin] + noise + stream[end:])


def test_a_tile_part_of_another_length_is_told(stream: bytes) -> None:
    at = stream.index(b"\xff\x90\x00\x0a") + 6
    length = struct.unpack_from(">I", stream, at)[0]
    for other in (length - 2, length + 300, 1, 2**32 - 1):
        with pytest.raises(DicomError, match="JPEG 2000"):
            refuse_damaged(stream[:at] + struct.pack(">I", other) + stream[at + 4 :])
    refuse_damaged(stream[:at] + bytes(4) + stream[at + 4 :])  # 0: to the end


@pytest.mark.parametrize("length", [4, 10, 40, 60, 90])
def test_a_header_cut_short_is_told(stream: bytes, length: int) -> None:
    with pytest.raises(DicomError, match="JPEG 2000"):
        refuse_damaged(stream[:length])


def test_a_coding_style_that_promises_millions_of_packets_is_dealt_with() -> None:
    stream = bytearray(UNSIGNED_12.read_bytes())
    at = stream.index(b"\xff\x52")
    stream[at + 4 : at + 10] = b"\xff\xff\xff\xff\xff\x05"
    refuse_damaged(bytes(stream))


def test_markers_between_packets_are_no_damage(stream: bytes) -> None:
    """A marker segment that counts packets, with a count that looks like a forbidden pair (A.8.1)."""
    style, data = stream.index(b"\xff\x52") + 4, stream.index(b"\xff\x93") + 2
    counted = bytearray(stream[:data] + b"\xff\x91\x00\x04\xff\xff" + stream[data:])
    length = stream.index(b"\xff\x90\x00\x0a") + 6
    struct.pack_into(">I", counted, length, struct.unpack_from(">I", stream, length)[0] + 6)
    with pytest.raises(DicomError, match="damaged"):
        refuse_damaged(bytes(counted))
    counted[style] |= 2
    refuse_damaged(bytes(counted))


def test_a_slice_with_a_hole_is_left_out_with_a_doubt(tmp_path: Path) -> None:
    (tmp_path / "exam").mkdir()
    for number, dataset in enumerate(head_datasets()):
        data = compressed_by_gdcm(file_of(dataset), "JPEG2000Lossless", tmp_path)
        if number == 6:
            read = dcmread(BytesIO(data))
            whole = frame_of(data)
            middle = len(whole) // 2
            read.PixelData = encapsulate([whole[:middle] + bytes(512) + whole[middle + 512 :]])
            data = file_of(read, read.file_meta.TransferSyntaxUID)
        (tmp_path / "exam" / str(number)).write_bytes(data)
    (reading,) = read_exams([tmp_path / "exam"])
    assert reading.exam is not None
    assert len(reading.exam) == 11
    assert len(reading.skipped) == 1
    assert any("JPEG 2000 data are damaged" in doubt for doubt in reading.exam.doubts)
