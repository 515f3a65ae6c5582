"""Damaged files of every encoding: a slice or a clean error of ours, in time; and where damage to compressed pixels can
be told, never pixels that are not the slice's own."""

import struct
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.datadict import dictionary_VR
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    RLELossless,
)

from ichnos.ct.exams import AIR
from ichnos.ct.nifti import looks_like_nifti
from ichnos.dicom.decoder import Decoder
from ichnos.dicom.exams import find_exams, read_found_exam
from ichnos.dicom.finding import FoundFile
from ichnos.dicom.frames import read_facts
from ichnos.dicom.parsing import START_BYTES
from ichnos.dicom.pixels import read_hu
from ichnos.dicom.volumes import read_volume_exam
from ichnos.errors import DicomError, ExamError
from tests.ct.nifti_files import nifti_bytes
from tests.dicom.ct_files import file_of
from tests.dicom.head_files import compressed_by_gdcm, enhanced, head, head_datasets, stored, write
from tests.dicom.htj2k_files import htj2k_head, plain_head
from tests.dicom.test_finding import directory

SECONDS_A_FILE = 5.0
UNCOMPRESSED = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
COMPRESSED = ["RLELossless", "JPEGLSLossless", "JPEGLosslessProcess14_1", "JPEG2000Lossless"]


@lru_cache(maxsize=1)
def seeds() -> list[bytes]:
    """One slice in every encoding that can be written here, multi-frames, one without preamble, NIfTI twice."""
    files = []
    for syntax in UNCOMPRESSED:
        dataset = head_datasets()[6]
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = stored(dataset).astype(">i2").tobytes()
            dataset["PixelData"].VR = "OW"
        files.append(file_of(dataset, syntax))
    with tempfile.TemporaryDirectory() as folder:
        files += [compressed_by_gdcm(files[0], name, Path(folder)) for name in COMPRESSED]
    files.append(file_of(htj2k_head()[1], HTJ2KLossless))
    files.append(file_of(enhanced(head_datasets()[5:8])))
    files.append(compressed_multi_frame())
    files.append(files[0][132:])
    exam = head()
    affine = np.diag([-exam.pixel_spacing[1], -exam.pixel_spacing[0], 15.0, 1.0])
    files.append(nifti_bytes(exam.hu[5:8].transpose(2, 1, 0), affine))
    files.append(nifti_bytes(exam.hu[5:8].transpose(2, 1, 0), affine, packed=True))
    return files


def compressed_multi_frame() -> bytes:
    """Three slices in one file, in RLE."""
    multi = enhanced(head_datasets()[5:8])
    multi.compress(RLELossless)
    return file_of(multi, RLELossless)


def real_seeds(shared_data: Path) -> list[bytes]:
    """One slice in the syntaxes that only others can write: JPEG lossless, JPEG-LS, JPEG 2000, and lossy ones."""
    return [path.read_bytes() for path in sorted((shared_data / "transfer-syntaxes").glob("CTImage*4.*"))]


def mutated(seed: bytes, rng: np.random.Generator) -> bytes:
    """Flip bits (in the header more often than not), cut, overwrite lengths, double or drop a stretch."""
    data = bytearray(seed)
    header = min(len(data), 1400)
    for _ in range(int(rng.integers(1, 6))):
        if len(data) < 16:
            break
        within = header if rng.random() < 0.6 else len(data)
        at = int(rng.integers(0, max(min(within, len(data)) - 8, 1)))
        match int(rng.integers(0, 6)):
            case 0:
                data[at] ^= 1 << int(rng.integers(0, 8))
            case 1:
                data[at : at + 4] = struct.pack("<I", int(rng.choice([0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF])))
            case 2:
                data[at : at + 2] = rng.bytes(2)
            case 3:
                data = data[: max(at, 1)] if rng.random() < 0.3 else data
            case 4:
                data[at:at] = data[at : at + int(rng.integers(1, 60))]
            case _:
                del data[at : at + int(rng.integers(1, 60))]
    return bytes(data) or b"\0"


