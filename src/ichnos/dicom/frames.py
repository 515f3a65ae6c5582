"""What a DICOM file says of itself before its pixels are read: its series' facts, and one Frame for every slice."""

import re
from dataclasses import dataclass, field, replace

from pydicom import config
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    LegacyConvertedEnhancedCTImageStorage,
)

from ichnos.ct.geometry import FARTHEST_MM
from ichnos.dicom.decode import PixelLayout
from ichnos.dicom.elements import integer, items, moment, number, numbers, text, texts, whole_number
from ichnos.dicom.finding import FoundFile
from ichnos.dicom.hounsfield import Padding, Rescale
from ichnos.dicom.parsing import START_BYTES, Parsed, inflated, is_deflated, looks_like_dicom, parse, quiet_pydicom
from ichnos.dicom.read import padding_of, rescale_of, spacing_of
from ichnos.dicom.shown import PHOTOMETRIC, shown_code
from ichnos.errors import DicomError

IMAGES = (CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
"""The SOP classes that hold CT slices."""

_META_SOP_CLASS = 0x00020002
_SHARED, _PER_FRAME = 0x52009229, 0x52009230
_PLANE_POSITION, _PLANE_ORIENTATION, _PIXEL_MEASURES = 0x00209113, 0x00209116, 0x00289110
_PIXEL_VALUES, _CT_FRAME_TYPE, _CT_RECONSTRUCTION = 0x00289145, 0x00189329, 0x00189314
_CONTRAST_SEQUENCE, _CODE_MEANING, _FRAME_TYPE = 0x00180012, 0x00080104, 0x00089007
_IMAGE_TYPE, _SOP_CLASS, _SOP_INSTANCE, _MODALITY, _DESCRIPTION = (
    0x00080008,
    0x00080016,
    0x00080018,
    0x00080060,
    0x0008103E,
)
_ACQUISITION_DATE_TIME = 0x0008002A
_DATES_AND_TIMES = ((0x00080022, 0x00080032), (0x00080021, 0x00080031))
"""Of the acquisition and of the series."""
_CONTRAST, _BODY_PART, _THICKNESS, _KERNEL = 0x00180010, 0x00180015, 0x00180050, 0x00181210
_PATIENT, _STUDY, _SERIES = 0x00100020, 0x0020000D, 0x0020000E
_SERIES_NUMBER, _ACQUISITION, _INSTANCE = 0x00200011, 0x00200012, 0x00200013
_POSITION, _ORIENTATION = 0x00200032, 0x00200037
_SAMPLES, _PHOTOMETRIC, _FRAMES, _SPACING = 0x00280002, 0x00280004, 0x00280008, 0x00280030
_ROWS, _COLUMNS = 0x00280010, 0x00280011
_ALLOCATED, _STORED, _HIGH, _SIGN = 0x00280100, 0x00280101, 0x00280102, 0x00280103
_PADDING, _PADDING_LIMIT = 0x00280120, 0x00280121
_INTERCEPT, _SLOPE, _RESCALE_TYPE, _LOSSY = 0x00281052, 0x00281053, 0x00281054, 0x00282110

TAGS = [
    *(_IMAGE_TYPE, _SOP_CLASS, _SOP_INSTANCE, _MODALITY, _DESCRIPTION, _CONTRAST, _CONTRAST_SEQUENCE, _BODY_PART),
    *(_THICKNESS, _KERNEL, _PATIENT, _STUDY, _SERIES, _SERIES_NUMBER, _ACQUISITION, _INSTANCE, _POSITION, _ORIENTATION),
    *(_SAMPLES, _PHOTOMETRIC, _FRAMES, _SPACING, _ROWS, _COLUMNS, _ALLOCATED, _STORED, _HIGH, _SIGN, _PADDING),
    *(_PADDING_LIMIT, _INTERCEPT, _SLOPE, _RESCALE_TYPE, _LOSSY, _SHARED, _PER_FRAME, _ACQUISITION_DATE_TIME),
    *(tag for tags in _DATES_AND_TIMES for tag in tags),
]

A_COLOUR_PICTURE = "it is a colour picture"
"""How the fault of a file begins that was never a slice."""

_LARGEST_SIDE = 4096
"""No CT matrix is larger; a header that says so is damaged, and would ask for gigabytes."""

_MOST_FRAMES = 20_000

_ALWAYS_LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit)
"""Syntaxes that lose something whatever the attributes say. JPEG-LS and JPEG 2000 that may lose say so, or nothing."""

