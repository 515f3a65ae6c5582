"""NIfTI: every form of number and header that is read, and every damage that is refused."""

import gzip
import struct

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ichnos.ct import nifti
from ichnos.ct.nifti import looks_like_nifti, read_nifti
from ichnos.errors import ExamError
from tests.ct.nifti_files import nifti_bytes

AFFINE = np.array([[-0.5, 0, 0, 100.0], [0, -0.4, 0, 120.0], [0, 0, 5.0, -30.0], [0, 0, 0, 1]])
VALUES = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6) - 50
TO_DICOM = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.mark.parametrize("dtype", ["i2", "u2", "i4", "u1", "f4", "f8"])
@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("version", [1, 2])
def test_numbers_of_every_kind(dtype: str, big_endian: bool, version: int) -> None:
    values = np.abs(VALUES).astype(dtype)
    data = nifti_bytes(values, AFFINE, big_endian=big_endian, version=version)
    assert looks_like_nifti(data[:400])
    volume = read_nifti(data)
    np.testing.assert_array_equal(volume.values, values)
    np.testing.assert_allclose(volume.affine, TO_DICOM @ AFFINE, atol=1e-5)


def hu_of(data: bytes) -> NDArray[np.int16]:
    volume = read_nifti(data)
    return volume.in_hu(volume.values)


@pytest.mark.parametrize("packed", [False, True])
def test_slope_and_intercept(packed: bool) -> None:
    data = nifti_bytes(np.abs(VALUES).astype("u2"), AFFINE, slope=0.5, intercept=-1024, packed=packed)
    assert looks_like_nifti(data[:400])
    volume = read_nifti(data)
    np.testing.assert_array_equal(volume.in_hu(volume.values), np.rint(np.abs(VALUES) * 0.5 - 1024))
    np.testing.assert_array_equal(volume.in_hu(volume.values[:, :, 2]), np.rint(np.abs(VALUES[:, :, 2]) * 0.5 - 1024))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_quaternions_are_read_as_nibabel_reads_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = q * rng.uniform(0.3, 6, 3)
    affine[:3, 3] = rng.uniform(-200, 200, 3)
    data = nifti_bytes(VALUES, affine, form="qform")
    theirs = nibabel.Nifti1Image.from_bytes(data).affine
    b, c, d = struct.unpack_from("<3f", data, 256)  # the quaternion's; the fourth number follows from them
    # near half a turn its square is taken for rounding below 1e-7 by nifti1_io.c, as by ours, and below three steps of
    # single precision by nibabel: between these a voxel of 6 mm turns by up to 7.2 µm
    near_half_a_turn = 1 - (b * b + c * c + d * d) < 4e-7
    np.testing.assert_allclose(read_nifti(data).affine, TO_DICOM @ theirs, atol=8e-3 if near_half_a_turn else 1e-4)


def _patched(offset: int, form: str, *values: float) -> bytes:
    data = bytearray(nifti_bytes(VALUES, AFFINE))
    struct.pack_into(form, data, offset, *values)
    return bytes(data)


REFUSED = {
    "no NIfTI": (b"x" * 1000, "no NIfTI file"),
    "empty": (b"", "damaged or cut short"),
    "cut short": (nifti_bytes(VALUES, AFFINE)[:-10], "cut short: 230 of 240 bytes"),
    "cut short in its header": (nifti_bytes(VALUES, AFFINE)[:200], "no NIfTI file|damaged"),
    "packed and cut short": (nifti_bytes(VALUES, AFFINE, packed=True)[:-40], "damaged or cut short"),
    "packed and damaged": (b"\x1f\x8b\x08\0" + b"rubbish" * 9, "damaged or cut short"),
    "half a pair": (nifti_bytes(VALUES, AFFINE)[:344] + b"ni1\0" + bytes(300), "half of a NIfTI pair"),
    "four dimensions": (_patched(40, "<5h", 4, 4, 5, 6, 3), "4 dimensions"),
    "two dimensions": (_patched(40, "<3h", 2, 4, 5), "2 dimensions"),
    "sides below 1": (_patched(42, "<h", -4), "header is damaged"),
    "sides beyond measure": (_patched(42, "<3h", 20000, 20000, 20000), "8,000,000,000,000 values"),
    "complex numbers": (_patched(70, "<h", 32), "type 32"),
    "no place for its values": (_patched(108, "<f", -5.0), "where its values begin"),
    "no orientation": (_patched(252, "<2h", 0, 0), "no sform, no qform"),
    "flat orientation": (_patched(280, "<12f", *[0.0] * 12), "is no orientation"),
    "orientation that is no number": (_patched(280, "<f", float("nan")), "is no orientation"),
    "orientation beyond measure": (_patched(280, "<f", 1e30), "farther than 1 km"),
    "quaternion beyond measure": (
        nifti_bytes(VALUES, AFFINE, form="qform", version=2)[:352]
        + struct.pack("<3d", *[1e200] * 3)
        + nifti_bytes(VALUES, AFFINE, form="qform", version=2)[376:],
        "farther than 1 km|is no orientation",
    ),
    "slope beyond measure": (nifti_bytes(VALUES, AFFINE, slope=1e308, version=2), "no numbers"),
    "values that are no numbers": (nifti_bytes(np.full((3, 3, 3), np.nan, "f4"), AFFINE), "no numbers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    data, message = REFUSED[name]
    with pytest.raises(ExamError, match=message):
        hu_of(data)


def test_a_gzip_bomb_is_not_unpacked() -> None:
    """The header says what there is to read; what follows it is never inflated."""
    bomb = gzip.compress(nifti_bytes(VALUES, AFFINE) + bytes(50_000_000), 9)
    np.testing.assert_array_equal(read_nifti(bomb).values, VALUES)


def test_a_volume_out_of_proportion_to_its_file_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nifti, "most_unpacked", lambda packed: 200 * packed)
    bomb = nifti_bytes(np.zeros((64, 64, 64), np.int16), AFFINE, packed=True)
    with pytest.raises(ExamError, match="out of all proportion"):
        read_nifti(bomb)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_files_are_read_or_refused(data: st.DataObject) -> None:
    """Any bytes of the header changed, any cut: a volume or our own error."""
    content = bytearray(nifti_bytes(VALUES, AFFINE, packed=False))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, 351))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    try:
        volume = read_nifti(bytes(content))
    except ExamError:
        return
    assert volume.values.ndim == 3


def test_a_packed_volume_whose_checksum_does_not_fit_is_refused() -> None:
    """Only its end tells of bits that changed on the way, where deflate can go on."""
    data = bytearray(nifti_bytes(VALUES, AFFINE, packed=True))
    data[-6] ^= 1
    with pytest.raises(ExamError, match="damaged or cut short"):
        read_nifti(bytes(data))


@pytest.mark.parametrize("packed", [False, True])
def test_bytes_behind_the_volume_are_refused_unless_they_are_zeros(packed: bool) -> None:
    """They are left over where the header gives another size or place than the values have."""
    shorter, moved = bytearray(nifti_bytes(VALUES, AFFINE)), bytearray(nifti_bytes(VALUES, AFFINE))
    struct.pack_into("<h", shorter, 44, 4)
    struct.pack_into("<f", moved, 108, 350.0)
    for data in (shorter, moved):
        with pytest.raises(ExamError, match="come after its volume"):
            read_nifti(gzip.compress(data) if packed else bytes(data))
    padded = nifti_bytes(VALUES, AFFINE) + bytes(300)
    np.testing.assert_array_equal(read_nifti(gzip.compress(padded) if packed else padded).values, VALUES)
