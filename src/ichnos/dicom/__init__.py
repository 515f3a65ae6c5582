"""DICOM files: read and decode them to HU, put them in order, write slices, codes and identifiers."""

from ichnos.dicom.identifiers import derived_uid, is_valid_uid, valid_uid
from ichnos.dicom.read import CtSlice, SliceHeader, read_header, read_slice
from ichnos.dicom.write import PixelEncoding, SliceIdentity, SlicePlacement, rsna_slice_bytes

__all__ = [
    "CtSlice",
    "PixelEncoding",
    "SliceHeader",
    "SliceIdentity",
    "SlicePlacement",
    "derived_uid",
    "is_valid_uid",
    "read_header",
    "read_slice",
    "rsna_slice_bytes",
    "valid_uid",
]