_TO_SEE_PIXELS = 12
"""Bytes that an element's tag and length take: with fewer after the last element, the pixels may not have begun."""

_LONGER = 16
"""Times as much of a file is read where its header did not end: 16 kB, 256 kB, 4 MB, 64 MB."""

_LONGEST_HEADER = 64 << 20
"""Bytes of which an element is not cut in two, but damaged: 20,000 frames take some 20 MB."""

_MOST_ITEMS = 200_000
"""Of sequences before the pixels, ten a frame. pydicom makes an object of each, some 50,000 a second."""

_ITEMS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
"""(FFFE,E000), which every item begins with, in both orders of bytes (PS3.5 7.5)."""

_LARGEST_COSINE = 1.1
"""Of ImageOrientationPatient: files round."""

_THICKEST_MM = 1000.0
"""Of a slice; a thickness above it is none."""


_NONE = frozenset(
    (
        *("N", "NO", "NON", "NOT", "NONE", "NIL", "N/A", "NA", "FALSE", "0", "WITHOUT", "W/O", "WO", "NONCONTRAST"),
        *("PLAIN", "UNENHANCED", "NATIV", "NATIVE", "OHNE", "KEIN", "KEINE", "SANS", "SENZA", "SIN", "BEZ"),
    )
)
"""How an agent's name begins where there was none."""

_OF_AGENTS = frozenset(
    (
        *("CONTRAST", "CONTRASTE", "KONTRAST", "KONTRASTMITTEL", "KM", "CM", "MDC", "C", "IV", "I", "V", "AGENT"),
        *("BOLUS", "MEDIA", "MEDIUM", "INJECTION", "INJECTED", "ENHANCED", "GIVEN", "USED", "APPLIED", "ADMINISTERED"),
    )
)
"""What else may stand there: with any other word (NON IONIC, NO REACTION TO IOHEXOL) it may name one."""


@dataclass(frozen=True)
class Frame:
    """One slice, known but not yet read.

    number: in its multi-frame object of `count` frames, from 1, else None. position, orientation:
    ImagePositionPatient in mm and ImageOrientationPatient. padding: the stored values that are no measurement, or None.
    syntax: the transfer syntax UID, "" where the file names none. pixels_at: where the pixel data element begins.
    acquired: AcquisitionNumber and InstanceNumber. acquired_at: when, in seconds from 1970, to the minute.
    """

    file: FoundFile = field(repr=False)
    number: int | None
    count: int
    sop_instance: str = field(repr=False)
    sop_class: str
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    pixel_spacing: tuple[float, float]
    layout: PixelLayout
    rescale: Rescale
    padding: Padding | None
    thickness: float | None
    syntax: str
    pixels_at: int
    inverted_display: bool
    lossy: bool
    acquired: tuple[int, int]
    acquired_at: float | None

    def with_values_inverted(self) -> "Frame":
        """The same slice where its writer stored the highest value for the lowest: some do with MONOCHROME1."""
        top = -1 if self.layout.signed else (1 << self.layout.bits_stored) - 1
        rescale = replace(
            self.rescale, slope=-self.rescale.slope, intercept=self.rescale.intercept + self.rescale.slope * top
        )
        return replace(self, rescale=rescale, padding=None)


@dataclass(frozen=True)
class FileFacts:
    """A DICOM file: which series it is of, what that is, its frames, and why it has no frame, or some cannot be read.

    folder: where a file lies that does not name its study; else "". Such files of two folders may be of two patients.
    """

    patient: str = field(repr=False)
    study: str = field(repr=False)
    series: str = field(repr=False)
    modality: str
    sop_class: UID
    image_type: tuple[str, ...]
    description: str = field(repr=False)
    body_part: str
    kernel: str
    contrast: bool
    frames: tuple[Frame, ...]
    faults: tuple[str, ...]
    folder: str = field(default="", repr=False)


