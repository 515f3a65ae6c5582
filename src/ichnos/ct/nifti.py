"""NIfTI volumes (.nii, .nii.gz; NIfTI-1 and NIfTI-2), read with care and with nothing but numpy."""

import io
import math
import struct
import zlib
from dataclasses import dataclass
from gzip import BadGzipFile, GzipFile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ichnos.ct.geometry import FARTHEST_MM
from ichnos.errors import ExamError
from ichnos.packing import most_unpacked

_MOST_VALUES = 2_000 * 512 * 512
"""Of one volume: 2,000 slices of 512×512, which take 1 GB in HU, and 4 GB at most as they are stored."""

_TYPES = {2: "u1", 256: "i1", 4: "i2", 512: "u2", 8: "i4", 768: "u4", 16: "f4", 64: "f8"}
"""NIfTI's datatype codes of plain numbers (nifti1.h)."""

_MAGIC_1, _MAGIC_2 = b"n+1\0", b"n+2\0\r\n\x1a\n"
_PAIRED = (b"ni1\0", b"ni2\0\r\n\x1a\n")
_GZIP = b"\x1f\x8b"
_MILLIMETRES = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
"""NIfTI's codes of spatial units: unknown (taken for mm), metre, millimetre, micrometre."""


@dataclass(frozen=True, eq=False)
class NiftiVolume:
    """values: (columns, rows, slices) as the file has them. affine: (4, 4), indices to mm.

    slope, intercept: values × slope + intercept are HU; see in_hu. The affine's millimetres are DICOM's: +x the
    patient's left, +y the back, +z the head.
    """

    values: NDArray[np.generic]
    affine: NDArray[np.float64]
    slope: float = 1.0
    intercept: float = 0.0

    def in_hu(self, values: NDArray[Any]) -> NDArray[np.int16]:
        """Some of the values, of any shape, rounded and kept within 16 bits; not all at once, as it takes 64 bits each.

        Raises ExamError where one is no number.
        """
        if values.dtype == np.int16 and self.slope == 1 and self.intercept == 0:
            return values
        with np.errstate(over="ignore", invalid="ignore"):  # looked for below
            hu = values * self.slope + self.intercept
        if not np.isfinite(hu).all():
            raise ExamError("its volume holds values that are no numbers (NaN or infinite); write it again in HU")
        limits = np.iinfo(np.int16)
        return np.clip(np.rint(hu), limits.min, limits.max).astype(np.int16)


@dataclass(frozen=True)
class _Header:
    order: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    slope: float
    intercept: float
    affine: NDArray[np.float64]


def looks_like_nifti(start: bytes) -> bool:
    """Whether a file's first bytes (400 are enough) are those of a NIfTI file, packed with gzip or not."""
    if start[:2] == _GZIP:
        try:
            start = zlib.decompressobj(31).decompress(start, 400)
        except zlib.error:
            return False
    return start[344:348] in (_MAGIC_1, _PAIRED[0]) or start[4:12] in (_MAGIC_2, _PAIRED[1])


def read_nifti(data: bytes) -> NiftiVolume:
    """Read a 3D volume from a file's bytes. Raises ExamError, with its reason, where that cannot be done."""
    stream: io.BufferedIOBase = io.BytesIO(data)
    packed = data[:2] == _GZIP
    if packed:
        stream = GzipFile(fileobj=stream)
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # numbers beyond measure are looked for in _checked
            header = _header(stream.read(540))
        count = math.prod(header.shape)
        if count > _MOST_VALUES:
            raise ExamError(
                f"its volume has {count:,} values; up to {_MOST_VALUES:,} are read (2,000 slices of 512×512)"
            )
        size = count * header.dtype.itemsize
        if packed and header.offset + size > most_unpacked(len(data)):
            raise ExamError(
                f"it would unpack to {size >> 20:,} MB, out of all proportion to its size; write it unpacked"
            )
        stream.seek(header.offset)
        raw = stream.read(size)
        spare = _read_to_the_end(stream, most_unpacked(len(data)))
    except (BadGzipFile, EOFError, zlib.error, OSError, struct.error):
        raise ExamError("its volume is damaged or cut short; copy the file again") from None
    if len(raw) < size:
        raise ExamError(f"its volume is cut short: {len(raw):,} of {size:,} bytes; copy the file again")
    if spare:
        raise ExamError(
            f"{spare:,} bytes come after its volume, so its header gives another size or place than it has; copy the "
            "file again"
        )
    values = np.frombuffer(raw, header.dtype).reshape(header.shape, order="F")
    return NiftiVolume(values, header.affine, header.slope, header.intercept)


def _read_to_the_end(stream: io.BufferedIOBase, most: int) -> int:
    """Up to the last byte that is not 0, how many bytes come after the volume. Only at its end does gzip compare its
    checksum, which tells damage that deflate itself does not."""
    count = last = 0
    while count < most and (part := stream.read(1 << 20)):
        last = count + len(kept) if (kept := part.rstrip(b"\0")) else last
        count += len(part)
    return last


