"""Damaged files of every encoding: the pixels that lie in the file, or a clean error of ours, in time; and where damage
to compressed pixels can be told, never pixels that are not the slice's own."""

import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    RLELossless,
)

from ichnos.dicom.decoder import Decoder
from ichnos.dicom.finding import FoundFile
from ichnos.dicom.frames import Frame, read_facts
from ichnos.dicom.parsing import START_BYTES
from ichnos.dicom.pixels import needs_decoder, read_hu
from ichnos.errors import DicomError
from tests.ct.nifti_files import nifti_bytes
from tests.dicom.ct_files import file_of
from tests.dicom.damage import Damaged, Kind, Seed, damaged, damaged_files
from tests.dicom.head_files import compressed_by_gdcm, enhanced, head, head_datasets, stored, write
from tests.dicom.htj2k_files import htj2k_head, plain_head
from tests.dicom.surviving import TimedDecoder, read_without_a_fault_of_ours, survives, survives_damage
from tests.dicom.test_finding import directory

UNCOMPRESSED = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
COMPRESSED = ["RLELossless", "JPEGLSLossless", "JPEGLosslessProcess14_1", "JPEG2000Lossless"]


@lru_cache(maxsize=1)
def seeds() -> list[Seed]:
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
    return [*dicom_seeds(files), *nifti_seeds()]


def nifti_seeds() -> list[Seed]:
    exam = head()
    affine = np.diag([-exam.pixel_spacing[1], -exam.pixel_spacing[0], 15.0, 1.0])
    values = exam.hu[5:8].transpose(2, 1, 0)
    plain = nifti_bytes(values, affine)
    kinds: tuple[tuple[bytes, Kind], ...] = (
        (plain, "plain"),
        (nifti_bytes(values, affine, packed=True), "packed"),
    )
    begin = len(plain) - values.nbytes
    return [Seed(data, kind, begin if kind == "plain" else 0, truth=(exam.hu[5:8],)) for data, kind in kinds]


def dicom_seeds(files: Sequence[bytes]) -> Iterator[Seed]:
    """With what the whole files hold, by the reader; that this is right is what the other tests of it see to."""
    with Decoder() as decoder, tempfile.TemporaryDirectory() as folder:
        for data in files:
            path = Path(folder) / "file"
            path.write_bytes(data)
            found = FoundFile(path, 1, len(data))
            frames = read_facts(found, found.read(START_BYTES)).frames[:3]
            if not frames:  # its rescale is beyond what is read
                yield Seed(data, "compressed", 0)
                continue
            try:
                truth = tuple(read_hu(frame, decoder) for frame in frames)
            except DicomError:  # one of the retired syntaxes, which nobody reads
                yield Seed(data, "compressed", frames[0].pixels_at)
                continue
            if frames[0].syntax == DeflatedExplicitVRLittleEndian:
                yield Seed(data, "packed", 0, truth=truth)
            elif needs_decoder(frames[0]):
                cells = tuple(decoder.decode(found, frame.number, frame.layout) for frame in frames)
                yield Seed(data, "compressed", frames[0].pixels_at + 12, cells, truth)
            else:
                yield Seed(data, "plain", len(data) - frames[0].layout.byte_count * len(frames), truth=truth)


def compressed_multi_frame() -> bytes:
    """Three slices in one file, in RLE."""
    multi = enhanced(head_datasets()[5:8])
    multi.compress(RLELossless)
    return file_of(multi, RLELossless)


def real_seeds(shared_data: Path) -> list[Seed]:
    """One slice in the syntaxes that only others can write: JPEG lossless, JPEG-LS, JPEG 2000, and lossy ones."""
    return [*dicom_seeds([p.read_bytes() for p in sorted((shared_data / "transfer-syntaxes").glob("CTImage*4.*"))])]


def test_three_hundred_damaged_files(tmp_path: Path) -> None:
    outcomes: Counter[tuple[str, bool, bool, bool]] = Counter()
    with TimedDecoder() as decoder:
        for file in damaged_files(seeds(), 300, seed=1):
            came_of_it = survives_damage(file, tmp_path, decoder)
            outcomes[came_of_it, file.header, file.pixels, file.lost] += 1
    assert outcomes["read", True, False, False] > 3
    assert outcomes["read", False, True, False] > 10
    assert outcomes["refused", True, False, False] > 10
    assert outcomes["refused", False, False, True] > 0


@pytest.mark.parametrize("share", [0.01, 0.5, 0.98])
def test_files_cut_within_their_pixels_are_refused(tmp_path: Path, share: float) -> None:
    """Every frame of those that lie before the cut is its own; the last is refused."""
    with TimedDecoder() as decoder:
        for number, seed in enumerate(seeds()):
            file = Damaged(seed, bytearray(seed.data), seed.begin)
            file.cut(seed.begin + int((len(seed.data) - seed.begin) * share))
            assert survives_damage(file, tmp_path, decoder) == "refused", number


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
    with TimedDecoder() as decoder:
        for name in LOSSLESS:
            data, truth = lossless(name, tmp_path)

            def own(hu: NDArray[np.int16], frame: Frame | None, truth: Sequence[NDArray[np.int16]] = truth) -> None:
                np.testing.assert_array_equal(hu, truth[((frame and frame.number) or 1) - 1])

            assert survives(with_streams(data, bytes), tmp_path, decoder, own) == "read", name
            for _ in range(3):
                for damage in damages(rng):
                    assert survives(with_streams(data, damage), tmp_path, decoder, own) == "refused", name


@pytest.mark.slow
@pytest.mark.longest
@pytest.mark.timeout(3600)
def test_ten_thousand_damaged_files(tmp_path: Path, shared_data: Path) -> None:
    with TimedDecoder() as decoder:
        for file in damaged_files([*seeds(), *real_seeds(shared_data)], 10_000, seed=2):
            survives_damage(file, tmp_path, decoder)


def test_undamaged_seeds_are_read(tmp_path: Path) -> None:
    with TimedDecoder() as decoder:
        for seed in seeds():
            assert survives_damage(Damaged(seed, bytearray(seed.data), seed.begin), tmp_path, decoder) == "read"


def test_whole_folders_of_damaged_files_raise_nothing(tmp_path: Path) -> None:
    for k, file in enumerate(damaged_files(seeds(), 60, seed=3)):
        (tmp_path / str(k)).write_bytes(file.data)
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
        (folder / name).write_bytes(data[: -len(tail)] + _damaged(tail, rng) if number % 4 < 2 else _damaged(data, rng))
        outcomes.append(read_without_a_fault_of_ours(folder / name))
    assert {True, False} == set(outcomes)


def _damaged(data: bytes, rng: np.random.Generator) -> bytes:
    return bytes(damaged(Seed(data, "packed", 0), rng).data) or b"\0"