def read_facts(file: FoundFile, start: bytes) -> FileFacts:
    """Read what comes before the pixels; start: the file's first START_BYTES.

    What is no CT slice in HU (a slice without position, a slice in another unit) is returned with its `faults`, as its
    series needs them. Raises DicomError where the file is no DICOM, or its elements are damaged or end before they say
    whose they are.
    """
    parsed = _parse(file, start)
    try:
        with quiet_pydicom():
            facts = _facts(file, parsed)
    except DicomError:
        raise
    except Exception as error:  # pydicom converts sequences only here, and trips over damaged ones
        raise DicomError("it is damaged: its DICOM elements cannot be parsed; copy the file again") from error
    if not (facts.study or facts.series or facts.frames):
        raise DicomError("it is cut short in its header: it names no study and no series; copy the file again")
    return facts


def _parse(file: FoundFile, start: bytes) -> Parsed:
    if is_deflated(start):
        return replace(parse(inflated(file.read()), TAGS), syntax=DeflatedExplicitVRLittleEndian)
    data = start
    while len(data) < file.size:
        needed = 0
        try:
            parsed = _parsed(data)
            if parsed.end < len(data) - _TO_SEE_PIXELS or parsed.end >= file.size:
                return parsed  # at the pixels, or behind an element of no interest that ends the file
            needed = parsed.end + START_BYTES
        except DicomError:  # perhaps an element that was cut in two
            if not looks_like_dicom(data) or len(data) >= _LONGEST_HEADER:
                raise
        data = file.read(max(needed, _LONGER * len(data)))
    return _parsed(data)


def _parsed(data: bytes) -> Parsed:
    count = max(map(data.count, _ITEMS))
    if count > _MOST_ITEMS:
        raise DicomError(f"its header has {count:,} items in sequences; copy the file again")
    return parse(data, TAGS)


def _facts(file: FoundFile, parsed: Parsed) -> FileFacts:
    elements = parsed.elements
    named = text(elements, _SOP_CLASS) or text(elements.file_meta, _META_SOP_CLASS)
    sop_class = UID(named, validation_mode=config.IGNORE)
    faults: tuple[str, ...]
    frames: tuple[Frame, ...] = ()
    try:
        frames, faults = _frames(file, parsed, sop_class)
    except DicomError as error:
        faults = (str(error),)
    groups = [*items(elements, _SHARED)[:1], *items(elements, _PER_FRAME)[:1]]
    said = [text(item, _KERNEL) for group in groups for item in items(group, _CT_RECONSTRUCTION)]
    study = text(elements, _STUDY)
    return FileFacts(
        patient=text(elements, _PATIENT),
        study=study,
        series=text(elements, _SERIES),
        folder="" if study else file.folder,
        modality=text(elements, _MODALITY),
        sop_class=sop_class,
        image_type=tuple(word.upper() for word in texts(elements, _IMAGE_TYPE)),
        description=text(elements, _DESCRIPTION),
        body_part=text(elements, _BODY_PART).upper(),
        kernel=next(filter(None, said), text(elements, _KERNEL)).upper(),
        contrast=_names_an_agent(elements),
        frames=frames,
        faults=faults,
    )


def _names_an_agent(elements: Dataset) -> bool:
    """Whether a contrast agent is named: by ContrastBolusAgent or its sequence, in other words than that none was
    given."""
    coded = [text(item, _CODE_MEANING) or "a code" for item in items(elements, _CONTRAST_SEQUENCE)]
    for agent in (text(elements, _CONTRAST), *coded):
        words = re.findall(r"[A-Z0-9/]+", agent.upper())
        if words and not (words[0] in _NONE and _NONE.union(_OF_AGENTS).issuperset(words)):
            return True
    return False


