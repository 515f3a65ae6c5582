"""A small synthetic head as DICOM data sets and files, for tests that change them."""

import copy
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import gdcm
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import UID, EnhancedCTImageStorage, ExplicitVRLittleEndian

from ichnos.phantom import CohortSettings, PhantomExam, make_exam
from tests.dicom.ct_files import ct_dataset, file_of

SLICES = 12


@lru_cache(maxsize=4)
def head(number: int = 0) -> PhantomExam:
    """A head of 12 slices of 64×64; number 1 is tilted."""
    tilted = [n for n in range(9) if make_exam(CohortSettings(9, 2, {}, 64, (10, 10)), n).orientation[5] != 0]
    straight = [n for n in range(9) if n not in tilted]
    chosen = (straight if number == 0 else tilted)[0]
    return make_exam(CohortSettings(9, 2, {}, 64, (SLICES, SLICES)), chosen)


def nifti_affine(exam: PhantomExam) -> NDArray[np.float64]:
    """(4, 4) from (column, row, slice) of an exam's array to NIfTI's coordinates in mm."""
    affine = np.eye(4)
    affine[:3, 0] = exam.orientation[:3] * exam.pixel_spacing[1]
    affine[:3, 1] = exam.orientation[3:] * exam.pixel_spacing[0]
    affine[:3, 2] = exam.positions[1] - exam.positions[0]
    affine[:3, 3] = exam.positions[0]
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine  # from DICOM's coordinates


@lru_cache(maxsize=4)
def _datasets(number: int) -> tuple[Dataset, ...]:
    exam = head(number)
    made = []
    for k in range(SLICES):
        dataset = ct_dataset(exam.hu[k] + np.int16(1024))
        dataset.RescaleIntercept = -1024
        dataset.ImagePositionPatient = [round(float(p), 4) for p in exam.positions[k]]
        dataset.ImageOrientationPatient = [round(float(p), 6) for p in exam.orientation]
        dataset.PixelSpacing = [round(s, 6) for s in exam.pixel_spacing]
        dataset.SliceThickness = round(exam.slice_thickness, 3)
        dataset.SOPInstanceUID = UID(f"1.2.3.1.{k + 1}")
        dataset.InstanceNumber = k + 1
        dataset.PatientName = "Somebody^Known"
        made.append(dataset)
    return tuple(made)


def head_datasets(number: int = 0, **values: object) -> list[Dataset]:
    """The slices as data sets of their own, with attributes set to other values."""
    made = copy.deepcopy(list(_datasets(number)))
    for dataset in made:
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
    return made


def as_series(datasets: Iterable[Dataset], series: int, study: int = 1) -> list[Dataset]:
    """The same slices under the identifiers of another series, and of another study where that is asked for."""
    made = list(datasets)
    for k, dataset in enumerate(made):
        dataset.StudyInstanceUID = UID(f"1.2.{study}")
        dataset.SeriesInstanceUID = UID(f"1.2.{study}.{series}")
        dataset.SOPInstanceUID = UID(f"1.2.{study}.{series}.{k + 1}")
    return made


def write(folder: Path, datasets: Iterable[Dataset], name: str = "slice", syntax: UID = ExplicitVRLittleEndian) -> Path:
    """Write data sets as files of a folder, in an order that says nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, dataset in enumerate(datasets):
        (folder / f"{name}-{(k * 7) % 97:03d}-{k}").write_bytes(file_of(dataset, syntax))
    return folder


def changed(change: Callable[[Dataset], object], datasets: Sequence[Dataset] | None = None) -> list[Dataset]:
    """The slices after one change to each."""
    made = head_datasets() if datasets is None else list(datasets)
    for dataset in made:
        change(dataset)
    return made


def stored(dataset: Dataset) -> NDArray[np.int16]:
    """The pixels of an uncompressed data set of signed 16 bits."""
    return np.frombuffer(dataset.PixelData, "<i2").reshape(dataset.Rows, dataset.Columns)


def enhanced(datasets: Sequence[Dataset], order: Sequence[int] | None = None) -> Dataset:
    """The slices as one Enhanced CT Image Storage object, frames in the order given (PS3.3 A.38)."""
    order = list(range(len(datasets))) if order is None else list(order)
    first = datasets[0]
    multi = copy.deepcopy(first)
    multi.SOPClassUID = EnhancedCTImageStorage
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(multi, keyword)
    for keyword in ("RescaleSlope", "RescaleIntercept"):
        delattr(multi, keyword)
    multi.NumberOfFrames = len(order)
    multi.PixelData = b"".join(datasets[k].PixelData for k in order)
    shared = Dataset()
    shared.PlaneOrientationSequence = DicomSequence([_item(ImageOrientationPatient=first.ImageOrientationPatient)])
    shared.PixelMeasuresSequence = DicomSequence(
        [_item(PixelSpacing=first.PixelSpacing, SliceThickness=first.SliceThickness)]
    )
    shared.PixelValueTransformationSequence = DicomSequence(
        [_item(RescaleIntercept=first.RescaleIntercept, RescaleSlope=1, RescaleType="HU")]
    )
    shared.CTReconstructionSequence = DicomSequence([_item(ConvolutionKernel="H31s")])
    multi.SharedFunctionalGroupsSequence = DicomSequence([shared])
    frames = []
    for k in order:
        frame = Dataset()
        frame.PlanePositionSequence = DicomSequence([_item(ImagePositionPatient=datasets[k].ImagePositionPatient)])
        frame.CTImageFrameTypeSequence = DicomSequence([_item(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"])])
        frames.append(frame)
    multi.PerFrameFunctionalGroupsSequence = DicomSequence(frames)
    return multi


def _item(**values: object) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def compressed_by_gdcm(data: bytes, name: str, folder: Path) -> bytes:
    """A file in another transfer syntax, by GDCM's own name, such as JPEGLSLossless or JPEGLosslessProcess14_1."""
    (folder / "in").write_bytes(data)
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(folder / "in"))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, name)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(folder / "out"))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return (folder / "out").read_bytes()
