"""DICOM files for tests: a whole CT slice, and any change to it that makes it one that cannot be used."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

PIXELS = np.arange(32 * 48, dtype=np.int16).reshape(32, 48) - 500


def ct_dataset(pixels: NDArray[np.int16] = PIXELS) -> Dataset:
    """A valid CT slice of signed 16 bits; HU = stored − 24."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = UID("1.2.3.4")
    dataset.StudyInstanceUID = UID("1.2.3")
    dataset.SeriesInstanceUID = UID("1.2.3.1")
    dataset.PatientID = "somebody"
    dataset.Modality = "CT"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.ImagePositionPatient = [-100, -110, 12.5]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = [0.5, 0.25]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -24
    dataset.PixelData = pixels.astype("<i2").tobytes()
    return dataset


def file_of(dataset: Dataset, syntax: UID = ExplicitVRLittleEndian) -> bytes:
    """The bytes of a DICOM file."""
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", CTImageStorage)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    stream = BytesIO()
    dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def changed(change: Callable[[Dataset], object]) -> bytes:
    """A file of a valid slice after one change."""
    dataset = ct_dataset()
    change(dataset)
    return file_of(dataset)