def _frames(file: FoundFile, parsed: Parsed, sop_class: UID) -> tuple[tuple[Frame, ...], tuple[str, ...]]:
    """Its frames, and for each that cannot be read why; where none can, why the first cannot."""
    elements = parsed.elements
    if text(elements, _MODALITY) != "CT" or sop_class not in ("", *IMAGES):
        return (), ()
    samples, photometric = whole_number(elements, _SAMPLES), text(elements, _PHOTOMETRIC)
    if samples not in (None, 1) or photometric not in ("MONOCHROME1", "MONOCHROME2", ""):
        kind = shown_code(photometric, PHOTOMETRIC) or samples
        raise DicomError(f"{A_COLOUR_PICTURE} ({kind}), not CT in HU; send the axial series")
    layout = PixelLayout.of(elements)
    if max(layout.rows, layout.columns) > _LARGEST_SIDE or min(layout.rows, layout.columns) < 2:
        raise DicomError(f"it has {layout.rows}×{layout.columns} pixels; CT of 2 to {_LARGEST_SIDE} a side is read")
    shared, per_frame = items(elements, _SHARED), items(elements, _PER_FRAME)
    if not per_frame:
        if text(elements, _FRAMES) not in ("", "1", "0"):
            raise DicomError("it is multi-frame, but does not say where each frame lies; send single slices")
        return (_frame(file, parsed, layout, sop_class, [elements], None, 1),), ()
    if len(per_frame) > _MOST_FRAMES:
        raise DicomError(f"it has {len(per_frame):,} frames; at most {_MOST_FRAMES:,} are read")
    frames: list[Frame] = []
    faults: list[str] = []
    for count, own in enumerate(per_frame, start=1):
        try:
            frames.append(_frame(file, parsed, layout, sop_class, [own, *shared[:1]], count, len(per_frame)))
        except DicomError as error:
            faults.append(str(error))
    return tuple(frames), tuple(faults if frames else faults[:1])


def _frame(
    file: FoundFile,
    parsed: Parsed,
    layout: PixelLayout,
    sop_class: UID,
    groups: list[Dataset],
    number: int | None,
    count: int,
) -> Frame:
    """One frame of `count`; `groups` are the places where its attributes may stand, the nearest first."""
    elements = parsed.elements
    measures = _macro(groups, _PIXEL_MEASURES, _SPACING)
    values = _macro(groups, _PIXEL_VALUES, _SLOPE)
    _refuse_other_kinds(groups)
    return Frame(
        file=file,
        number=number,
        count=count,
        sop_instance=text(elements, _SOP_INSTANCE),
        sop_class=sop_class,
        position=_position(_macro(groups, _PLANE_POSITION, _POSITION)),
        orientation=_orientation(_macro(groups, _PLANE_ORIENTATION, _ORIENTATION)),
        pixel_spacing=spacing_of(measures),
        layout=layout,
        rescale=rescale_of(values, layout),
        padding=padding_of(elements, layout),
        thickness=_thickness(measures),
        syntax=parsed.syntax,
        pixels_at=parsed.end,
        inverted_display=text(elements, _PHOTOMETRIC) == "MONOCHROME1",
        lossy=text(elements, _LOSSY) == "01" or parsed.syntax in _ALWAYS_LOSSY,
        acquired=(integer(elements, _ACQUISITION), integer(elements, _INSTANCE)),
        acquired_at=_acquired_at(elements),
    )


def _acquired_at(elements: Dataset) -> float | None:
    """When, by the first that says it: the acquisition, else the series."""
    said = [text(elements, _ACQUISITION_DATE_TIME)]
    said += [text(elements, date) + text(elements, time) for date, time in _DATES_AND_TIMES]
    return next((at for at in map(moment, said) if at is not None), None)


def _macro(groups: list[Dataset], sequence: int, tag: int) -> Dataset:
    """The data set that holds an attribute: the item of a functional group, or the slice's own elements."""
    for group in groups:
        for item in items(group, sequence):
            return item
        if group.get_item(tag) is not None:
            return group
    return groups[-1]


def _position(place: Dataset) -> tuple[float, ...]:
    position = numbers(place, _POSITION, "ImagePositionPatient", 3)
    if max(map(abs, position)) > FARTHEST_MM:
        raise DicomError("its ImagePositionPatient lies farther away than 1 km; copy the file again")
    return position


def _orientation(place: Dataset) -> tuple[float, ...]:
    orientation = numbers(place, _ORIENTATION, "ImageOrientationPatient", 6)
    if max(map(abs, orientation)) > _LARGEST_COSINE:
        raise DicomError("its ImageOrientationPatient is no direction (cosines are -1 to 1); copy the file again")
    return orientation


def _refuse_other_kinds(groups: list[Dataset]) -> None:
    """A frame of a multi-frame object has a type of its own."""
    for group in groups:
        for item in items(group, _CT_FRAME_TYPE):
            said = [word for word in ("LOCALIZER", "PERFUSION") if word in texts(item, _FRAME_TYPE)]
            if said:
                raise DicomError(f"its FrameType says {said[0]}; send the axial series")


def _thickness(measures: Dataset) -> float | None:
    value = number(measures, _THICKNESS)
    return value if value is not None and 0 < value <= _THICKEST_MM else None