def survives(data: bytes, folder: Path, decoder: Decoder, truth: Sequence[NDArray[np.int16]] = ()) -> str:
    """Read one file as the reader does; what came of it. Fails where it is neither pixels nor our own error.

    truth: HU of its frames, where they are known; then it fails where a frame reads as anything else.
    """
    path = folder / "file"
    path.write_bytes(data)
    found = FoundFile(path, 1, len(data))
    begun = time.monotonic()
    try:
        start = found.read(START_BYTES)
        if looks_like_nifti(start):
            assert read_volume_exam(found).hu.min() >= AIR
            return "read"
        facts = read_facts(found, start)
        for number, frame in enumerate(facts.frames[:3]):
            hu = read_hu(frame, decoder)
            if truth:
                np.testing.assert_array_equal(hu, truth[number])
            assert hu.dtype == np.int16
            assert hu.size == frame.layout.rows * frame.layout.columns
            assert hu.min() >= AIR
        return "read" if facts.frames else "left"
    except (DicomError, ExamError):
        return "refused"
    finally:
        took = time.monotonic() - begun
        assert took < SECONDS_A_FILE + 2, f"{took:.1f} s"


def read_without_a_fault_of_ours(path: Path) -> bool:
    """Find and read what lies there; whether there are exams. What goes wrong must have been foreseen."""
    found = find_exams([path])
    assert not [each.reason for each in found.unreadable if "fault of ichnos" in each.reason]
    for exam in found.exams:
        reading = read_found_exam(exam)
        assert (reading.exam is None) == bool(reading.refusal)
        assert "fault of ichnos" not in (reading.refusal or "")
    return bool(found.exams)


def mutations(files: list[bytes], count: int, seed: int) -> Iterator[bytes]:
    rng = np.random.default_rng(seed)
    for number in range(count):
        yield mutated(files[number % len(files)], rng)


def test_three_hundred_damaged_files(tmp_path: Path) -> None:
    with Decoder() as decoder:
        outcomes = [survives(data, tmp_path, decoder) for data in mutations(seeds(), 300, seed=1)]
    assert {"read", "refused"} <= set(outcomes)


LOSSLESS = [*COMPRESSED, "HTJ2K", "multi-frame"]


def lossless(name: str, folder: Path) -> tuple[bytes, list[NDArray[np.int16]]]:
    """A file with compressed pixels, and HU of its frames."""
    match name:
        case "HTJ2K":
            return file_of(htj2k_head()[1], HTJ2KLossless), [plain_head(1) - np.int16(1024)]
        case "multi-frame":
            return compressed_multi_frame(), [*head().hu[5:8]]
        case _:
            return compressed_by_gdcm(file_of(head_datasets()[6]), name, folder), [head().hu[6]]


