"""Open a DICOM file and make sure that it is a CT slice in Hounsfield units; everything else is refused by reason."""

from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom import config, dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, CTImageStorage

from ichnos.dicom.decode import PixelLayout, stored_values
from ichnos.dicom.decoder import FileInMemory, shared_decoder
from ichnos.dicom.elements import number, numbers, pixel_value, text, texts, whole_number
from ichnos.dicom.hounsfield import Padding, Rescale, to_hu
from ichnos.dicom.orientation import is_axial, is_transposed, tilt_degrees, turn_upright
from ichnos.dicom.shown import PHOTOMETRIC, UNITS, shown_code, shown_modality
from ichnos.errors import DicomError

_IMAGE_TYPE, _SOP_CLASS, _SOP_INSTANCE, _MODALITY = 0x00080008, 0x00080016, 0x00080018, 0x00080060
_PATIENT, _SEX, _AGE = 0x00100020, 0x00100040, 0x00101010
_THICKNESS = 0x00180050
_STUDY, _SERIES, _POSITION, _ORIENTATION = 0x0020000D, 0x0020000E, 0x00200032, 0x00200037
_SAMPLES, _PHOTOMETRIC, _FRAMES, _SPACING = 0x00280002, 0x00280004, 0x00280008, 0x00280030
_ROWS, _COLUMNS = 0x00280010, 0x00280011
_ALLOCATED, _STORED, _HIGH, _SIGN = 0x00280100, 0x00280101, 0x00280102, 0x00280103
_PADDING, _PADDING_LIMIT = 0x00280120, 0x00280121
_INTERCEPT, _SLOPE, _RESCALE_TYPE = 0x00281052, 0x00281053, 0x00281054
_PIXEL_DATA = 0x7FE00010

_HEADER_TAGS = [
    *(_IMAGE_TYPE, _SOP_CLASS, _SOP_INSTANCE, _MODALITY, _PATIENT, _SEX, _AGE, _THICKNESS, _STUDY, _SERIES, _POSITION),
    *(_ORIENTATION, _SAMPLES, _PHOTOMETRIC, _FRAMES, _SPACING, _ROWS, _COLUMNS, _ALLOCATED, _STORED, _HIGH, _SIGN),
    *(_INTERCEPT, _SLOPE, _RESCALE_TYPE),
]


@dataclass(frozen=True)
class SliceHeader:
    """What is known of a CT slice before its pixels are read. Identifiers stay out of its repr, and so out of logs.

    position: ImagePositionPatient, mm. orientation: ImageOrientationPatient, the directions along a row and down a
    column. pixel_spacing: mm between rows, mm between columns. thickness in mm, age in years, None where not given.
    """

    sop_instance: str = field(repr=False)
    series: str = field(repr=False)
    study: str = field(repr=False)
    patient: str = field(repr=False)
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    pixel_spacing: tuple[float, float]
    rows: int
    columns: int
    image_type: tuple[str, ...] = ()
    thickness: float | None = None
    age: float | None = None
    sex: str = ""

    @property
    def is_axial(self) -> bool:
        """Whether the slice lies across the body, gantry tilt allowed."""
        return is_axial(self.orientation)

    @property
    def tilt(self) -> float:
        """Degrees between the slice and the patient's axial plane."""
        return tilt_degrees(self.orientation)


@dataclass(frozen=True, eq=False)
class CtSlice:
    """One CT slice, turned so that rows run from anterior to posterior and column 0 is the patient's right.

    hu: int16 HU, shape (rows, columns). pixel_spacing: of the turned array, mm between rows and between columns.
    """

    header: SliceHeader
    hu: NDArray[np.int16]
    pixel_spacing: tuple[float, float]


