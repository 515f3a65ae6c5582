"""DICOM files: read and decode them to HU, put them in order, write slices, codes and identifiers."""