def with_streams(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The file with its last frame's stream changed, whole in all else."""
    dataset = dcmread(BytesIO(data))
    count = int(dataset.get("NumberOfFrames", 1))
    streams = [*generate_frames(dataset.PixelData, number_of_frames=count)]
    dataset.PixelData = encapsulate([*streams[:-1], change(streams[-1])])
    return file_of(dataset, dataset.file_meta.TransferSyntaxUID)


def damages(rng: np.random.Generator) -> Iterator[Callable[[bytes], bytes]]:
    """Damage that every syntax tells: a hole of 512 bytes, 16 to 512 bytes lost or there twice. What changes a few
    bytes and keeps their number is often told by none, see docs/reading.md."""
    for count in (512, int(rng.integers(16, 300))):
        share = rng.uniform(0.3, 0.8)

        def hole(stream: bytes, share: float = share) -> bytes:
            at = int(share * (len(stream) - 512))
            return stream[:at] + bytes(512) + stream[at + 512 :]

        def lost(stream: bytes, share: float = share, count: int = count) -> bytes:
            at = int(share * (len(stream) - count))
            return stream[:at] + stream[at + count :]

        def twice(stream: bytes, share: float = share, count: int = count) -> bytes:
            at = int(share * (len(stream) - count))
            return stream[: at + count] + stream[at:]

        yield from (hole, lost, twice)


def test_damaged_streams_give_no_pixels_that_are_not_the_slices_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    with Decoder() as decoder:
        for name in LOSSLESS:
            data, truth = lossless(name, tmp_path)
            assert survives(with_streams(data, bytes), tmp_path, decoder, truth) == "read", name
            for _ in range(3):
                for damage in damages(rng):
                    assert survives(with_streams(data, damage), tmp_path, decoder, truth) == "refused", name


@pytest.mark.slow
@pytest.mark.longest
@pytest.mark.timeout(3600)
def test_ten_thousand_damaged_files(tmp_path: Path, shared_data: Path) -> None:
    with Decoder() as decoder:
        for data in mutations([*seeds(), *real_seeds(shared_data)], 10_000, seed=2):
            survives(data, tmp_path, decoder)


def test_undamaged_seeds_are_read(tmp_path: Path) -> None:
    with Decoder() as decoder:
        assert {survives(seed, tmp_path, decoder) for seed in seeds()} == {"read"}


def test_whole_folders_of_damaged_files_raise_nothing(tmp_path: Path) -> None:
    for k, data in enumerate(mutations(seeds(), 60, seed=3)):
        (tmp_path / str(k)).write_bytes(data)
    read_without_a_fault_of_ours(tmp_path)


def test_damaged_zips_and_indexes_raise_nothing(tmp_path: Path) -> None:
    folder = write(tmp_path / "disc", head_datasets()[5:8])
    with zipfile.ZipFile(tmp_path / "seed.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"disc/{path.name}")
    seeds = [(tmp_path / "seed.zip").read_bytes(), directory([[path.name] for path in sorted(folder.iterdir())])]
    rng = np.random.default_rng(4)
    outcomes = []
    for number in range(120):
        name = "a.zip" if number % 2 == 0 else "DICOMDIR"
        data = seeds[number % 2]
        tail = data[-400:]  # where a zip's list of files is
        (folder / name).write_bytes(data[: -len(tail)] + mutated(tail, rng) if number % 4 < 2 else mutated(data, rng))
        outcomes.append(read_without_a_fault_of_ours(folder / name))
    assert {True, False} == set(outcomes)


KEYWORDS = (
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel"),
    *("NumberOfFrames", "RescaleSlope", "RescaleIntercept", "ImagePositionPatient", "ImageOrientationPatient"),
    *("PixelSpacing", "SliceThickness", "ImageType", "Modality", "PhotometricInterpretation", "PixelPaddingValue"),
    *("ConvolutionKernel", "ContrastBolusAgent", "AcquisitionNumber", "InstanceNumber", "BodyPartExamined"),
)
NUMBERS = st.sampled_from(["0", "1", "-1", "1e-9", "1e-320", "1e9", "1e308", "-1e308"])
TEXTS = st.one_of(
    st.lists(NUMBERS, min_size=2, max_size=6).map("\\".join),
    st.sampled_from(
        ["", "0", "-1", "1e400", "nan", "inf", "-inf", "1\\2", "\\", "1\\0\\0\\0\\1\\0", "CT", "99999999999999999999"]
    ),
    st.floats().map(repr),
    st.text(st.characters(max_codepoint=255), max_size=20),
)


@example(changes={"PixelSpacing": ("1\\1e308", 0)})
@given(changes=st.dictionaries(st.sampled_from(KEYWORDS), st.tuples(TEXTS, st.integers(0, 65535)), max_size=5))
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_headers_of_any_values(tmp_path: Path, changes: dict[str, tuple[str, int]]) -> None:
    """Values that no writer would write, put into the file's bytes where pydicom would not let them through."""
    dataset = head_datasets()[6]
    marks: list[tuple[bytes, bytes]] = []
    for number, (keyword, (text, whole)) in enumerate(changes.items()):
        if dictionary_VR(keyword) in ("US", "US or SS"):
            dataset.add_new(keyword, "US", whole)
            continue
        mark = f"{number}" * 24
        dataset.add_new(keyword, "LO", mark)
        marks.append((mark.encode(), text.encode("latin-1")[:24].ljust(24, b" ")))
    data = file_of(dataset, ImplicitVRLittleEndian)
    for mark, value in marks:
        data = data.replace(mark, value)
    with Decoder() as decoder:
        survives(data, tmp_path, decoder)
    read_without_a_fault_of_ours(tmp_path)