def read_slice(source: Path | bytes | BinaryIO) -> CtSlice:
    """Read one CT slice with its pixels, from a path, from a file's bytes, or from an open binary file.

    Compressed pixels are decoded as exams' are, in a process of their own. Raises DicomError where it is not a CT slice
    in HU or its pixels are not all there; never returns made-up pixels.
    """
    dataset = _open(source, with_pixels=True)
    header = _checked_header(dataset)
    layout = PixelLayout.of(dataset)
    stored = stored_values(dataset, layout, lambda: shared_decoder().decode(_in_memory(source), None, layout))
    hu = to_hu(stored, rescale_of(dataset, layout), padding_of(dataset, layout))
    row_spacing, column_spacing = header.pixel_spacing
    upright = turn_upright(hu, header.orientation)
    transposed = is_transposed(header.orientation)
    return CtSlice(header, upright, (column_spacing, row_spacing) if transposed else (row_spacing, column_spacing))


def _in_memory(source: Path | bytes | BinaryIO) -> FileInMemory:
    if isinstance(source, bytes):
        return FileInMemory(source)
    if isinstance(source, Path):
        return FileInMemory(source.read_bytes())
    source.seek(0)
    return FileInMemory(source.read())


def read_header(source: Path | bytes | BinaryIO) -> SliceHeader:
    """Read what comes before the pixels, without touching them. Raises DicomError like `read_slice`, pixels aside."""
    return _checked_header(_open(source, with_pixels=False))


def _open(source: Path | bytes | BinaryIO, *, with_pixels: bool) -> FileDataset:
    stream = BytesIO(source) if isinstance(source, bytes) else source
    tags = [*_HEADER_TAGS, _PADDING, _PADDING_LIMIT, _PIXEL_DATA] if with_pixels else _HEADER_TAGS
    try:
        return dcmread(stream, stop_before_pixels=not with_pixels, specific_tags=tags)
    except PermissionError:
        raise DicomError("it cannot be opened: no permission to read it; grant it") from None
    except OSError as error:
        raise DicomError(f"it cannot be opened: {error.strerror or 'input/output error'}; check the disk") from error
    except InvalidDicomError:
        raise DicomError("it is not a DICOM file (no DICM mark at byte 128); leave it out") from None
    except Exception as error:  # pydicom meets damaged files with whatever it trips over; here is the border
        raise DicomError("it is damaged: its DICOM elements cannot be parsed; copy the file again") from error


def _checked_header(dataset: FileDataset) -> SliceHeader:
    _check_kind(dataset)
    _check_pixels_are_grey(dataset)
    layout = PixelLayout.of(dataset)
    rescale_of(dataset, layout)
    return SliceHeader(
        sop_instance=_identifier(dataset, _SOP_INSTANCE, "SOPInstanceUID"),
        series=_identifier(dataset, _SERIES, "SeriesInstanceUID"),
        study=_identifier(dataset, _STUDY, "StudyInstanceUID"),
        patient=text(dataset, _PATIENT),
        position=numbers(dataset, _POSITION, "ImagePositionPatient", 3),
        orientation=numbers(dataset, _ORIENTATION, "ImageOrientationPatient", 6),
        pixel_spacing=spacing_of(dataset),
        rows=layout.rows,
        columns=layout.columns,
        image_type=texts(dataset, _IMAGE_TYPE),
        thickness=number(dataset, _THICKNESS),
        age=_age_in_years(text(dataset, _AGE)),
        sex=text(dataset, _SEX),
    )


def _check_kind(dataset: FileDataset) -> None:
    modality = text(dataset, _MODALITY)
    if modality != "CT":
        raise DicomError(f"its modality is {shown_modality(modality) or 'not given'}, not CT; send CT images")
    sop_class = UID(text(dataset, _SOP_CLASS), validation_mode=config.IGNORE)
    if sop_class and sop_class != CTImageStorage:
        known = sop_class.name != sop_class  # an unknown one's name is itself, whatever that holds
        kind = f"a {sop_class.name} object" if known else "an object of an unknown class"
        raise DicomError(f"it is {kind}, not a single CT slice; send the CT Image Storage series")
    for kind in ("LOCALIZER", "PERFUSION"):
        if kind in texts(dataset, _IMAGE_TYPE):
            raise DicomError(f"its ImageType says {kind}, not a slice in HU; send the axial series")
    frames = text(dataset, _FRAMES)
    if frames not in ("", "1"):
        many = f"{frames} frames" if frames.isdecimal() else "its number of frames is not a number"
        raise DicomError(f"it is multi-frame ({many}); single-frame CT slices are read, so split it first")


