"""Headers of any values, of single slices, enhanced images and NIfTI: the file's own pixels, or a clean error."""

import gzip
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from tests.dicom.ct_files import file_of
from tests.dicom.damage import Damaged, Seed, assert_right_volume
from tests.dicom.head_files import enhanced, head_datasets
from tests.dicom.surviving import TimedDecoder, read_without_a_fault_of_ours, survives, survives_damage
from tests.dicom.test_fuzz import nifti_seeds

KEYWORDS = (
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel"),
    *("NumberOfFrames", "RescaleSlope", "RescaleIntercept", "ImagePositionPatient", "ImageOrientationPatient"),
    *(
        "PixelSpacing",
        "SliceThickness",
        "ImageType",
        "FrameType",
        "Modality",
        "PhotometricInterpretation",
        "PixelPaddingValue",
    ),
    *(
        "ConvolutionKernel",
        "FrameType",
        "ContrastBolusAgent",
        "AcquisitionNumber",
        "InstanceNumber",
        "BodyPartExamined",
    ),
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


GROUPS = {
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness"),
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PlanePositionSequence": ("ImagePositionPatient",),
    "CTReconstructionSequence": ("ConvolutionKernel",),
    "CTImageFrameTypeSequence": ("FrameType",),
}
"""The functional groups of an enhanced image, and what stands in each (PS3.3 A.38)."""


def place_of(dataset: Dataset, keyword: str, frame: int) -> Dataset:
    """Where an attribute stands: among the slice's own elements, or in a functional group, shared or of one frame."""
    for sequence, keywords in GROUPS.items():
        for group in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
            items = dataset.get(group, [{}] * 3)
            item = items[frame % len(items)]
            if keyword in keywords and sequence in item:
                return item[sequence][0]
    return dataset


def with_values(dataset: Dataset, changes: dict[str, tuple[str, int]]) -> bytes:
    """The file with values that no writer would write, put into its bytes where pydicom would not let them through."""
    marks: list[tuple[bytes, bytes]] = []
    for number, (keyword, (text, whole)) in enumerate(changes.items()):
        place = place_of(dataset, keyword, whole)
        if dictionary_VR(keyword) in ("US", "US or SS"):
            place.add_new(keyword, "US", whole)
            continue
        mark = f"{number}" * 24
        place.add_new(keyword, "LO", mark)
        marks.append((mark.encode(), text.encode("latin-1")[:24].ljust(24, b" ")))
    data = file_of(dataset, ImplicitVRLittleEndian)
    for mark, value in marks:
        data = data.replace(mark, value)
    return data


@pytest.mark.parametrize("frames", [1, 3], ids=["single", "enhanced"])
@example(changes={"PixelSpacing": ("1\\1e308", 0)})
@example(changes={"Columns": ("", 63)})
@example(changes={"Rows": ("", 63)})
@given(changes=st.dictionaries(st.sampled_from(KEYWORDS), st.tuples(TEXTS, st.integers(0, 65535)), max_size=5))
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_headers_of_any_values(tmp_path: Path, frames: int, changes: dict[str, tuple[str, int]]) -> None:
    """What is read all the same are the file's own pixels, under the layout and rescale that it states."""
    datasets = head_datasets()[5 : 5 + frames]
    size = sum(len(dataset.PixelData) for dataset in datasets)
    data = with_values(datasets[0] if frames == 1 else enhanced(datasets), changes)
    begin = len(data) - size
    with TimedDecoder() as decoder:
        survives_damage(Damaged(Seed(data, "plain", begin), bytearray(data), begin, header=True), tmp_path, decoder)
    read_without_a_fault_of_ours(tmp_path)


NIFTI_FIELDS = {
    **{f"dim {k}": (40 + 2 * k, "h") for k in range(8)},
    **{f"pixdim {k}": (76 + 4 * k, "f") for k in range(4)},
    **{f"quatern {k}": (256 + 4 * k, "f") for k in range(6)},
    **{f"srow {k}": (280 + 4 * k, "f") for k in range(12)},
    "datatype": (70, "h"),
    "bitpix": (72, "h"),
    "units": (123, "B"),
    "qform": (252, "h"),
    "sform": (254, "h"),
    "offset": (108, "f"),
    "slope": (112, "f"),
    "intercept": (116, "f"),
}
"""Where they stand and of which type they are (nifti1.h)."""
SMALL = st.one_of(st.sampled_from([0, 1, 2, 3, 4, 8, 16, 64, 63, 512]), st.integers(0, 255))
FLOATS = st.one_of(st.sampled_from([0.0, 1.0, -1.0, 348.0, 350.0, 352.0, 354.0, 1e-9, 1e30]), st.floats(width=32))


@example(changes={"offset": (0, 348.0)}, packed=False)
@example(changes={"dim 3": (2, 0.0)}, packed=True)
@example(changes={"sform": (0, 0.0), "qform": (1, 0.0), "quatern 0": (0, 1e30)}, packed=False)
@given(
    changes=st.dictionaries(st.sampled_from(sorted(NIFTI_FIELDS)), st.tuples(SMALL, FLOATS), max_size=5),
    packed=st.booleans(),
)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nifti_headers_of_any_values(tmp_path: Path, changes: dict[str, tuple[int, float]], packed: bool) -> None:
    """The same of NIfTI: what is read all the same are the values that lie in the file."""
    seed = nifti_seeds()[0]
    data = bytearray(seed.data)
    for name, (whole, real) in changes.items():
        at, kind = NIFTI_FIELDS[name]
        struct.pack_into(f"<{kind}", data, at, real if kind == "f" else min(whole, 255) if kind == "B" else whole)
    file = Damaged(seed, data, seed.begin, header=True)
    written = gzip.compress(data, 1, mtime=0) if packed else bytes(data)
    with TimedDecoder() as decoder:
        survives(written, tmp_path, decoder, lambda hu, _: assert_right_volume(hu, file))
    read_without_a_fault_of_ours(tmp_path)