def _header(start: bytes) -> _Header:
    for order in "<>":
        length = struct.unpack_from(f"{order}i", start)[0]
        if length == 348 and start[344:348] == _MAGIC_1:
            return _header_1(start, order)
        if length == 540 and start[4:12] == _MAGIC_2:
            return _header_2(start, order)
    if start[344:348] == _PAIRED[0] or start[4:12] == _PAIRED[1]:
        raise ExamError("it is half of a NIfTI pair (.hdr and .img); write it as one .nii or .nii.gz file")
    raise ExamError("it is no NIfTI file, or its header is damaged; copy the file again")


def _header_1(start: bytes, order: str) -> _Header:
    """Offsets are those of nifti1.h."""
    dim = struct.unpack_from(f"{order}8h", start, 40)
    pixdim = struct.unpack_from(f"{order}8f", start, 76)
    offset, slope, intercept = struct.unpack_from(f"{order}3f", start, 108)
    qform, sform = struct.unpack_from(f"{order}2h", start, 252)
    quatern = struct.unpack_from(f"{order}6f", start, 256)
    rows = struct.unpack_from(f"{order}12f", start, 280)
    (code,) = struct.unpack_from(f"{order}h", start, 70)
    return _checked(order, dim, code, offset, (slope, intercept), start[123], (sform, rows), (qform, quatern), pixdim)


def _header_2(start: bytes, order: str) -> _Header:
    """Offsets are those of nifti2.h."""
    (code,) = struct.unpack_from(f"{order}h", start, 12)
    dim = struct.unpack_from(f"{order}8q", start, 16)
    pixdim = struct.unpack_from(f"{order}8d", start, 104)
    (offset,) = struct.unpack_from(f"{order}q", start, 168)
    scale = struct.unpack_from(f"{order}2d", start, 176)
    qform, sform = struct.unpack_from(f"{order}2i", start, 344)
    quatern = struct.unpack_from(f"{order}6d", start, 352)
    rows = struct.unpack_from(f"{order}12d", start, 400)
    (units,) = struct.unpack_from(f"{order}i", start, 500)
    return _checked(order, dim, code, offset, scale, units & 0xFF, (sform, rows), (qform, quatern), pixdim)


def _checked(
    order: str,
    dim: tuple[int, ...],
    code: int,
    offset: float,
    scale: tuple[float, float],
    units: int,
    sform: tuple[int, tuple[float, ...]],
    qform: tuple[int, tuple[float, ...]],
    pixdim: tuple[float, ...],
) -> _Header:
    if not 3 <= dim[0] <= 7 or any(extra not in (0, 1) for extra in dim[4 : dim[0] + 1]):
        raise ExamError(f"its volume has {dim[0]} dimensions {dim[1 : dim[0] + 1]}; one volume of 3 is read")
    shape = tuple(dim[1:4])
    if not all(1 <= side <= 20_000 for side in shape):
        raise ExamError(f"its volume is {'×'.join(map(str, shape))}; its header is damaged, copy the file again")
    if code not in _TYPES:
        raise ExamError(f"its values are of NIfTI's type {code}, not plain numbers; write it as int16 HU")
    if not 348 <= offset <= 1 << 30:
        raise ExamError("its header does not say where its values begin; copy the file again")
    if sform[0] > 0:
        affine = np.vstack([np.reshape(sform[1], (3, 4)), [0, 0, 0, 1]]).astype(np.float64)
    elif qform[0] > 0:
        affine = _from_quaternion(qform[1], pixdim)
    else:
        raise ExamError("it does not say how it lies in the patient (no sform, no qform); write it with an orientation")
    affine[:3] *= _MILLIMETRES.get(units & 7, 1.0)
    affine[:2] *= -1  # NIfTI's +x is the patient's right-to-left turned round, and so its +y
    if np.abs(affine).max() > FARTHEST_MM:
        raise ExamError("its orientation leads farther than 1 km; write it again")
    if not np.isfinite(affine).all() or not abs(np.linalg.det(affine[:3, :3])) > 1e-9:
        raise ExamError("its orientation is no orientation (its axes do not span space); write it again")
    slope, intercept = scale
    if slope == 0 or not np.isfinite([slope, intercept]).all():
        slope, intercept = 1.0, 0.0  # nifti1.h: a slope of 0 means that there is none
    return _Header(order, shape, np.dtype(order + _TYPES[code]), int(offset), slope, intercept, affine)


def _from_quaternion(quatern: tuple[float, ...], pixdim: tuple[float, ...]) -> NDArray[np.float64]:
    """nifti1.h, method 2: a rotation by quaternion (b, c, d), spacings, and a reflection of the third axis."""
    b, c, d, *origin = quatern
    rest = 1.0 - (b * b + c * c + d * d)
    if rest < 1e-7:  # half a turn: what is left is rounding (nifti1_io.c, nifti_quatern_to_mat44)
        length = float(np.sqrt(b * b + c * c + d * d))
        a, b, c, d = 0.0, b / length, c / length, d / length
    else:
        a = float(np.sqrt(rest))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    reflect = -1.0 if pixdim[0] < 0 else 1.0
    affine = np.eye(4)
    affine[:3, :3] = rotation * np.array([pixdim[1], pixdim[2], reflect * pixdim[3]])
    affine[:3, 3] = origin
    return affine