def _check_pixels_are_grey(dataset: FileDataset) -> None:
    """Refuse colour, and MONOCHROME1.

    By the standard PhotometricInterpretation only concerns display and HU do not depend on it (PS3.3 C.7.6.3.1.2,
    C.11.1). But scanners write MONOCHROME2, and programs that write MONOCHROME1 may have inverted the stored values
    too. One cannot tell from the file, and bone for air would be a confident wrong answer, so it is not guessed at.
    """
    samples, photometric = whole_number(dataset, _SAMPLES), text(dataset, _PHOTOMETRIC)
    if samples not in (None, 1) or photometric not in ("MONOCHROME1", "MONOCHROME2", ""):
        shown = shown_code(photometric, PHOTOMETRIC) or f"{samples} samples a pixel"
        raise DicomError(f"it is a colour picture ({shown}), not CT in HU; send the axial series")
    if photometric == "MONOCHROME1":
        raise DicomError(
            "it is MONOCHROME1, so its values may be inverted and HU cannot be trusted; send MONOCHROME2 images"
        )


def rescale_of(dataset: Dataset, layout: PixelLayout) -> Rescale:
    """How stored values become HU. Raises DicomError where that is not said, or they are not HU."""
    if not text(dataset, _SLOPE) or not text(dataset, _INTERCEPT):
        raise DicomError("it has no RescaleSlope or RescaleIntercept, so HU cannot be known; send the scanner's images")
    unit = text(dataset, _RESCALE_TYPE)
    if unit not in ("", "HU", "US"):  # US, unspecified, is written for plain CT by some
        raise DicomError(
            f"its values are in {unit if unit in UNITS else 'another unit'}, not in HU; send the plain CT series"
        )
    (slope,) = numbers(dataset, _SLOPE, "RescaleSlope", 1)
    (intercept,) = numbers(dataset, _INTERCEPT, "RescaleIntercept", 1)
    return Rescale(slope, intercept, layout.bits_stored, layout.signed)


def padding_of(dataset: Dataset, layout: PixelLayout) -> Padding | None:
    """The stored values that PixelPaddingValue and its limit name, None where there is no value."""
    value = pixel_value(dataset, _PADDING, signed=layout.signed)
    if value is None:
        return None
    limit = pixel_value(dataset, _PADDING_LIMIT, signed=layout.signed)
    return Padding(value, value) if limit is None else Padding(min(value, limit), max(value, limit))


def spacing_of(dataset: Dataset) -> tuple[float, float]:
    """PixelSpacing: mm between rows, mm between columns. Raises DicomError where it is absent or not above 0."""
    rows, columns = numbers(dataset, _SPACING, "PixelSpacing", 2)
    if not (rows > 0 and columns > 0):
        raise DicomError(f"its PixelSpacing is {rows}×{columns} mm; it must be above 0; send the scanner's own images")
    return rows, columns


def _identifier(dataset: FileDataset, tag: int, name: str) -> str:
    value = text(dataset, tag)
    if not value:
        raise DicomError(f"it has no {name}, so it cannot be told from other images; send the scanner's own images")
    return value


def _age_in_years(age: str) -> float | None:
    """Years from an age string such as 034Y, 011M, 006W or 010D (DICOM PS3.5 6.2, VR AS)."""
    days_per_unit = {"D": 1.0, "W": 7.0, "M": 365.25 / 12, "Y": 365.25}
    if len(age) != 4 or not age[:3].isdigit() or age[3] not in days_per_unit:
        return None
    return int(age[:3]) * days_per_unit[age[3]] / 365.25
