"""Write CT slices as RSNA 2019 has them: its 22 elements, its identifiers, and every pixel encoding seen there."""

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

import numpy as np
from numpy.typing import NDArray
from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from ichnos.ct import reconstruction_circle
from ichnos.dicom.identifiers import valid_uid

_IMPLEMENTATION = "2.25.206745853270513270361204830114712405819"
"""The implementation class of this writer, for the file meta header (DICOM PS3.10 7.1)."""


class PixelEncoding(StrEnum):
    """How HU are stored: the forms that RSNA 2019's files have, commonest first (RSNA 2019, all 750,000 files)."""

    SIGNED_16 = "signed-16"
    """16 bits, signed, intercept −1024."""
    UNSIGNED_12 = "unsigned-12"
    """12 bits, unsigned, intercept −1024."""
    UNSIGNED_12_MINUS_1000 = "unsigned-12-minus-1000"
    """12 bits, unsigned, intercept −1000."""
    SIGNED_16_ZERO = "signed-16-zero"
    """16 bits, signed, intercept 0."""
    SIGNED_12_ZERO = "signed-12-zero"
    """12 bits, signed, intercept 0."""
    WRAPPED_12 = "wrapped-12"
    """12 bits, unsigned, intercept 0: HU below 0 come out 4096 too high. A fault, written to test its mending."""


@dataclass(frozen=True)
class SliceIdentity:
    """Whose slice it is; in RSNA's form, such as `ID_a79b194880`, or as real UIDs."""

    sop_instance: str
    series: str
    study: str
    patient: str


@dataclass(frozen=True)
class SlicePlacement:
    """Where the slice lies: ImagePositionPatient in mm, ImageOrientationPatient, mm between rows and columns."""

    position: tuple[float, float, float]
    orientation: tuple[float, float, float, float, float, float] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    pixel_spacing: tuple[float, float] = (0.488281, 0.488281)


@dataclass(frozen=True)
class _Storage:
    bits: int
    signed: bool
    intercept: int

    @property
    def limits(self) -> tuple[int, int]:
        if self.signed:
            return -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1
        return 0, (1 << self.bits) - 1


def rsna_slice_bytes(
    hu: NDArray[np.int16],
    identity: SliceIdentity,
    placement: SlicePlacement,
    *,
    encoding: PixelEncoding = PixelEncoding.SIGNED_16,
    explicit_vr: bool = False,
    padding: int | None = None,
) -> bytes:
    """A DICOM file of one slice, shape (rows, columns), in RSNA 2019's layout; from the same input the same bytes.

    padding: the stored value for cells outside the circle that the scanner reconstructs (scanners write −2000); None
    leaves them alone. HU beyond what the encoding holds are held to its ends. Raises ValueError where `padding` does
    not fit the encoding or `hu` is not a 2D array of int16.
    """
    if hu.ndim != 2 or hu.dtype != np.int16:
        raise ValueError(f"a slice is a 2D array of int16 HU, got {hu.dtype} of shape {hu.shape}")
    storage = _storage(encoding)
    stored = _stored(hu, encoding, storage)
    if padding is not None:
        lowest, highest = storage.limits
        if not lowest <= padding <= highest:
            raise ValueError(f"padding {padding} does not fit {encoding}, which holds {lowest} to {highest}")
        stored[~reconstruction_circle(*hu.shape)] = padding
    dataset = _dataset(identity, placement, storage, hu.shape)
    dataset.add(_element(0x7FE00010, "OW", stored.astype("<i2" if storage.signed else "<u2").tobytes()))
    return _file_bytes(dataset, identity.sop_instance, explicit_vr=explicit_vr)


def _storage(encoding: PixelEncoding) -> _Storage:
    match encoding:
        case PixelEncoding.SIGNED_16:
            return _Storage(bits=16, signed=True, intercept=-1024)
        case PixelEncoding.UNSIGNED_12:
            return _Storage(bits=12, signed=False, intercept=-1024)
        case PixelEncoding.UNSIGNED_12_MINUS_1000:
            return _Storage(bits=12, signed=False, intercept=-1000)
        case PixelEncoding.SIGNED_16_ZERO:
            return _Storage(bits=16, signed=True, intercept=0)
        case PixelEncoding.SIGNED_12_ZERO:
            return _Storage(bits=12, signed=True, intercept=0)
        case PixelEncoding.WRAPPED_12:
            return _Storage(bits=12, signed=False, intercept=0)
        case _:
            assert_never(encoding)


def _stored(hu: NDArray[np.int16], encoding: PixelEncoding, storage: _Storage) -> NDArray[np.int32]:
    if encoding is PixelEncoding.WRAPPED_12:
        return np.clip(hu.astype(np.int32), -1000, 3095) % 4096
    return np.clip(hu.astype(np.int32) - storage.intercept, *storage.limits)


def _dataset(identity: SliceIdentity, placement: SlicePlacement, storage: _Storage, shape: tuple[int, ...]) -> Dataset:
    """All elements but the pixels. RSNA's files have these and no others: no names, no dates, no SOPClassUID."""
    rows, columns = shape
    dataset = Dataset()
    for tag, vr, value in (
        (0x00080018, "UI", identity.sop_instance),
        (0x00080060, "CS", "CT"),
        (0x00100020, "LO", identity.patient),
        (0x0020000D, "UI", identity.study),
        (0x0020000E, "UI", identity.series),
        (0x00200010, "SH", ""),
        (0x00200032, "DS", [f"{value:.6f}" for value in placement.position]),
        (0x00200037, "DS", [f"{value:.6f}" for value in placement.orientation]),
        (0x00280002, "US", 1),
        (0x00280004, "CS", "MONOCHROME2"),
        (0x00280010, "US", rows),
        (0x00280011, "US", columns),
        (0x00280030, "DS", [f"{value:.6f}" for value in placement.pixel_spacing]),
        (0x00280100, "US", 16),
        (0x00280101, "US", storage.bits),
        (0x00280102, "US", storage.bits - 1),
        (0x00280103, "US", int(storage.signed)),
        (0x00281050, "DS", "40"),
        (0x00281051, "DS", "80"),
        (0x00281052, "DS", str(storage.intercept)),
        (0x00281053, "DS", "1"),
    ):
        dataset.add(_element(tag, vr, value))
    return dataset


def _element(tag: int, vr: str, value: object) -> DataElement:
    return DataElement(tag, vr, value, validation_mode=config.IGNORE)  # RSNA's identifiers are not valid UIDs


def _file_bytes(dataset: Dataset, sop_instance: str, *, explicit_vr: bool) -> bytes:
    """The parts of a DICOM file (PS3.10 7.1), put together here: `dcmwrite` would check RSNA's identifiers and warn."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = UID(valid_uid(sop_instance))
    meta.TransferSyntaxUID = ExplicitVRLittleEndian if explicit_vr else ImplicitVRLittleEndian
    meta.ImplementationClassUID = UID(_IMPLEMENTATION)
    meta.ImplementationVersionName = "ICHNOS"
    stream = DicomBytesIO()
    stream.is_little_endian = True
    stream.is_implicit_VR = not explicit_vr
    stream.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(stream, meta)
    write_dataset(stream, dataset)
    return stream.getvalue()
